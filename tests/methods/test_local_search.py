"""Local search: audited, never worse than its start, within its limits, and as good as brute force on tiny cases."""

import _thread
import itertools

import numpy as np
import pytest

from bdnn import Budget, Network, Problem, Status
from bdnn.errors import InputError
from bdnn.methods import incumbents
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.starts import random_network
from bdnn.parallel import seeds
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.search import engine
from cases import POINTS, Case, loss_by_hand, some_labels
from clocks import ticking


@pytest.fixture
def searches(monkeypatch):
    """All searches that a method runs."""
    made = []

    class Recorded(engine.Search):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            made.append(self)

    monkeypatch.setattr(incumbents, "Search", Recorded)
    return made


def normal_points(seed, p=50, n=3):
    return np.random.default_rng(seed).normal(size=(p, n))


def problem_of(seed, p=50, n=3, classes=2, **settings):
    rng = np.random.default_rng(seed)
    X = settings.pop("X", rng.integers(0, 5, (p, n)).astype(float))
    y = rng.integers(0, classes, len(X))
    y[:classes] = range(classes)
    return Problem(X=X, y=settings.pop("y", y), **settings)


def label(settings):
    return ", ".join(f"{key}={'...' if isinstance(value, np.ndarray) else value}" for key, value in settings.items())


KINDS = [
    dict(hidden_layer_sizes=()),
    dict(hidden_layer_sizes=(3,)),
    dict(hidden_layer_sizes=(3, 2), head="argmax"),
    dict(hidden_layer_sizes=(3, 2, 2), classes=3, head="threshold"),
    dict(hidden_layer_sizes=(2,), classes=4),
    dict(hidden_layer_sizes=(), classes=3),
    dict(hidden_layer_sizes=(3,), fit_intercept=False),
    dict(hidden_layer_sizes=(2,), fit_intercept=False, classes=3),
    dict(hidden_layer_sizes=(3,), sample_weight=np.arange(50) % 4),
    dict(hidden_layer_sizes=(3,), X=normal_points(1) * 1e6 + 1e7),
    dict(hidden_layer_sizes=(3,), X=normal_points(2).astype(np.float32)),
    dict(hidden_layer_sizes=(3,), weights="integer"),
    dict(hidden_layer_sizes=(2, 2), classes=3, weights="integer", weight_bound=7),
    dict(hidden_layer_sizes=(), classes=3, weights="integer"),
    dict(hidden_layer_sizes=(2,), weights="integer", weight_bound=7, X=normal_points(3), input_bits=4),
    dict(hidden_layer_sizes=(2,), weights="integer", fit_intercept=False),
]
each_kind = pytest.mark.parametrize("settings", KINDS, ids=label)


def check(result, problem):
    """The objective is the audited loss of a network of the problem's class; the history leads there."""
    assert result.objective == audit(result.network, problem).loss
    assert presolve(problem).to_layers(result.network) is not None
    losses = [step.objective for step in result.history]
    assert losses == sorted(set(losses), reverse=True)
    assert [step.seconds for step in result.history] == sorted(step.seconds for step in result.history)
    if problem.validation is None:
        assert result.objective == losses[-1]
    assert result.bound <= result.objective
    assert result.method == "local_search" and result.solver == "" and result.audit.n_mismatched == 0


@each_kind
@pytest.mark.parametrize("polish", ["margin", "none"])
def test_the_objective_is_audited_and_that_of_the_search(settings, polish, searches):
    problem = problem_of(1, **settings)
    result = LocalSearch(polish=polish)(problem, Budget(rounds=20))
    check(result, problem)
    (search,) = searches
    assert result.objective == search.best + search.points.reduced.constant
    assert search.rounds == 20 or search.best == 0
    assert not result.interrupted
    if problem.weights == "integer":
        assert result.network.is_integer
        assert max(np.abs(W).max() for W, _ in result.network.layers) <= problem.weight_bound


def test_a_search_without_errors_says_so(searches):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    problem = Problem(X=X, y=X[:, 0] * X[:, 1] > 0, hidden_layer_sizes=(8,))
    result = LocalSearch(polish="none")(problem, Budget(rounds=3000, threads=1))
    assert 0 < searches[0].rounds < 3000
    assert result.objective == 0 and result.message == "nothing left to improve"


def test_rounds_are_counted(searches):
    result = LocalSearch()(problem_of(1), Budget(rounds=20, threads=1))
    assert result.nodes == searches[0].rounds == 20


@each_kind
def test_equal_seeds_give_equal_networks(settings):
    problem = problem_of(2, **settings)
    one, again = (LocalSearch()(problem, Budget(rounds=15, seed=3)) for _ in range(2))
    assert one.network == again.network and one.objective == again.objective


def test_other_seeds_give_other_networks():
    problem = problem_of(2, hidden_layer_sizes=(3,))
    one, other = (LocalSearch(polish="none")(problem, Budget(rounds=5, seed=seed)) for seed in (3, 4))
    assert one.network != other.network


@each_kind
def test_two_starts_are_as_good_as_their_seeds(settings, searches):
    problem = problem_of(4, **settings)
    alone = [LocalSearch(polish="none")(problem, Budget(rounds=12, seed=seed)).objective for seed in seeds(7, 2)]
    searches.clear()
    result = LocalSearch(polish="none", n_starts=2)(problem, Budget(rounds=12, seed=7, threads=2))
    check(result, problem)
    assert len(searches) == 2 and result.nodes == 24
    assert result.objective == min(alone)
    assert result.objective == min(search.best for search in searches) + searches[0].points.reduced.constant


@each_kind
def test_never_worse_than_its_start(settings):
    problem = problem_of(5, **settings)
    rng, reduced = np.random.default_rng(6), presolve(problem)
    for starts in (1, 2):
        start = random_network(reduced, rng)
        result = LocalSearch(n_starts=starts)(problem, Budget(rounds=1, threads=starts), start)
        check(result, problem)
        assert result.objective <= audit(start, problem).loss


def test_a_good_start_is_improved_on_and_not_forgotten():
    problem = problem_of(7, p=80, hidden_layer_sizes=(3,))
    good = LocalSearch(polish="none")(problem, Budget(rounds=150, seed=1))
    again = LocalSearch(polish="none")(problem, Budget(rounds=20, seed=2), good.network)
    assert again.objective <= good.objective
    assert again.history[0].source == "start" and again.history[0].objective == good.objective


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_starts_with_weights_on_constant_columns_and_huge_biases(weights):
    rng = np.random.default_rng(8)
    X = np.column_stack([rng.integers(0, 5, 40), np.full(40, 7), rng.integers(-3, 3, 40), np.full(40, -2)])
    problem = problem_of(8, X=X, hidden_layer_sizes=(2,), weights=weights, weight_bound=3)
    kind = int if weights == "integer" else float
    for bias in (0, 10**6, 10**15):
        W, V = rng.integers(-3, 4, (2, 4)).astype(kind), rng.integers(-3, 4, (1, 2)).astype(kind)
        layers = [(W, np.array([bias, -bias], kind)), (V, np.array([0], kind))]
        start = Network(layers, head="threshold", classes=[0, 1])
        result = LocalSearch()(problem, Budget(rounds=5), start)
        check(result, problem)
        assert result.objective <= audit(start, problem).loss


def test_a_start_of_another_class_is_refused():
    problem = problem_of(9, hidden_layer_sizes=(2,))
    start = random_network(presolve(problem_of(9, hidden_layer_sizes=(3,))), np.random.default_rng(0))
    with pytest.raises(InputError, match="architecture"):
        LocalSearch()(problem, Budget(rounds=5), start)


@pytest.mark.parametrize("polish", ["max", None, 1])
def test_bad_settings(polish):
    with pytest.raises(InputError, match="polish must be one of 'margin', 'none'"):
        LocalSearch(polish=polish)(problem_of(0))


MANY = (60_000, 15, (5,))


@pytest.mark.parametrize(("p", "n", "hidden"), [(100, 3, (4,)), (4000, 20, (10, 5)), MANY], ids=str)
def test_time_limits_hold(p, n, hidden):
    rng = np.random.default_rng(10)
    X = rng.normal(size=(p, n))
    y = (X @ rng.normal(size=n) + rng.normal(size=p) > 0).astype(int)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden)
    with ticking(0.6, step=1e-3, most_late=200):
        result = LocalSearch()(problem, Budget(seconds=0.6))
    check(result, problem)
    assert result.objective <= min(np.bincount(y))


def test_a_tiny_limit_leaves_the_constant_network():
    problem = problem_of(11)
    result = LocalSearch()(problem, Budget(seconds=1e-6))
    check(result, problem)
    assert result.status == Status.FEASIBLE and result.objective <= min(np.bincount(problem.codes))


def test_without_limits_it_ends_when_nothing_improves():
    problem = problem_of(12, p=20, hidden_layer_sizes=(1,))
    for starts in (1, 2):
        result = LocalSearch(n_starts=starts)(problem, Budget(threads=starts))
        check(result, problem)
        assert "brought no improvement" in result.message and result.status == Status.FEASIBLE


def test_it_ends_at_once_when_nothing_is_wrong():
    X = np.array(POINTS["eight in the plane"])
    with ticking() as clock:
        result = LocalSearch()(Problem(X=X, y=X[:, 0] > 2, hidden_layer_sizes=(2,)))
    assert (result.status, result.objective) == (Status.OPTIMAL, 0.0)
    assert clock.readings < 3000


@pytest.mark.parametrize("settings", [dict(), dict(head="argmax"), dict(weights="integer")], ids=label)
def test_conflicting_duplicates_close_at_once(settings):
    X = np.repeat(np.arange(6.0), 3)[:, None]
    y = (X[:, 0] > 2).astype(int)
    y[[0, 9]] = 1 - y[[0, 9]]
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), **settings)
    with ticking() as clock:
        result = LocalSearch()(problem)
    check(result, problem)
    assert (result.status, result.objective, result.bound, result.irreducible) == (Status.OPTIMAL, 2.0, 2.0, 2.0)
    assert clock.readings < 3000


def test_nothing_but_conflicts_needs_no_search(searches):
    problem = Problem(X=[[0.0], [0.0], [1.0], [1.0]], y=[0, 1, 0, 1])
    result = LocalSearch()(problem)
    assert (result.status, result.objective) == (Status.OPTIMAL, 2.0) and not searches


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_keeps_the_best(threads, searches, monkeypatch):
    """Ctrl-C, which reaches the main thread whoever is at work."""
    problem, kick = problem_of(13, p=80), engine.Search.perturb

    def stops(search):
        if search.rounds == 6:
            _thread.interrupt_main()
        return kick(search)

    monkeypatch.setattr(engine.Search, "perturb", stops)
    result = LocalSearch(n_starts=threads)(problem, Budget(seconds=60, threads=threads))
    check(result, problem)
    assert result.interrupted and "Ctrl-C" in result.message and result.status == Status.FEASIBLE
    assert result.objective == min(search.best for search in searches) + searches[0].points.reduced.constant
    assert result.nodes >= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_that_a_search_meets(threads, searches, monkeypatch):
    problem, kick = problem_of(14, p=80), engine.Search.perturb

    def stops(search):
        if search.rounds >= 6:
            raise KeyboardInterrupt
        return kick(search)

    monkeypatch.setattr(engine.Search, "perturb", stops)
    result = LocalSearch(n_starts=threads)(problem, Budget(seconds=20, threads=threads))
    check(result, problem)
    assert result.interrupted
    assert result.objective == min(search.best for search in searches) + searches[0].points.reduced.constant


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_error_in_a_search_surfaces(threads, monkeypatch):
    def fails(search):
        raise ArithmeticError("the sum is wrong")

    monkeypatch.setattr(engine.Search, "perturb", fails)
    with ticking(step=0.0), pytest.raises(ArithmeticError, match="the sum is wrong"):
        LocalSearch(n_starts=threads)(problem_of(15), Budget(seconds=60, threads=threads))


def test_an_error_of_one_thread_surfaces_soon(searches, monkeypatch):
    kick = engine.Search.perturb

    def fails(search):
        if search is searches[0]:
            raise ArithmeticError("the sum is wrong")
        return kick(search)

    monkeypatch.setattr(engine.Search, "perturb", fails)
    with ticking(step=0.0), pytest.raises(ArithmeticError, match="the sum is wrong"):
        LocalSearch(n_starts=2)(problem_of(15), Budget(seconds=3, threads=2))  # a limit that never passes


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_goes_down(threads):
    problem, seen = problem_of(16, p=200, n=5, hidden_layer_sizes=(4,)), []
    result = LocalSearch(n_starts=threads)(problem, Budget(seconds=1, threads=threads), on_progress=seen.append)
    assert len(seen) > 5
    for one, other in itertools.pairwise(seen):
        assert other.objective <= one.objective and other.seconds >= one.seconds and other.nodes >= one.nodes
    assert all(step.bound == result.irreducible <= step.objective for step in seen)
    assert seen[-1].objective == result.objective and seen[-1].seconds <= result.timings["total"]
    assert seen[0].phase == "start" and "search" in {step.phase for step in seen}


@pytest.mark.parametrize("settings", [dict(), dict(head="argmax"), dict(weights="integer")], ids=label)
def test_weights_of_points_are_copies(settings):
    rng = np.random.default_rng(17)
    X, y, copies = rng.integers(0, 6, (40, 3)), rng.integers(0, 2, 40), rng.integers(0, 4, 40)
    copies[:4], y[:4] = 1, [0, 1, 0, 1]
    weighted = Problem(X=X, y=y, sample_weight=copies, **settings)
    repeated = Problem(X=np.repeat(X, copies, axis=0), y=np.repeat(y, copies), **settings)
    used = Problem(X=X[copies > 0], y=y[copies > 0], sample_weight=copies[copies > 0], **settings)
    found = [LocalSearch()(problem, Budget(rounds=20)) for problem in (weighted, repeated, used)]
    assert len({result.objective for result in found}) == 1
    assert found[0].network == found[1].network == found[2].network
    for result, problem in zip(found, (weighted, repeated, used), strict=True):
        check(result, problem)


def test_weights_need_not_be_integers():
    rng = np.random.default_rng(18)
    weight = rng.random(50) * 1e-3
    problem = problem_of(18, sample_weight=weight, classes=3)
    result = LocalSearch()(problem, Budget(rounds=40))
    wrong = result.network.predict_index(problem.X) != problem.codes
    assert result.objective == pytest.approx(weight[wrong].sum(), rel=1e-12)
    assert result.objective == audit(result.network, problem).loss


@pytest.mark.parametrize("settings", [dict(), dict(weights="integer"), dict(classes=3)], ids=label)
def test_held_out_accuracy_chooses(settings):
    rng = np.random.default_rng(19)
    classes = settings.get("classes", 2)
    held_out = rng.integers(0, 5, (30, 3)).astype(float), rng.integers(0, classes, 30)
    problem = problem_of(19, p=60, hidden_layer_sizes=(3,), validation=held_out, **settings)
    result = LocalSearch()(problem, Budget(rounds=60))
    check(result, problem)
    accuracies = [step.validation_accuracy for step in result.history]
    assert len(accuracies) > 1
    assert result.validation_accuracy == np.mean(result.network.predict(held_out[0]) == held_out[1])
    assert result.validation_accuracy >= max(accuracies)


@pytest.mark.parametrize("settings", KINDS[:6] + KINDS[8:11], ids=label)
def test_the_polish_changes_no_decision_on_the_training_points(settings):
    problem = problem_of(20, **settings)
    plain, polished = (LocalSearch(polish=polish)(problem, Budget(rounds=10)) for polish in ("none", "margin"))
    assert plain.objective == polished.objective and plain.network != polished.network
    used = np.asarray(problem.sample_weight) > 0
    X = np.asarray(problem.X)[used]
    # points of equal inputs, and of labels that weigh the same, do not count
    counted = np.isin(np.arange(len(X)), presolve(problem).rows) if used.all() else slice(0)
    assert np.array_equal(plain.network.predict(X)[counted], polished.network.predict(X)[counted])


@pytest.mark.parametrize("hidden", [(), (2,)], ids=str)
def test_networks_without_biases_get_none(hidden):
    for seed in range(3):
        problem = problem_of(seed, hidden_layer_sizes=hidden, fit_intercept=False)
        result = LocalSearch()(problem, Budget(rounds=30))
        assert not any(b.any() for _, b in result.network.layers)
        check(result, problem)


def test_networks_without_biases_that_held_out_data_choose_get_none():
    rng = np.random.default_rng(2)
    X, held_out = rng.normal([1, 0], size=(2, 40, 2))
    y = X[:, 0] > X[:, 1]
    y[:4] = ~y[:4]
    validation = held_out, held_out[:, 0] > held_out[:, 1]
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), fit_intercept=False, validation=validation)
    for seed in range(4):
        result = LocalSearch()(problem, Budget(rounds=30, seed=seed))
        assert not any(b.any() for _, b in result.network.layers)
        check(result, problem)


def test_a_start_of_zeros_without_biases():
    start = Network([([[0.0]], [0.0])], head="threshold", classes=[0, 1])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        problem = problem_of(seed, X=rng.normal(size=(6, 1)), hidden_layer_sizes=(), fit_intercept=False)
        check(LocalSearch()(problem, Budget(rounds=5), start), problem)


def test_a_regulariser_counts():
    problem = problem_of(22, hidden_layer_sizes=(2,), regularizer="l0", regularization=0.25)
    result = LocalSearch()(problem, Budget(rounds=20))
    penalty = presolve(problem).penalty(result.network)
    assert result.penalty == penalty
    assert result.objective == audit(result.network, problem).loss + 0.25 * penalty


def test_labels_may_be_words():
    X = np.array(POINTS["eight in the plane"])
    y = np.array(["low", "mid", "top"])[np.digitize(X.sum(axis=1), [3, 7])]
    result = LocalSearch()(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(rounds=200))
    assert result.objective == 0 and result.network.predict(X).tolist() == y.tolist()


@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_one_column_and_columns_that_do_not_vary(weights):
    x = np.arange(12.0)
    y = (x > 3) & (x < 9)
    for X in (x[:, None], np.column_stack([np.full(12, 5.0), x]), np.column_stack([x, x, np.zeros(12)])):
        problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), weights=weights)
        result = LocalSearch()(problem, Budget(rounds=300))
        check(result, problem)
        assert result.objective == 0


def test_inputs_that_do_not_vary_at_all():
    problem = Problem(X=np.ones((5, 2)), y=[0, 1, 1, 0, 1], hidden_layer_sizes=(2,))
    result = LocalSearch()(problem, Budget(rounds=5))
    assert (result.objective, result.status) == (2.0, Status.OPTIMAL)


@pytest.mark.parametrize("bound", [1, 7])
@pytest.mark.parametrize("grid", [False, True], ids=["integers", "grid"])
@pytest.mark.parametrize("classes", [2, 3])
def test_integer_weights_keep_their_bound(bound, grid, classes):
    X = normal_points(23, 60, 4) if grid else np.random.default_rng(23).integers(-9, 10, (60, 4))
    for hidden in ((), (2,), (3, 2)):
        problem = problem_of(23, X=X, classes=classes, hidden_layer_sizes=hidden, weights="integer", weight_bound=bound)
        result = LocalSearch()(problem, Budget(rounds=40))
        check(result, problem)
        assert result.network.is_integer and (result.network.grid is not None) == grid
        largest = [np.abs(W).max() for W, _ in result.network.layers]
        assert max(largest) <= bound
        assert bound == 1 or max(largest) > 1


CASES = [
    (name, hidden, weights, bound, head, biases)
    for name in POINTS
    for hidden in ((), (1,), (2,), (2, 2))
    for weights, bound in (("continuous", 1), ("integer", 1))
    for head in ("threshold", "argmax")
    for biases in (True, False)
]


def tiny_cases(seed, count):
    chosen = np.random.default_rng(seed).choice(len(CASES), count, replace=False)
    for number in chosen.tolist():
        name, hidden, weights, bound, head, biases = CASES[number]
        X = POINTS[name]
        for y in some_labels(number, len(X), 2):
            yield Case(X=X, y=y, hidden=hidden, weights=weights, bound=bound, head=head, biases=biases)


def short_search(case):
    problem = case.problem()
    result = LocalSearch(polish="none")(problem, Budget(seconds=20, rounds=150))
    assert result.objective == loss_by_hand(result.network, case)
    assert presolve(problem).to_layers(result.network) is not None
    return result.objective


@pytest.mark.parametrize("seed", range(2))
def test_brute_force_finds_nothing_better(seed):
    """All cases of these lists within 150 rounds, but for one with ternary weights and two hidden layers."""
    missed = []
    for case in tiny_cases(seed, 13):
        found, best = short_search(case), case.optimum()
        assert found >= best
        if found > best:
            missed.append((case, found, best))
    assert len(missed) <= 1
    assert all(case.weights == "integer" and len(case.hidden) == 2 for case, _, _ in missed)


@pytest.mark.parametrize(
    ("head", "weights", "bound"),
    [
        ("threshold", "continuous", 1),
        ("argmax", "continuous", 1),
        ("threshold", "integer", 2),
        ("argmax", "integer", 1),
    ],
)
def test_brute_force_finds_nothing_better_for_three_classes(head, weights, bound):
    """All of these again."""
    for name, hidden in (("line", ()), ("line", (2,)), ("square", (2,)), ("collinear in the plane", (1,))):
        X = POINTS[name]
        for y in some_labels(5, len(X), 2, 3):
            case = Case(X=X, y=y, hidden=hidden, head=head, weights=weights, bound=bound)
            assert short_search(case) == case.optimum()


def test_brute_force_finds_nothing_better_on_a_grid_and_with_weights():
    rng = np.random.default_rng(6)
    for _ in range(6):
        X = rng.normal(size=(6, 2))
        y = some_labels(int(rng.integers(100)), 6, 1)[0]
        case = Case(X=X, y=y, hidden=(1,), weights="integer", bits=2, sample_weight=rng.integers(1, 4, 6))
        assert short_search(case) == case.optimum()
