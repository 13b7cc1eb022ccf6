"""Limits of columns and signs: every method keeps them, and bounds hold against all networks of tiny cases."""

import itertools
from functools import cache

import numpy as np
import pytest

from bdnn import BDNNClassifier, Problem
from bdnn.budget import Budget
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import BDNNError, InputError
from bdnn.estimators.inputs import signs_of_inputs
from bdnn.methods import METHODS
from bdnn.methods.starts import linear
from bdnn.network.network import Layer, Network
from bdnn.problem.audit import audit
from bdnn.problem.feature_limits import feature_limits
from bdnn.problem.presolve import presolve

RNG = np.random.default_rng(5)
X = RNG.integers(0, 3, size=(14, 4)).astype(float)
Y = (X @ [1, -1, 1, 0] + RNG.integers(-1, 2, size=14) > 0).astype(int)
GROUPS = [0, 1, 1, 2]
LIMITS = {
    "cap": {"max_features": 2},
    "groups": {"max_features": 1, "feature_groups": GROUPS},
    "signs": {"monotonic": [1, 0, -1, 1]},
    "both": {"max_features": 2, "monotonic": [1, 1, 0, 0]},
}


def allowed(W, limits):
    """Whether weights of one neuron keep the limits, by their definition."""
    groups = np.asarray(limits.get("feature_groups", range(4)))
    signs = np.asarray(limits.get("monotonic", [0] * 4))
    few = len(set(groups[np.asarray(W) != 0].tolist())) <= limits.get("max_features", 9)
    return few and bool(np.all(np.asarray(W) * signs >= 0))


def least_of_integers(limits, bound=1):
    """The least loss of all networks without hidden layer, by trying them all."""
    best = np.inf
    for W in itertools.product(range(-bound, bound + 1), repeat=4):
        if allowed(W, limits):
            sums = X @ W
            for b in {*(-sums).astype(int).tolist(), int(-sums.max()) - 1}:
                best = min(best, int(np.sum((sums + b >= 0) != Y)))
    return best


@cache
def least_of_hidden_pairs(name):
    """The least loss of all ternary networks of two hidden neurons that keep the limits, by trying them all."""
    limits = LIMITS[name]
    groups, signed = np.asarray(limits.get("feature_groups", range(4))), "monotonic" in limits
    neurons = set()
    for W in itertools.product((-1, 0, 1), repeat=4):
        if not signed or allowed(W, {"monotonic": limits["monotonic"]}):
            sums, used = X @ W, np.isin(range(4), groups[np.asarray(W) != 0])
            for b in {*(-sums).astype(int).tolist(), int(-sums.max()) - 1}:
                neurons.add((tuple((sums + b >= 0).tolist()), tuple(used.tolist())))
    fired, used = (np.array(side) for side in zip(*sorted(neurons), strict=True))
    few = (used[:, None] | used).sum(axis=2) <= limits.get("max_features", 9)
    values, best = (0, 1) if signed else (-1, 0, 1), np.inf
    for a, c, b in itertools.product(values, values, range(-2, 3)):
        wrong = ((a * fired[:, None] + c * fired.astype(int) + b >= 0) != Y).sum(axis=2)
        best = min(best, wrong[few].min())
    return best


def problem(limits, **settings):
    return Problem(X=X, y=Y, **{"hidden_layer_sizes": (), **settings, **limits})


def check(result, limits):
    layers = result.network.layers
    used = np.any(layers[0].weights != 0, axis=0)
    groups = np.asarray(limits.get("feature_groups", range(4)))
    assert len(set(groups[used].tolist())) <= limits.get("max_features", 9)
    if "monotonic" in limits:
        assert np.all(layers[0].weights * np.asarray(limits["monotonic"]) >= 0)
        assert all(np.all(W >= 0) for W, _ in layers[1:])
    wrong = int(np.sum(result.network.predict(X) != Y))
    assert result.objective == wrong
    assert result.bound <= wrong


@pytest.mark.parametrize(("hidden", "weights"), [((), "integer"), ((2,), "continuous"), ((2,), "integer")])
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("name", sorted(LIMITS))
def test_every_method_keeps_the_limits(name, method, hidden, weights):
    limits = LIMITS[name]
    budget = Budget(seconds=20, rounds=20, nodes=None if method == "local_search" else 5)
    settings = {"max_splits": 2} if method == "data_splitting" else {}
    result = METHODS[method](**settings)(problem(limits, hidden_layer_sizes=hidden, weights=weights), budget)
    check(result, limits)
    if weights == "integer":
        least = least_of_hidden_pairs(name) if hidden else least_of_integers(limits)
        assert result.bound <= least <= result.objective


@pytest.mark.parametrize("name", sorted(LIMITS))
@pytest.mark.parametrize("formulation", ["auto", "big_m"])
@pytest.mark.parametrize("incumbents", ["search", "none"])
def test_integers_are_optimal(name, formulation, incumbents):
    exact = METHODS["exact"](formulation=formulation, incumbents=incumbents)
    for bound in (1, 2):
        result = exact(problem(LIMITS[name], weights="integer", weight_bound=bound), Budget(seconds=60))
        assert str(result.status) == "optimal"
        assert result.objective == least_of_integers(LIMITS[name], bound)
        check(result, LIMITS[name])


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_hidden_integers_are_optimal(name):
    result = METHODS["exact"]()(problem(LIMITS[name], weights="integer", hidden_layer_sizes=(2,)), Budget(seconds=60))
    assert str(result.status) == "optimal"
    assert result.objective == least_of_hidden_pairs(name)


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_continuous_weights_are_optimal_over_supports(name):
    """What is optimal for each choice of columns alone is optimal for all of them."""
    limits = LIMITS[name]
    result = METHODS["exact"]()(problem(limits), Budget(seconds=60))
    assert str(result.status) == "optimal"
    check(result, limits)
    groups = np.asarray(limits.get("feature_groups", range(4)))
    n_groups = len(set(groups.tolist()))
    best = np.inf
    for chosen in itertools.combinations(range(n_groups), min(limits.get("max_features", 9), n_groups)):
        columns = np.flatnonzero(np.isin(groups, chosen))
        signs = np.asarray(limits.get("monotonic", [0] * 4))[columns]
        part = Problem(X=X[:, columns], y=Y, hidden_layer_sizes=(), monotonic=signs)
        best = min(best, METHODS["exact"](formulation="big_m")(part, Budget(seconds=60)).objective)
    assert result.objective == best


def test_bounds_say_what_they_bound():
    result = METHODS["exact"]()(problem(LIMITS["both"], weights="integer"), Budget(seconds=60))
    assert "at most 2 of 4 columns" in result.bound_of
    assert "weights of x0, x1 >= 0" in result.bound_of


def test_audit_refuses_networks_outside():
    network = Network([([[1, 1, 1, 0]], [-1])], head="threshold", classes=[0, 1])
    with pytest.raises(BDNNError, match="3 columns have weights"):
        audit(network, problem({"max_features": 2}))
    with pytest.raises(BDNNError, match="'x1' is positive"):
        audit(network, problem({"monotonic": [0, -1, 0, 0]}))
    above = Network([([[1, 1, 0, 0]], [-1]), ([[-1]], [0])], head="threshold", classes=[0, 1])
    with pytest.raises(BDNNError, match="above the first layer"):
        audit(above, problem({"monotonic": [1, 0, 0, 0]}, hidden_layer_sizes=(1,)))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_start_outside_is_refused(method):
    start = Network([([[1, 1, 1, 0]], [-1])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match="3 columns have weights, and max_features is 2"):
        METHODS[method]()(problem({"max_features": 2}, weights="integer"), Budget(seconds=5), start)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_never_worse_than_the_start(method):
    start = Network([([[1, -1, 0, 0]], [0])], head="threshold", classes=[0, 1])
    asked = problem({"max_features": 2, "monotonic": {"x0": 1}}, weights="integer")
    result = METHODS[method]()(asked, Budget(seconds=5, rounds=3), start)
    assert result.objective <= audit(start, asked).loss


@pytest.mark.parametrize("hidden", [(), (2,)])
def test_rounding_keeps_signs_and_zeros(hidden):
    limits = {"max_features": 3, "monotonic": [1, 0, -1, 1]}
    network = METHODS["local_search"]()(problem(limits, hidden_layer_sizes=hidden), Budget(rounds=30)).network
    rounded = network.to_integer(X, keep_signs=True)
    assert problem(limits, hidden_layer_sizes=hidden).limits.violation(rounded) == ""
    assert rounded.predict(X).tolist() == network.predict(X).tolist()
    for (W, _), (V, _) in zip(network.layers, rounded.layers, strict=True):
        assert np.all((V == 0) | (np.sign(V) == np.sign(W)))


@pytest.mark.parametrize("threads", [1, 2])
def test_held_out_data_choose_among_networks_within(threads):
    limits = {"max_features": 2, "monotonic": [1, 0, 0, 0]}
    asked = problem(limits, validation=(X[:7], Y[:7]), hidden_layer_sizes=(2,))
    check(METHODS["local_search"]()(asked, Budget(seconds=10, rounds=60, threads=threads)), limits)


def test_equal_seeds_give_equal_networks():
    first, second = (
        METHODS["local_search"]()(problem({"max_features": 2}), Budget(rounds=40, seed=3)) for _ in range(2)
    )
    assert first.network == second.network


def test_several_classes_share_the_columns():
    y = (X[:, 0] + X[:, 1]).astype(int) % 3
    for hidden in ((), (2,)):
        asked = Problem(X=X, y=y, hidden_layer_sizes=hidden, max_features=2)
        result = METHODS["local_search"]()(asked, Budget(seconds=10, rounds=40))
        assert len(asked.limits.used(result.network.layers[0].weights)) <= 2


def test_robust_search_keeps_the_cap():
    asked = problem({"max_features": 2}, robust_radius=0.1, hidden_layer_sizes=(2,))
    result = METHODS["local_search"]()(asked, Budget(seconds=10, rounds=40))
    assert len(asked.limits.used(result.network.layers[0].weights)) <= 2


def test_fewer_columns_make_points_equal():
    reduced = presolve(problem({"max_features": 1}))
    part = reduced.on_columns(np.array([0]))
    assert part.X.shape[1] == 1
    assert part.n_points <= 3
    totals = [np.bincount(Y[X[:, 0] == value], minlength=2) for value in range(3)]
    assert part.irreducible == sum(min(total) for total in totals)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_features": 0}, "max_features must be None or a positive integer, got 0"),
        ({"max_features": True}, "max_features"),
        ({"max_features": 2.0}, "max_features"),
        ({"monotonic": {"x9": 1}}, "no column 'x9'"),
        ({"monotonic": {"x0": 2}}, "must be 1, -1 or 0, got 2"),
        ({"monotonic": [1, 0]}, r"one entry per column \(4,\)"),
        ({"monotonic": "up"}, "monotonic must be a dict"),
        ({"monotonic": [1, 0, 0, 0], "head": "argmax"}, "an argmax head"),
        ({"monotonic": [1, 0, 0, 0], "robust_radius": 0.1}, "a robust radius"),
        ({"feature_groups": [0, 1]}, "feature_groups must hold"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(InputError, match=message):
        problem(given)


def test_monotonic_needs_two_classes():
    with pytest.raises(InputError, match="3 classes"):
        Problem(X=X, y=np.arange(14) % 3, monotonic=[1, 0, 0, 0])


def table():
    """A column with thresholds, one with levels, a number and gaps."""
    rng = np.random.default_rng(1)
    color = rng.integers(3, size=40)
    age = rng.integers(20, 80, size=40).astype(float)
    columns = (
        RawColumn("age", "numeric", np.where(np.arange(40) == 3, np.nan, age)),
        RawColumn("color", "categorical", color, ("red", "green", "blue")),
    )
    return RawTable(columns), np.where(age + 10 * (color == 1) > 50, "old", "young")


def test_signs_of_encoded_columns():
    raw, y = table()
    clf = BDNNClassifier((), monotonic={"age": -1, "color=red": 1}, thresholds=3, method="local_search", time_limit=0.5)
    clf.set_params(missing_indicator="always", random_state=0).fit(raw, y)
    signs = dict(zip(clf.encoder_.input_names, signs_of_inputs(clf.encoder_, clf.monotonic).tolist(), strict=True))
    assert {name: sign for name, sign in signs.items() if sign} == {
        **{name: -1 for name in signs if name.startswith("age>=")},
        "color=red": 1,
    }
    weights = dict(zip(clf.encoder_.input_names, clf.network_.layers[0].weights[0].tolist(), strict=True))
    assert all(weights[name] * sign >= 0 for name, sign in signs.items())
    with pytest.raises(InputError, match=r"'color' is a column of kind categorical.*leave it out"):
        clf.set_params(monotonic={"color": 1}).fit(raw, y)


def test_columns_with_several_inputs_count_once():
    raw, y = table()
    clf = BDNNClassifier((), max_features=1, thresholds=4, weights="integer", random_state=0, time_limit=1)
    clf.fit(raw, y)
    used = np.flatnonzero(clf.network_.layers[0].weights[0])
    assert len(used) > 1  # more than one bit of the one column
    assert len(set(clf.encoder_.column_of_input[used].tolist())) == 1


def test_projection_keeps_the_strongest_columns():
    limits = feature_limits(["a", "b", "c"], 1, {"a": -1}, None)
    layers = limits.projected(
        [Layer(np.array([[5.0, 1.0, 2.0]]), np.zeros(1))], np.arange(3), np.array([1.0, 9.0, 1.0])
    )
    assert layers[0].weights.tolist() == [[0.0, 1.0, 0.0]]


def test_estimator_takes_them():
    clf = BDNNClassifier((), max_features=2, monotonic={"a": 1}, random_state=0, time_limit=1)
    clf.fit(X, Y, feature_names=list("abcd"))
    assert np.count_nonzero(clf.network_.layers[0].weights) <= 2
    assert clf.network_.layers[0].weights[0, 0] >= 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("weights", "hidden"), [("continuous", ()), ("integer", (2,))])
@pytest.mark.parametrize("method", METHODS)
def test_signs_that_leave_no_column_leave_the_constant_network(method, weights, hidden):
    X = [[0, 3], [1, 2], [2, 0], [3, 1], [4, 4], [5, 2]]
    clf = BDNNClassifier(hidden, method=method, weights=weights, weight_bound=3, max_features=1, monotonic=[-1, -1],
                         time_limit=0.1, random_state=0)  # fmt: skip
    clf.fit(X, [0, 0, 0, 1, 1, 1])
    assert clf.result_.audit.loss == 3


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 1, 2]])
def test_start_without_columns_is_the_constant_network(labels):
    """Points that are left then may all count the same whatever is decided, and are none."""
    problem = Problem(X=np.arange(3.0)[:, None], y=labels, hidden_layer_sizes=(2,))
    network = linear(presolve(problem).on_columns(np.zeros(0, dtype=np.intp)))
    assert audit(network, problem).n_wrong == (1 if len(set(labels)) == 2 else 2)
