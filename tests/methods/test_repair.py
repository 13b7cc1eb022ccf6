"""Training for the worst case: against brute force on the line, against the three-valued model, and its parts."""

import itertools

import numpy as np
import pytest

from bdnn import BDNNClassifier, Budget, Network, Problem, certify
from bdnn.certification.attacker import perturbations
from bdnn.errors import InputError
from bdnn.methods import DataSplitting, ExactTraining, LocalSearch
from bdnn.methods.worst_case import AttackAndRepair
from bdnn.methods.worst_case_run import WorstCaseRun, deepened, extremes


def trained(X, y, radius, hidden=(2,), inner=None, seconds=20.0, norm="inf", weight=None, **settings):
    problem = Problem(
        X=X,
        y=y,
        sample_weight=weight,
        hidden_layer_sizes=hidden,
        robust_radius=radius,
        robust_norm=norm,
        robust_model="worst_case",
        **settings,
    )
    return AttackAndRepair(inner or ExactTraining(solver="highs"))(problem, Budget(seconds=seconds))


def least_on_the_line(x, y, radius, cuts, weight):
    """Least weight of the balls that a step function with so many steps is not constant and right on."""
    ends = np.unique(np.concatenate([x - radius, x + radius]))
    # a step in each gap between ends of balls, and just beside each end
    places = np.concatenate([[ends[0] - 1], (ends[:-1] + ends[1:]) / 2, [ends[-1] + 1]])
    best = weight.sum()
    for steps in itertools.combinations(places, cuts):
        for first in (0, 1):
            low, high = (np.searchsorted(steps, x + side) for side in (-radius, radius))
            right = (low == high) & ((first + low) % 2 == y)
            best = min(best, weight[~right].sum())
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hidden", [1, 2])
def test_brute_force_on_the_line(seed, hidden):
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.choice(40, 8, replace=False)).astype(float), rng.integers(0, 2, 8)
    y[:2] = 0, 1
    weight = rng.integers(1, 4, 8).astype(float)
    radius = float(rng.choice([0.9, 1.3, 2.2]))
    result = trained(x[:, None], y, radius, (hidden,), weight=weight)
    # as many steps as neurons; fewer are a special case, with steps beyond the data
    least = min(least_on_the_line(x, y, radius, cuts, weight) for cuts in range(hidden + 1))
    assert str(result.status) == "optimal"
    assert result.objective == result.bound == least
    found = certify(result.network, x[:, None], y, radius=radius)
    assert weight[~found.robust].sum() == least


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
@pytest.mark.parametrize("inner", [ExactTraining(solver="highs"), DataSplitting(solver="highs", max_splits=12)])
def test_never_worse_than_its_certificate_and_no_better_than_the_bound(norm, inner):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(12, 2)), rng.integers(0, 2, 12)
    radius = np.array([0.3, 0.15])
    result = trained(X, y, radius, inner=inner, norm=norm, seconds=0.5)
    found = certify(result.network, X, y, radius=1.0, scale=radius, norm=norm)
    assert not found.undecided.any()
    assert result.objective == (~found.robust).sum()
    assert result.irreducible <= result.bound <= result.objective
    assert result.audit.n_mismatched == 0


def test_three_classes_and_no_worse_than_intervals():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(6, 2)), np.arange(6) % 3
    settings = dict(X=X, y=y, hidden_layer_sizes=(2,), robust_radius=0.2)
    intervals = ExactTraining(solver="highs")(Problem(**settings, robust_model="interval"), Budget(seconds=60))
    result = trained(X, y, 0.2, seconds=20.0)
    assert str(intervals.status) == "optimal"
    assert result.objective <= intervals.objective
    assert (~certify(result.network, X, y, radius=0.2).robust).sum() == result.objective


def test_a_wedge_that_no_single_neuron_covers():
    """Balls on which each neuron is open, but no input switches both on: the three-valued model gives them up."""
    # the points of class 1 and a ball that touches both borders of the wedge from outside
    X = np.array([[4.0, 1.0], [4.0, -1.0], [0.0, 0.0]])
    y = np.array([1, 1, 0])
    result = trained(X, y, 1.9, seconds=20.0)
    assert result.objective == 0 and str(result.status) == "optimal"


def test_without_hidden_layer_it_is_the_interval_model():
    X, y = np.array([[0.0], [1.0], [3.0], [4.0]]), np.array([0, 0, 1, 1])
    result = trained(X, y, 0.9, hidden=())
    assert result.objective == 0 and str(result.status) == "optimal"


def test_rows_share_their_loss():
    """The program of an input and attacks on it: its objective at a network is that of the network's answers."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), robust_radius=0.5, robust_model="worst_case")
    run = WorstCaseRun(problem, Budget(seconds=60).start(), None)
    from bdnn.formulations import robust
    from bdnn.methods.starts import layered

    networks = list(layered(run.reduced, run.budget))
    for network in networks:
        run.submit(network, "linear")
        run.extend(network)
    assert len(run.reduced.X) > len(X)
    model = robust.build_model(run.reduced)
    for network in networks:
        wrong = np.zeros(len(X), dtype=bool)
        answers = run.reduced.answers
        labels = run.reduced.class_weight.argmax(axis=1)
        np.logical_or.at(wrong, answers, network.predict_index(run.reduced.raw_points) != labels)
        try:
            x = model.encode(network)
        except InputError:
            continue
        assert model.milp.objective(x) == pytest.approx(wrong.sum())


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
def test_attacks_stay_attacks_when_they_move(norm):
    rng = np.random.default_rng(1)
    moved = 0
    for _ in range(20):
        X = rng.normal(size=(12, 3))
        layers = [(rng.normal(size=(2, 3)), rng.normal(size=2)), (rng.normal(size=(1, 2)), rng.normal(size=1))]
        network = Network(layers, head="threshold", classes=[0, 1])
        scale = np.array([0.8, 0.5, 1.0])
        allowed = perturbations(network, norm, scale, frozen=[2])
        found = certify(network, X, radius=1.0, scale=scale, frozen=[2], norm=norm)
        codes = network.predict_index(X)
        for i in np.flatnonzero(~found.robust & ~found.undecided):
            attack = deepened(network, allowed, X[i], found.attack[i], codes[i])
            moved += np.any(attack != found.attack[i])
            for one in [attack, *extremes(network, allowed, X[i], attack, codes[i])]:
                assert network.predict_index(one[None, :])[0] != codes[i]
                assert allowed.within(X[i], one, 1.0)
    assert moved > 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "integer"}, "integer weights"),
        ({"regularizer": "l1", "regularization": 0.1}, "regularizer"),
        ({"head": "threshold", "y": [0, 1, 2, 0]}, "threshold head"),
    ],
)
def test_what_is_not_taken(settings, message):
    data = {"X": [[0.0], [1.0], [2.0], [3.0]], "y": [0, 1, 0, 1], "robust_radius": 0.1, "robust_model": "worst_case"}
    with pytest.raises(InputError, match=message):
        Problem(**(data | settings))


def test_methods_that_do_not_train_for_it():
    X, y = np.arange(6.0)[:, None], np.arange(6) % 2
    for method in ("local_search", "alternating"):
        clf = BDNNClassifier(method=method, robust_radius=0.1, robust_model="worst_case", time_limit=2)
        with pytest.raises(InputError, match=r"'exact' and 'data_splitting'"):
            clf.fit(X, y)
    problem = Problem(X=X, y=y, robust_radius=0.1, robust_model="worst_case")
    with pytest.raises(InputError, match="does not support"):
        LocalSearch()(problem, Budget(seconds=1))
    with pytest.raises(InputError, match="certificates"):
        AttackAndRepair(ExactTraining(certificate=True))(problem, Budget(seconds=1))


def test_from_the_estimator():
    X, y = np.array([[0.0], [1.0], [3.0], [4.0], [6.0], [7.0]]), np.array(["a", "a", "b", "b", "a", "a"])
    clf = BDNNClassifier((2,), robust_radius=0.9, robust_model="worst_case", time_limit=20, random_state=0).fit(X, y)
    assert clf.result_.objective == 0
    assert clf.certify(X, y, radius=0.9).robust.all()
