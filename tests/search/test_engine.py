"""One search: its loss is the audited one at all times, whatever it starts from."""

import itertools

import numpy as np
import pytest

import plain
from bdnn import Budget, Network, Problem
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.search.engine import Search
from bdnn.search.points import points
from clocks import ticking
from search.states import audited


def problem_of(seed, p=40, n=3, classes=2, **settings):
    rng = np.random.default_rng(seed)
    X = settings.pop("X", rng.integers(0, 5, (p, n)).astype(float))
    y = rng.integers(0, classes, p)
    y[:classes] = range(classes)
    return Problem(X=X, y=y, **settings)


def search_of(problem, seed=0, dtype=None):
    return Search(points(presolve(problem), dtype), seed)


def check(search):
    """What the search says of its best network is what the audit says."""
    reduced, network = search.points.reduced, search.best_network()
    assert search.best + reduced.constant == audit(network, reduced.problem).loss
    assert search.best <= search.total == search.state.loss.sum()
    assert reduced.to_layers(network) is not None  # of the problem's class
    assert np.all(np.isfinite(search.state.W)) and np.all(np.isfinite(search.state.b))


def label(settings):
    return ", ".join(f"{key}={'...' if isinstance(value, np.ndarray) else value}" for key, value in settings.items())


def grid_points(seed, p=40, n=3):
    return np.random.default_rng(seed).normal(size=(p, n))


KINDS = [
    dict(hidden_layer_sizes=()),
    dict(hidden_layer_sizes=(3,)),
    dict(hidden_layer_sizes=(3, 2), classes=3),
    dict(hidden_layer_sizes=(2, 2, 2), classes=3, head="threshold"),
    dict(hidden_layer_sizes=(), classes=4),
    dict(hidden_layer_sizes=(2,), head="argmax"),
    dict(hidden_layer_sizes=(3,), fit_intercept=False),
    dict(hidden_layer_sizes=(2,), classes=3, fit_intercept=False),
    dict(hidden_layer_sizes=(3,), sample_weight=np.arange(40) % 4),
    dict(hidden_layer_sizes=(3,), X=grid_points(1) * 1e6 + 1e7),
    dict(hidden_layer_sizes=(3,), X=grid_points(2).astype(np.float32)),
]
INTEGERS = [
    dict(hidden_layer_sizes=(3,), weights="integer"),
    dict(hidden_layer_sizes=(2, 2), classes=3, weights="integer", weight_bound=7),
    dict(hidden_layer_sizes=(), classes=3, weights="integer", weight_bound=2),
    dict(hidden_layer_sizes=(2,), weights="integer", X=grid_points(3), input_bits=4),
    dict(hidden_layer_sizes=(2,), weights="integer", fit_intercept=False),
]


@pytest.mark.parametrize("settings", KINDS + INTEGERS, ids=label)
def test_the_best_is_audited_at_all_times(settings):
    search, best = search_of(problem_of(1, **settings)), np.inf
    for step in itertools.takewhile(lambda _: search.rounds < 25, search.run(Budget())):
        assert step is None and search.best <= best
        best = search.best
        if best < np.inf:  # the first start is ready
            check(search)
    assert np.isfinite(best)


@pytest.mark.parametrize("settings", KINDS[:3] + INTEGERS[:2], ids=label)
def test_equal_seeds_give_equal_searches(settings):
    found = []
    for seed in (3, 3, 4):
        search = search_of(problem_of(2, **settings), seed)
        for _ in itertools.takewhile(lambda _, search=search: search.rounds < 10, search.run(Budget())):
            pass
        found.append((search.best, search.state.W.tolist(), search.state.b.tolist()))
    assert found[0] == found[1] != found[2]


def test_points_in_single_precision_are_searched_alike():
    problem, found = problem_of(3, p=60, hidden_layer_sizes=(3,)), []
    for dtype in ("float32", "float64"):
        search = search_of(problem, 5, dtype)
        assert search.state.X.dtype == dtype
        search.randomize()
        for _ in search.descend():
            check(search)
        found.append((search.total, search.state.W.tolist(), search.state.b.tolist()))
    assert found[0] == found[1]


def test_values_that_single_precision_does_not_hold_stay_double():
    data = points(presolve(problem_of(4, X=grid_points(4))), "float32")
    assert data.X.dtype == np.float64
    assert sorted(data.X.T.tolist()) == sorted(grid_points(4).tolist())


@pytest.mark.parametrize("settings", [dict(X=grid_points(4)), dict(sample_weight=grid_points(5, 40, 1)[:, 0] ** 2)])
def test_points_and_weights_are_of_the_type_that_was_compiled(settings):
    data = points(presolve(problem_of(4, **settings)), "float32")
    assert data.X.dtype == data.class_weight.dtype


def test_points_of_a_problem():
    X = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, 4.0], [3.0, 5.0, 4.0], [3.0, 5.0, 4.0]])
    data = points(presolve(Problem(X=X, y=[0, 1, 1, 1], sample_weight=[1, 2, 3, 4])))
    assert data.X.tolist() == [[1.0, 2.0, 3.0], [0.0, 4.0, 4.0]]
    assert data.class_weight.tolist() == [[1.0, 0.0], [0.0, 2.0], [0.0, 7.0]]
    assert data.reach.tolist() == [3.0, 4.0]
    assert data.unit == pytest.approx(1 / data.X.std(axis=1))


@pytest.mark.parametrize("settings", KINDS + INTEGERS, ids=label)
def test_any_network_of_the_class_can_be_loaded(settings):
    problem = problem_of(5, **settings)
    rng, search = np.random.default_rng(6), search_of(problem)
    grid, integer = search.points.reduced.grid, problem.weights == "integer"
    for _ in range(15):
        network = plain.random_network(
            rng, 3, problem.hidden_layer_sizes, problem.classes, problem.head, integer, grid, problem.weight_bound
        )
        if not problem.fit_intercept:
            network = Network(
                [(W, b * 0) for W, b in network.layers], head=network.head, classes=network.classes, grid=grid
            )
        search.load(network)
        assert search.total + search.points.reduced.constant == audit(network, problem).loss
        check(search)
    current = search.total
    for _ in search.descend():
        check(search)
    assert search.total <= current


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_networks_with_weights_on_constant_columns(weights):
    rng = np.random.default_rng(7)
    X = np.column_stack([rng.integers(0, 5, 40), np.full(40, 7.0), rng.integers(-3, 3, 40), np.full(40, -2.0)])
    problem = problem_of(7, X=X, hidden_layer_sizes=(3,), weights=weights, weight_bound=3)
    search = search_of(problem)
    for _ in range(20):
        network = plain.random_network(rng, 4, (3,), (0, 1), integer=weights == "integer")
        search.load(network)
        assert search.total + search.points.reduced.constant == audit(network, problem).loss
        check(search)


@pytest.mark.parametrize("size", [1e-200, 1e10, 1e200, 1e300])
def test_networks_with_numbers_of_any_size(size):
    problem, rng = problem_of(8, hidden_layer_sizes=(3,)), np.random.default_rng(8)
    search = search_of(problem)
    for _ in range(10):
        network = plain.random_network(rng, 3, (3,), (0, 1))
        (W, b), rest = network.layers
        for changed in ((W * size, b * size), (W, b * size)):
            network = Network([changed, rest], head="threshold", classes=[0, 1])
            search.load(network)
            assert search.total + search.points.reduced.constant == audit(network, problem).loss
            for _ in search.descend():
                check(search)


def test_a_start_that_is_best_remains():
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 0], hidden_layer_sizes=(2,))
    best = Network([([[1.0], [-1.0]], [-0.5, 1.5]), ([[1.0, 1.0]], [-1.5])], head="threshold", classes=[0, 1])
    search = search_of(problem)
    assert list(search.run(Budget(), best)) == [None]
    assert search.best == 0 and search.best_network() == best


@pytest.mark.parametrize("settings", KINDS[:6] + INTEGERS[:2], ids=label)
def test_kicks_can_be_undone(settings):
    search = search_of(problem_of(9, **settings))
    search.randomize()
    for _ in range(30):
        kept, total = (search.state.W.copy(), search.state.b.copy()), search.total
        neuron = search.perturb()
        assert 0 <= neuron < search.n_neurons
        assert search.total == search.state.loss.sum() == audited(search.state).sum()
        search.restore(kept)
        assert search.total == total == search.state.loss.sum()
        assert np.array_equal(search.state.W, kept[0]) and np.array_equal(search.state.b, kept[1])
        search.perturb()


@pytest.mark.parametrize("settings", [KINDS[1], KINDS[2], INTEGERS[0]], ids=label)
def test_the_clock_has_no_say_in_what_is_found(settings):
    """Turns are grouped by the time they take; slow machines find the same networks."""
    problem, found = problem_of(10, p=60, **settings), []
    for step in (1e-6, 1.0):
        with ticking(step=step):
            search = search_of(problem, 1)
            for _ in itertools.takewhile(lambda _, search=search: search.rounds < 12, search.run(Budget())):
                pass
        found.append(search.best_network())
    assert found[0] == found[1]


@pytest.mark.parametrize("hidden", [(), (2,)])
def test_numbers_stay_small_in_long_searches(hidden):
    """The scale of argmax outputs means nothing, and may not run away."""
    problem = Problem(X=np.arange(6.0)[:, None], y=[0, 1, 0, 1, 0, 1], hidden_layer_sizes=hidden, head="argmax")
    for seed in range(4):
        search = search_of(problem, seed)
        for _ in itertools.takewhile(lambda _, search=search: search.rounds < 400, search.run(Budget())):
            assert np.abs(search.state.W).max() < 1e12 and np.abs(search.state.b).max() < 1e12
        check(search)


def test_constant_columns_without_biases_are_searched():
    """A column of ones is the bias of a neuron without one."""
    X = np.column_stack([np.ones(12), np.arange(12.0)])
    problem = Problem(X=X, y=np.arange(12) >= 7, hidden_layer_sizes=(), fit_intercept=False)
    search = search_of(problem)
    for _ in itertools.takewhile(lambda _: search.rounds < 200, search.run(Budget())):
        check(search)
    assert search.best == 0


def test_starts_with_weights_on_columns_that_stand_for_biases():
    """Without biases, columns that do not vary are left in."""
    X = np.column_stack([np.ones(12), np.arange(12.0)])
    y = np.arange(12) >= 7
    y[3] = True
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), fit_intercept=False)
    layers = [([[-6.5, 1.0], [0.5, -0.4]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])]
    search = search_of(problem)
    search.load(Network(layers, head="threshold", classes=[False, True]))
    assert search.total == search.best < 12
    for _ in search.descend():
        check(search)
    for _ in range(200):
        search.perturb()
        for _ in search.improve(np.arange(3)):
            check(search)


@pytest.mark.parametrize("settings", KINDS[:5] + INTEGERS[:3], ids=label)
def test_starts_split_the_points(settings):
    search = search_of(problem_of(11, **settings))
    losses = []
    for _ in range(10):
        search.randomize()
        check(search)
        losses.append(search.total)
    assert len(set(losses)) > 1
    if search.state.intercept:
        for _ in search.smooth(Budget().start()):
            pass
        check(search)


def test_a_smooth_start_beats_random_ones():
    rng = np.random.default_rng(12)
    X = rng.normal(size=(400, 4))
    problem = Problem(X=X, y=X @ [1, 2, -1, 0.5] + 0.1 * rng.normal(size=400) > 0, hidden_layer_sizes=(3,))
    search = search_of(problem)
    search.randomize()
    first = search.total
    for _ in search.smooth(Budget().start()):
        pass
    assert search.total < 0.5 * first
    assert search.total < 40


def test_a_few_extremes_do_not_blind_a_smooth_start():
    rng = np.random.default_rng(12)
    X = rng.normal(20.0, 2.0, size=(400, 4))
    y = (X - 20.0) @ [1, 2, -1, 0.5] > 0
    X[[7, 70, 170, 270], np.arange(4)] = 65535.0
    search = search_of(Problem(X=X, y=y, hidden_layer_sizes=(3,)))
    search.randomize()
    for _ in search.smooth(Budget().start()):
        pass
    check(search)
    assert search.total < 40


def test_a_smooth_start_ends_with_the_time():
    problem = problem_of(13, p=5000, X=grid_points(13, 5000, 10), hidden_layer_sizes=(20,))
    search = search_of(problem)
    assert not list(search.smooth(Budget(seconds=1e-9).start()))
    check(search)
