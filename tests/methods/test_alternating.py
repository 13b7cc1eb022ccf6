"""Alternating local search."""

from functools import partial

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.errors import InputError
from bdnn.methods import METHODS
from bdnn.methods.alternating import AlternatingSearch
from bdnn.methods.starts import random_network
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve


def problem_of(seed, points=20, **settings):
    rng = np.random.default_rng(seed)
    classes = settings.pop("classes", 2)
    X, y = rng.integers(0, 5, size=(points, 3)).astype(float), rng.integers(0, classes, size=points)
    return Problem(X=X, y=y, **settings)


plain = partial(AlternatingSearch, incumbents="none")
ARCHITECTURES = [
    dict(hidden_layer_sizes=(3,)),
    dict(hidden_layer_sizes=(3, 2)),
    dict(hidden_layer_sizes=(2, 2, 2), weights="integer", weight_bound=2),
    dict(hidden_layer_sizes=(3,), classes=3, head="threshold"),
    dict(hidden_layer_sizes=(3,), classes=3, head="argmax"),
    dict(hidden_layer_sizes=(2, 2), classes=3, head="argmax", weights="integer"),
    dict(hidden_layer_sizes=(2,), fit_intercept=False),
    dict(hidden_layer_sizes=(2, 2), fit_intercept=False, classes=3, head="argmax"),
    dict(hidden_layer_sizes=()),
]


@pytest.mark.parametrize(("blocks", "incumbents"), [("layers", "none"), ("neurons", "search")])
@pytest.mark.parametrize("settings", ARCHITECTURES, ids=str)
def test_never_worse_than_its_start(settings, incumbents, blocks):
    problem = problem_of(1, **settings)
    start = random_network(presolve(problem), np.random.default_rng(3))
    result = AlternatingSearch(blocks=blocks, incumbents=incumbents)(problem, Budget(seconds=5), start)
    assert result.objective <= audit(start, problem).loss
    assert result.objective == audit(result.network, problem).loss
    assert result.audit.n_mismatched == 0
    losses = [entry.objective for entry in result.history]
    assert losses == sorted(losses, reverse=True)
    assert result.network.widths == problem.widths


def test_a_single_layer_is_solved_to_optimality():
    problem = problem_of(2, hidden_layer_sizes=())
    exact = METHODS["exact"](incumbents="none")(problem, Budget(seconds=60))
    assert exact.status == Status.OPTIMAL
    assert plain()(problem, Budget(seconds=60)).objective == exact.objective


def test_more_starts_are_no_worse_and_the_seed_decides():
    problem = problem_of(3, points=16, hidden_layer_sizes=(2,))
    one, three = (plain(n_starts=n)(problem, Budget(seconds=60, seed=7)) for n in (1, 3))
    assert three.objective <= one.objective
    again = plain(n_starts=3)(problem, Budget(seconds=60, seed=7))
    assert again.network == three.network


def test_stops_when_a_round_brings_nothing():
    problem = problem_of(4, hidden_layer_sizes=(2,), weights="integer")
    result = plain()(problem, Budget(seconds=300))
    assert "full round" in result.message or result.status == Status.OPTIMAL


@pytest.mark.parametrize("kind", [{"blocks": "pairs"}, {"n_starts": 0}, {"incumbents": "all"}])
def test_bad_settings(kind):
    with pytest.raises(InputError, match=next(iter(kind))):
        AlternatingSearch(**kind)(problem_of(0))


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_random_networks_are_of_the_class(weights):
    problem = problem_of(5, hidden_layer_sizes=(4, 3), weights=weights)
    reduced, rng = presolve(problem), np.random.default_rng(0)
    for _ in range(20):
        network = random_network(reduced, rng)
        assert reduced.to_layers(network) is not None
        # thresholds between points: neurons of the first layer tell some points apart
    fired = network.activations(problem.X)[0]
    assert np.any(fired.min(axis=0) != fired.max(axis=0))
