"""Integer weights by CP-SAT against all networks of tiny problems, and against the other solvers."""

import itertools

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.backends import backend
from bdnn.backends.cpsat import CpSat
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import Points
from bdnn.errors import InputError
from bdnn.exact.separability import multipliers
from bdnn.formulations import training
from bdnn.methods import METHODS
from bdnn.problem.presolve import presolve

needs_cpsat = pytest.mark.skipif(not CpSat.is_available(), reason="OR-Tools (extra cpsat) is not installed")


def problem_of(seed, hidden, points, columns=2, **settings):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(-2, 4, (points, columns)), rng.integers(0, 2, points)
    y[:2] = 0, 1
    weight = rng.integers(1, 5, points) if seed % 2 else None
    return Problem(X=X, y=y, hidden_layer_sizes=hidden, weights="integer", sample_weight=weight, **settings)


def all_activations(X, biases=True):
    """Activations, over the rows of X, of every ternary neuron."""
    found = set()
    for w in itertools.product((-1, 0, 1), repeat=X.shape[1]):
        sums = X @ np.array(w)
        for b in {-s for s in sums.tolist()} | {-int(sums.max()) - 1} if biases else {0}:
            found.add(tuple((sums + b >= 0).tolist()))
    return np.array(sorted(found))


def least_loss(problem):
    """The least loss of all ternary networks with no or two hidden neurons."""
    X, biases = np.asarray(problem.X).astype(int), problem.fit_intercept
    first = all_activations(X, biases)
    outputs = first
    if problem.hidden_layer_sizes:
        second = all_activations(np.array(list(itertools.product((0, 1), repeat=2))), biases)
        u = first.astype(int)
        outputs = np.concatenate([table[2 * a + u] for table in second for a in u])
    wrong = outputs != (problem.codes == 1)
    return float((wrong @ np.asarray(problem.sample_weight)).min())


CASES = [
    *((seed, (), 14, {}) for seed in range(6)),
    *((seed, (2,), 10, {}) for seed in range(6)),
    *((seed, hidden, 8, {"fit_intercept": False}) for seed in (0, 1) for hidden in ((), (2,))),
]


@needs_cpsat
@pytest.mark.parametrize(("seed", "hidden", "points", "settings"), CASES)
@pytest.mark.parametrize("reductions", [training.REDUCTIONS, ()], ids=["reduced", "plain"])
def test_optimum_over_all_ternary_networks(seed, hidden, points, settings, reductions):
    problem = problem_of(seed, hidden, points, **settings)
    method = METHODS["exact"](solver="cpsat", incumbents="none", reductions=reductions)
    result = method(problem, Budget(seconds=60))
    assert result.status == Status.OPTIMAL and result.audit.n_mismatched == 0
    assert result.objective == result.bound == least_loss(problem)


@needs_cpsat
@pytest.mark.parametrize("hidden", [(), (2,)], ids=str)
@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("weight", ["whole", "real"])
def test_sample_weights_and_quantised_inputs_give_the_optimum_of_highs(hidden, head, weight):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(12, 2)), np.arange(12) % 2
    sample_weight = rng.integers(1, 4, 12) if weight == "whole" else rng.random(12) + 0.1
    problem = Problem(
        X=X, y=y, hidden_layer_sizes=hidden, head=head, weights="integer", sample_weight=sample_weight, input_bits=3
    )
    ours, theirs = (METHODS["exact"](solver=solver)(problem, Budget(seconds=60)) for solver in ("cpsat", "highs"))
    assert ours.status == theirs.status == Status.OPTIMAL
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-9)


@needs_cpsat
@pytest.mark.parametrize("hidden", [(), (2,)], ids=str)
def test_cpsat_is_the_default_for_integer_weights(hidden):
    assert backend("auto", problem_of(0, hidden, 6)).name == "cpsat"


@needs_cpsat
def test_numbers_beyond_64_bits_are_refused():
    problem = Problem(X=[[0], [3], [2**60]], y=[0, 1, 0], hidden_layer_sizes=(), weights="integer")
    with pytest.raises(InputError, match=r"too large|rescale"):
        METHODS["exact"](solver="cpsat", incumbents="none")(problem, Budget(seconds=10))


def test_both_sides_of_an_output_are_rows():
    """A solution that counts a point as wrong although it is right is none."""
    problem = problem_of(0, (), 10)
    model = training.build(presolve(problem))
    result = METHODS["exact"](incumbents="none")(problem, Budget(seconds=60))
    x = model.encode(result.network)
    assert model.milp.violation(x) == 0
    for column in model.layout.fired[-1].ravel():
        other = x.copy()
        other[column] = 1 - x[column]
        assert model.milp.violation(other) >= 1


@pytest.mark.parametrize("scale", [1.0, 0.37], ids=["integers", "grid"])
def test_no_integer_neuron_is_right_on_an_inseparable_set(scale):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 6, (60, 3)) * scale, rng.integers(0, 2, 60)
    points = Points.of(presolve(Problem(X=X, y=y, hidden_layer_sizes=(), weights="integer", input_bits=4)))
    cuts = Cuts(points, rng)
    for _ in range(20):
        for members in cuts.separate(rng.random(len(points)) * 0.2, 8):
            cuts.add(members)
    # on a grid, sets must be proven for the reduced points
    sets = [members for members in cuts.sets if multipliers(points.rows[members])]
    assert len(sets) > 10
    W = rng.integers(-1, 2, (1000, 3))
    reduced = points.reduced.X[points.point]
    sums = reduced @ W.T
    b = -sums[rng.integers(0, len(sums), 1000), np.arange(1000)] + rng.integers(-1, 2, 1000)
    right = (sums + b >= 0) == (points.signs > 0)[:, None]
    for members in sets:
        assert not np.any(right[members].all(axis=0)) and np.all(right[members].any(axis=0))
