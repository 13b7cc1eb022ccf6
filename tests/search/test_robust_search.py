"""The search under perturbations: audited at every step, never below proven bounds, right on whole balls."""

import itertools

import numpy as np
import pytest

import plain
from bdnn import Budget, Network, Problem, Status
from bdnn.methods.exact import ExactTraining
from bdnn.methods.incumbents import with_largest_margins
from bdnn.methods.local_search import LocalSearch
from bdnn.methods.run import Run
from bdnn.network.intervals import robust_losses
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from bdnn.search.points import points

NORMS = ("inf", "1", "2")
MODELS = ("interval", "pattern")
KINDS = ("continuous", "integer", "grid")
HEADS = [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)]


def search_of(problem, seed=0):
    from bdnn.search.interval_engine import RobustSearch

    return RobustSearch(points(presolve(problem)), seed)


def problem_of(seed, kind="continuous", p=16, n=3, classes=2, **settings):
    """Points with duplicates and ties; radii and inputs are dyadic, so that corners of balls are exact."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-4, 5, (p, n)).astype(float)
    if kind != "integer":
        X += rng.choice([0.0, 0.25, 0.5], size=X.shape)
    if rng.random() < 0.3:
        X[p // 2 :] = X[: p - p // 2]
    y = rng.integers(0, classes, p)
    y[:classes] = range(classes)
    if kind != "continuous":
        settings = dict(weights="integer", input_bits=4) | settings
    return Problem(X=X, y=y, **settings)


def network_of(search):
    """The network under search, not the best one."""
    return search.network()


def penalised(search):
    """Least total of networks that are not of the paper's model; infinite if all are."""
    hidden = bool(search.points.reduced.problem.hidden_layer_sizes)
    return float(search.robust.penalty) if hidden and search.robust.penalty > 0 else np.inf


def compare(search, network, total):
    """Whether the search's loss of a network is the audited one; it is never below it."""
    reduced = search.points.reduced
    loss = audit(network, reduced.problem).loss
    if np.isinf(loss):
        assert total >= penalised(search)  # a finite number, above all losses of networks of the class
        return True
    assert total >= loss - reduced.constant
    return total == loss - reduced.constant


# every improvement of a neuron


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_improvement_is_audited_and_none_makes_it_worse(kind, model, norm):
    equal = []
    for case, (hidden, (head, classes)) in enumerate(itertools.product([(), (2,), (3, 2)], HEADS)):
        rng = np.random.default_rng([case, 77])
        problem = problem_of(
            case,
            kind,
            classes=classes,
            hidden_layer_sizes=hidden,
            head=head,
            weight_bound=int(rng.choice([1, 3])) if kind != "continuous" else 1,
            sample_weight=rng.integers(0, 4, 16) if case % 2 else None,
            robust_radius=[0.5, (0.25, 0.0, 1.0), (0.0, 0.5, 0.0)][case % 3],
            robust_norm=norm,
            robust_model=model,
        )
        search = search_of(problem, case)
        for _ in range(2):
            search.randomize()
            for _ in range(2):
                for neuron in rng.permutation(search.n_neurons):
                    before = search.total
                    search.total += search._improve_neuron(int(neuron))
                    assert search.total <= before
                    assert search.total == search.state.loss.sum()
                    equal.append(compare(search, network_of(search), search.total))
            search.perturb()
            equal.append(compare(search, network_of(search), search.total))
    if kind == "continuous":
        assert np.mean(equal) > 0.98  # thresholds within rounding errors of a ball count as open
    else:
        assert all(equal)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_is_audited_at_all_times(kind, model):
    for seed, norm in enumerate(NORMS):
        problem = problem_of(
            seed, kind, hidden_layer_sizes=(2,), robust_radius=(0.5, 0.25, 0.0), robust_norm=norm, robust_model=model
        )
        search, best, equal = search_of(problem, seed), np.inf, []
        radius = search.robust.radius.tolist()
        sides = search.robust.low.tolist(), search.robust.high.tolist()
        for _ in itertools.takewhile(lambda _, search=search: search.rounds < 15, search.run(Budget().start())):
            assert search.best <= best
            if search.best < best:
                best = search.best
                equal.append(compare(search, search.best_network(), search.best))
        assert best < penalised(search) and np.mean(equal) > 0.9
        # after the radius has grown it is the whole one
        search.randomize()
        for _ in search.approach():
            pass
        assert search.robust.radius.tolist() == radius
        assert (search.robust.low.tolist(), search.robust.high.tolist()) == sides
        assert compare(search, network_of(search), search.total)


@pytest.mark.parametrize("norm", NORMS)
def test_odd_radii_and_thresholds_on_balls_are_never_counted_as_right(norm):
    """Radii that are no dyadic fractions, on points whose balls touch the thresholds on paper."""
    rng, equal = np.random.default_rng(3), []
    for seed in range(40):
        integer = seed % 2 == 0
        problem = problem_of(
            seed, "integer", weights="integer" if integer else "continuous", hidden_layer_sizes=(2,),
            robust_radius=float(rng.choice([0.1, 0.3, 1 / 3, 0.7])), robust_norm=norm,
        )  # fmt: skip
        search = search_of(problem, seed)
        network = plain.random_network(rng, 3, (2,), (0, 1), integer=integer, bound=1)
        if not integer:
            (W, _), last = network.layers
            W = np.rint(3 * W) / 3
            reach = {"inf": np.abs(W).sum(1), "1": np.abs(W).max(1), "2": np.linalg.norm(W, axis=1)}[norm]
            bias = -(W @ problem.X[0]) + np.array([1, -1]) * reach * problem.robust_radius[0]
            network = Network([(W, bias), last], "threshold", [0, 1])
        search.load(network)
        equal.append(compare(search, network, search.total))
    assert np.mean(equal) > 0.7


def test_radii_of_any_size_are_never_counted_as_smaller():
    """2**33 + 2**-20 is no double."""
    settings = dict(hidden_layer_sizes=(), weights="integer", robust_radius=[2.0**33, 2.0**-20])
    problem = Problem(X=[[2.0**33, 0.0], [0.0, 0.0], [0.0, 1.0]], y=[1, 0, 0], **settings)
    search = search_of(problem)
    search.load(Network([(np.array([[1, 1]]), np.array([0]))], "threshold", [0, 1]))
    assert search.total == audit(search.best_network(), problem).loss == 3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weights", ["continuous", "integer"])
def test_weights_on_columns_without_variation_go_to_the_bias(weights, model):
    """There they cost part of the radius, and do nothing else."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.integers(-4, 5, 16), np.full(16, 2.0), rng.integers(-4, 5, 16)])
    settings = dict(hidden_layer_sizes=(2,), weights=weights, robust_radius=[0.0, 2.0, 0.25], robust_model=model)
    problem = Problem(X=X, y=rng.integers(0, 2, 16), **settings)
    search, better = search_of(problem), 0
    for _ in range(30):
        network = plain.random_network(rng, 3, (2,), (0, 1), integer=weights == "integer", bound=1)
        search.load(network)
        loaded, given = network_of(search), audit(network, problem).loss
        assert compare(search, loaded, search.total)
        assert not loaded.layers[0].weights[:, 1].any()
        assert audit(loaded, problem).loss <= given
        better += audit(loaded, problem).loss < given
    assert better > 0


# against the programs


def small_problem(seed, kind, model, norm):
    rng = np.random.default_rng(seed)
    hidden, classes = [((2,), 2), ((1,), 2), ((), 3), ((2,), 2)][seed % 4]
    p, n = int(rng.integers(6, 9)), int(rng.integers(1, 4))
    X = rng.integers(-2, 4, (p, n)).astype(float)
    if kind == "grid":
        X += rng.choice([0.0, 0.25, 0.5], size=X.shape)
    y = rng.integers(0, classes, p)
    y[:classes] = range(classes)
    return Problem(
        X=X,
        y=y,
        hidden_layer_sizes=hidden,
        weights="continuous" if kind == "continuous" else "integer",
        input_bits=4,
        sample_weight=rng.integers(1, 4, p) if seed % 3 == 0 else None,
        robust_radius=float(rng.choice([0.2, 0.3, 0.6])),
        robust_norm=norm,
        robust_model=model,
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_search_is_never_below_a_proven_optimum_and_mostly_reaches_it(kind, model):
    reached = 0
    for seed in range(4):
        problem = small_problem(seed, kind, model, NORMS[(seed + KINDS.index(kind)) % 3])
        proven = ExactTraining(incumbents="none")(problem, Budget(seconds=60))
        assert proven.status == Status.OPTIMAL and proven.audit.n_mismatched == 0
        found = LocalSearch()(problem, Budget(rounds=150, seed=seed))
        assert found.objective == audit(found.network, problem).loss >= proven.bound
        reached += found.objective == proven.objective
        both = ExactTraining(incumbents="search")(problem, Budget(seconds=60))
        assert (both.objective, both.status) == (proven.objective, Status.OPTIMAL)
        assert both.audit.n_mismatched == 0
    assert reached >= 3


# what it finds


def unit_ball(rng, n, norm, count=1000):
    """All corners of the ball, its surface and its inside; none is outside, rounding included."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    axes = np.vstack([np.eye(n), -np.eye(n)])
    corners = {"inf": signs, "1": axes, "2": np.vstack([axes, signs / np.sqrt(n) * (1 - 1e-12)])}[norm]
    d = rng.normal(size=(count, n))
    d /= np.linalg.norm(d, ord={"inf": np.inf, "1": 1, "2": 2}[norm], axis=1)[:, None] * (1 + 1e-12)
    d[::2] *= rng.random(((count + 1) // 2, 1))
    return np.vstack([corners, d])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_points_counted_as_right_are_right_on_their_balls(kind, norm):
    right = 0
    cases = itertools.product(MODELS, [((), "threshold", 2), ((2,), "threshold", 2), ((3, 2), "argmax", 3)])
    for seed, (model, (hidden, head, classes)) in enumerate(cases):
        n, rng = (2, 8, 5)[seed % 3], np.random.default_rng(seed)
        problem = problem_of(
            seed, kind, n=n, classes=classes, hidden_layer_sizes=hidden, head=head,
            robust_radius=[0.5, 0.25][seed % 2], robust_norm=norm, robust_model=model,
        )  # fmt: skip
        network = LocalSearch()(problem, Budget(rounds=20, seed=seed)).network
        radius = np.asarray(problem.robust_radius)
        losses, _ = robust_losses(network, problem.X, problem.codes, radius, norm, model)
        for i in np.flatnonzero(losses == 0):
            moved = problem.X[i] + unit_ball(rng, n, norm) * radius
            assert not network.losses(moved, np.full(len(moved), problem.codes[i]))[0].any()
        right += np.count_nonzero(losses == 0)
    assert right > 50


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", NORMS)
def test_polish_keeps_the_robust_loss(norm, model):
    changed = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(24, 3))
        y = np.where(rng.random(24) < 0.15, rng.random(24) < 0.5, X[:, 0] + X[:, 1] * X[:, 2] > 0)
        classes = dict(y=y + (X[:, 2] > 1), head=("argmax", "threshold")[seed // 2]) if seed % 2 else dict(y=y)
        problem = Problem(
            X=X, **classes, hidden_layer_sizes=(2,), robust_radius=[0.1, 0.2, 0.0], robust_norm=norm, robust_model=model
        )
        rough, smooth = (LocalSearch(polish=p)(problem, Budget(rounds=30, seed=seed)) for p in ("none", "margin"))
        assert smooth.objective == audit(smooth.network, problem).loss <= rough.objective
        run = Run(problem, Budget().start(), None)
        polished = with_largest_margins(run, rough.network, run.budget)
        arguments = problem.X, problem.codes, np.asarray(problem.robust_radius), norm, model
        before, after = (robust_losses(network, *arguments)[0] for network in (rough.network, polished))
        assert np.all(after <= before)
        assert audit(polished, problem).loss <= rough.objective
        assert np.array_equal(polished.predict_index(X), rough.network.predict_index(X))
        changed += polished != rough.network
    assert changed >= 3
