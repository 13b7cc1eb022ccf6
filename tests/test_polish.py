"""Margin polish: decisions stay, margins grow to the largest that an independent solver finds."""

import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

import plain
from bdnn import Budget, Network
from bdnn.errors import InputError
from bdnn.linear_programs import quiet_highs
from bdnn.margins.margin_programs import by_linear_program
from bdnn.margins.ordering import OrderingConstraints
from bdnn.margins.space import Space
from bdnn.margins.support_vectors import euclidean
from bdnn.network.grid import InputGrid
from bdnn.network.intervals import robust_losses
from bdnn.polish import polished
from clocks import ticking

FAR = 1e18  # a deadline that never comes


def decisions(network, X):
    return [*(u.tolist() for u in network.activations(X)), network.predict_index(X).tolist()]


def standardized_size(weights, X, first, norm):
    """Dual norm of weights on inputs centered by the median and scaled by the largest deviation."""
    scale = np.ones(X.shape[1])
    if first:
        center = np.quantile(X, 0.5, axis=0, method="lower")
        scale = np.abs(X - center).max(axis=0)
    size = np.abs(weights * np.where(X.max(axis=0) > X.min(axis=0), scale, 0.0)).ravel()
    return {"2": np.sqrt((size**2).sum()), "inf": size.sum(), "1": size.max(initial=0.0)}[norm]


def margins(network, X, norm="2"):
    """Per layer the margins of its neurons, of an argmax head the single lead; from exact pre-activations."""
    found, signal = [], np.asarray(X if network.grid is None else network.grid.quantize(X), dtype=float)
    for k, (W, b) in enumerate(network.layers):
        exact = [plain.affine(x, W, b) for x in signal.tolist()]
        last = k == len(network.layers) - 1
        if last and network.head == "argmax":
            winners = [plain.lowest_argmax(a) for a in exact]
            least = min(a[y] - a[c] for a, y in zip(exact, winners, strict=True) for c in range(len(b)) if c != y)
            size = standardized_size(W, signal, k == 0, norm)
            found.append([float(least) / size if size else np.inf])
            return found
        sizes = [standardized_size(w, signal, k == 0, norm) for w in W]
        least = [float(min(abs(a[j]) for a in exact)) for j in range(len(b))]
        found.append([a / size if size else np.inf for a, size in zip(least, sizes, strict=True)])
        signal = np.array([[float(v >= 0) for v in a] for a in exact])
    return found


def hostile_case(rng):
    """A random network and points with duplicates, constant columns, extreme scales, offsets and exact ties."""
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 40))
    hidden = tuple(rng.integers(1, 5, rng.integers(0, 3)).tolist())
    head, n_classes = str(rng.choice(["threshold", "argmax"])), int(rng.integers(2, 5))
    network = plain.random_network(rng, n, hidden, tuple(range(n_classes)), head)
    X = rng.normal(size=(m, n)) if rng.random() < 0.5 else rng.integers(-2, 3, (m, n)).astype(float)
    X[rng.integers(0, m, m // 4)] = X[0]
    if rng.random() < 0.3:
        X[:, rng.integers(n)] = 0.0
    scale, offset = 10.0 ** rng.integers(-8, 9), 1e7 if rng.random() < 0.3 else 0.0
    X = X * scale + offset
    W, b = network.layers[0]
    W, b = W / scale, b - (W / scale).sum(axis=1) * offset
    if rng.random() < 0.3:
        W = np.rint(W * scale * 2) / scale / 2
        b = -(W @ X[0])  # the first point lies on every threshold, or next to it
    return replace(network, layers=((W, b), *network.layers[1:])), X


@pytest.mark.parametrize("seed", range(5))
def test_decisions_stay_and_margins_never_shrink(seed):
    rng = np.random.default_rng(seed)
    grown = total = 0
    for _ in range(60):
        network, X = hostile_case(rng)
        norm = str(rng.choice(["2", "1", "inf"]))
        better = polished(network, X, norm=norm)
        assert decisions(better, X) == decisions(network, X)
        for before, after in zip(margins(network, X, norm), margins(better, X, norm), strict=True):
            assert all(a >= b * (1 - 1e-12) for b, a in zip(before, after, strict=True))
            grown += sum(a > b for b, a in zip(before, after, strict=True))
            total += len(before)
    assert grown > 0.5 * total


@pytest.mark.parametrize("seed", range(4))
def test_euclidean_margin_of_a_neuron_is_that_of_a_support_vector_machine(seed):
    svm = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(seed)
    for _ in range(15):
        n, m = int(rng.integers(1, 8)), int(rng.integers(4, 60))
        X, w = rng.normal(size=(m, n)) * 10.0 ** rng.integers(-3, 4, n), rng.normal(size=n)
        w /= np.abs(X).max(axis=0)
        network = Network([([w], [-np.median(X @ w)])], head="threshold", classes=[0, 1])
        on = network.activations(X)[0][:, 0]
        center = np.quantile(X, 0.5, axis=0, method="lower")
        scaled = (X - center) / np.abs(X - center).max(axis=0)
        machine = svm.SVC(kernel="linear", C=1e10, tol=1e-8).fit(scaled, on)
        other = np.where(on, 1, -1) * machine.decision_function(scaled)
        best = other.min() / np.linalg.norm(machine.coef_)
        assert margins(polished(network, X, tolerance=1e-9), X)[0][0] >= best * (1 - 1e-6)
        # and no larger than the dual solution says
        assert margins(polished(network, X), X)[0][0] <= 1 / np.linalg.norm(machine.coef_) * (1 + 1e-4)


@pytest.mark.parametrize("norm", ["1", "inf"])
def test_other_norms_agree_with_one_big_linear_program(norm):
    rng = np.random.default_rng(3)
    for _ in range(15):
        n, m = int(rng.integers(1, 6)), int(rng.integers(4, 50))
        X, w = rng.uniform(-1, 1, (m, n)), rng.normal(size=n)
        network = Network([([w], [-np.median(X @ w)])], head="threshold", classes=[0, 1])
        side = np.where(network.activations(X)[0][:, 0], 1.0, -1.0)[:, None]
        center = np.quantile(X, 0.5, axis=0, method="lower")
        U = (X - center) / np.abs(X - center).max(axis=0)
        # minimize the size of (p - q) subject to margins of 1
        A = np.hstack([-side * U, side * U, -side])
        if norm == "inf":
            solved = linprog([1.0] * (2 * n) + [0.0], A, -np.ones(m), bounds=[(0, None)] * (2 * n) + [(None, None)])
        else:
            A = np.vstack([np.hstack([A, np.zeros((m, 1))]), np.hstack([np.eye(2 * n), np.zeros((2 * n, 1)), -np.ones((2 * n, 1))])])  # fmt: skip # noqa: E501
            b = np.concatenate([-np.ones(m), np.zeros(2 * n)])
            solved = linprog([0.0] * (2 * n + 1) + [1.0], A, b, bounds=[(0, None)] * (2 * n) + [(None, None)] * 2)
        assert margins(polished(network, X, norm=norm), X, norm)[0][0] == pytest.approx(1 / solved.fun, rel=1e-5)


def test_lead_of_an_argmax_head_is_the_largest():
    rng = np.random.default_rng(5)
    for _ in range(6):
        n, m, C = 2, 12, 3
        X = rng.uniform(-1, 1, (m, n))
        network = plain.random_network(rng, n, (), tuple(range(C)), "argmax")
        winners = network.predict_index(X)
        if len(np.unique(winners)) < 2:
            continue
        center = np.quantile(X, 0.5, axis=0, method="lower")
        U = (X - center) / np.abs(X - center).max(axis=0)
        A, T = OrderingConstraints.of_argmax(U, winners, C).rows(np.arange(m * (C - 1)))
        M = np.hstack([A, T])
        reference = polished(network, X)
        start = np.zeros(C * n + C)
        solved = minimize(
            lambda v, k=C * n: v[:k] @ v[:k], start, method="SLSQP", options={"maxiter": 1000, "ftol": 1e-14},
            constraints={"type": "ineq", "fun": lambda v, M=M: M @ v - 1, "jac": lambda v, M=M: M},
        )  # fmt: skip
        if not solved.success:
            continue
        v = solved.x
        best = (M @ v).min() / np.linalg.norm(v[: C * n])
        assert margins(reference, X)[0][0] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("solver", ["euclidean", "program"])
def test_separators_of_many_points_with_many_classes(solver):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(3000, 6))
    W, b = rng.normal(size=(4, 6)), rng.normal(size=4) * 0.3
    comparisons = OrderingConstraints.of_argmax(X, np.argmax(X @ W.T + b, axis=1), 4)
    assert comparisons.differences(W, b).min() > 0
    if solver == "euclidean":
        found = euclidean(comparisons, (W, b), FAR, 1e-7)
    else:
        found = by_linear_program(comparisons, (W, b), FAR, 1e-7)
    least = comparisons.differences(found.weights, found.bias).min()
    assert found.finished
    size = np.linalg.norm if solver == "euclidean" else lambda a: np.abs(a).max()
    assert least / size(found.weights) > 2 * comparisons.differences(W, b).min() / size(W)


def test_threads_that_others_gave_to_highs_do_no_harm():
    # HiGHS fixes the number of threads when it first runs on a thread, and refuses to run with another one
    rng = np.random.default_rng(29)
    X, w = rng.uniform(-1, 1, (60, 4)), rng.normal(size=4)
    network = Network([([w], [-np.median(X @ w)])], head="threshold", classes=[0, 1])
    found = []

    def work(threads):
        others = quiet_highs()
        others.setOptionValue("threads", threads)
        others.addVars(1, [0.0], [1.0])
        others.run()
        found.append(margins(polished(network, X, norm="1"), X, "1")[0][0])

    for threads in (1, 2, 3):
        thread = threading.Thread(target=work, args=(threads,))
        thread.start()
        thread.join()
    assert found[0] > margins(network, X, "1")[0][0]
    assert found == [found[0]] * 3


def test_a_point_on_the_threshold_counts_as_on():
    network = Network([([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    (W, b), *_ = polished(network, [[0.0], [1.0], [2.0]]).layers
    assert -b[0] / W[0, 0] == 0.5
    mirrored = Network([([[-1.0]], [1.0])], head="threshold", classes=[0, 1])
    (W, b), *_ = polished(mirrored, [[0.0], [1.0], [2.0]]).layers
    assert -b[0] / W[0, 0] == 1.5


def test_constant_neurons_become_clearly_constant():
    network = Network(
        [([[1.0, 2.0], [0.5, 0.1]], [9.0, -9.0]), ([[1.0, 1.0]], [-0.5])], head="threshold", classes=[0, 1]
    )
    better = polished(network, [[0.0, 1.0], [1.0, 0.0]])
    assert better.layers[0].weights.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert better.layers[0].bias.tolist() == [1.0, -1.0]
    assert better.layers[1].bias.tolist() == [1.0]
    one = polished(
        Network([([[1.0], [2.0], [0.0]], [0.0, 9.0, 0.0])], head="argmax", classes=[0, 1, 2]), [[0.0], [1.0]]
    )
    assert (one.layers[0].weights.tolist(), one.layers[0].bias.tolist()) == ([[0.0]] * 3, [0.0, 1.0, 0.0])


def test_ties_of_an_argmax_head_stay_with_the_lowest_index():
    network = Network([([[1.0], [1.0], [-1.0]], [0.0, 0.0, 0.5])], head="argmax", classes=[0, 1, 2])
    X = [[0.25], [1.0], [-1.0], [0.0]]
    assert network.predict_index(X).tolist() == [0, 0, 2, 2]
    better = polished(network, X)
    assert better.predict_index(X).tolist() == [0, 0, 2, 2]
    outputs, _, _ = plain.evaluate(better, X)
    assert all(sorted(a)[-1] > sorted(a)[-2] for a in outputs)


def test_outputs_of_several_classes_that_do_not_fire_once_keep_their_order():
    rng = np.random.default_rng(11)
    changed = 0
    for _ in range(60):
        network = plain.random_network(rng, 3, (4,), (0, 1, 2, 3), "threshold")
        X = rng.normal(size=(30, 3))
        better = polished(network, X)
        assert decisions(better, X) == decisions(network, X)
        changed += not np.array_equal(better.layers[1].weights, network.layers[1].weights)
    assert changed > 30


def test_networks_of_integers_are_returned_as_they_are():
    network = Network([([[1, -2]], [1])], head="threshold", classes=[0, 1])
    assert polished(network, [[0.0, 1.0], [3.0, 1.0]]) is network


def test_the_grid_of_a_network_is_respected():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(50, 3))
    grid = InputGrid.spanning(X, 3)
    network = plain.random_network(rng, 3, (2,), grid=grid)
    better = polished(network, X)
    assert better.grid is grid
    assert decisions(better, X) == decisions(network, X)


@pytest.mark.parametrize("norm", ["inf", "1", "2"])
def test_no_robust_loss_grows(norm):
    rng = np.random.default_rng(13)
    improved = 0
    for _ in range(25):
        network = plain.random_network(rng, 3, (3,), (0, 1, 2), str(rng.choice(["threshold", "argmax"])))
        X, codes = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
        codes = np.where(rng.random(30) < 0.8, network.predict_index(X), codes)
        settings = {"robust_radius": 0.1, "robust_norm": norm, "robust_model": str(rng.choice(["interval", "pattern"]))}
        better = polished(network, X, codes=codes, **settings)
        radius = np.full(3, 0.1)
        before, after = (
            robust_losses(net, X, codes, radius, norm, settings["robust_model"])[0] for net in (network, better)
        )
        assert np.all(after <= before)
        assert decisions(better, X) == decisions(network, X)
        improved += int((before - after).sum())
    assert improved > 0


def test_a_spent_budget_changes_nothing_and_a_short_one_never_spoils():
    rng = np.random.default_rng(17)
    X = rng.normal(size=(4000, 60))
    network = plain.random_network(rng, 60, (8,))
    with ticking(0.0, step=1.0):
        assert polished(network, X, budget=Budget(seconds=1e-9)) is network
    with ticking(0.2, most_late=200):
        short = polished(network, X, budget=Budget(seconds=0.2))
    assert decisions(short, X) == decisions(network, X)


def test_separators_without_time_are_mixed_with_the_old_ones():
    rng = np.random.default_rng(19)
    X = rng.normal(size=(2000, 40))
    network = Network([(rng.normal(size=(1, 40)), [0.3])], head="threshold", classes=[0, 1])
    space = Space.of(X, True, "2", 1e-6)
    on = network.activations(X)[0][:, 0].astype(bool)
    comparisons = OrderingConstraints.of_neuron(space.scaled, on)
    old = space.inwards(*network.layers[0])
    rough = old[0] + rng.normal(size=old[0].shape) * 0.05, old[1]
    assert comparisons.differences(*rough).min() < 0
    W, b = space._blend(comparisons, old, rough)
    least = comparisons.differences(W, b).min() / np.linalg.norm(W)
    assert least >= comparisons.differences(*old).min() / np.linalg.norm(old[0]) > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "3"}, "norm must be one of inf, 1, 2, got '3'"),
        ({"tolerance": 0.0}, "tolerance must be a number between 0 and 1, got 0.0"),
        ({"robust_radius": 0.1}, "a robust radius needs codes"),
        ({"robust_radius": 0.1, "codes": [0]}, "a robust radius needs codes"),
        ({"robust_radius": -0.1}, "robust_radius must be finite and not negative"),
        ({"robust_radius": [0.1, 0.1]}, "robust_radius must be a number or have shape (1,), got (2,)"),
        (
            {"robust_radius": 0.1, "robust_model": "box"},
            "robust_model must be one of interval, pattern, worst_case, got 'box'",
        ),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    network = Network([([[1.0]], [-0.1])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError) as caught:
        polished(network, [[0.0], [1.0]], **settings)
    assert message in str(caught.value)


def test_the_twin_of_margins_is_right():
    network = Network([([[3.0, 4.0]], [0.0])], head="threshold", classes=[0, 1])
    X = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [0.5, 0.5], [-0.5, -0.25]])
    assert margins(network, X[1:])[0][0] == pytest.approx(2.5 / np.hypot(3 * 1.5, 4 * 1.25))
    assert Fraction(margins(network, X)[0][0]) == 0
