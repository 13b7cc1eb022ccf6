"""Verdicts against an SMT solver, brute force, an independent program and random perturbations."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from adversaries import distances, has_attack, sampled
from bdnn import Network, certify
from plain import random_network

NORMS = ("inf", "1", "2")


def draw(seed, hidden=None, widest=5, most=3):
    """A random small network, points and the settings of an attacker."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    depth = int(rng.integers(0, 4)) if hidden is None else hidden
    classes = ("a", "b") if rng.random() < 0.5 else ("a", "b", "c")
    head = "threshold" if rng.random() < 0.5 else "argmax"
    widths = tuple(int(rng.integers(1, widest)) for _ in range(depth))
    network = random_network(rng, n, widths, classes, head, integer=bool(rng.random() < 0.4))
    settings = {}
    if rng.random() < 0.5:
        settings |= {"lower": -1.25, "upper": rng.uniform(1.0, 2.0, n)}
    if rng.random() < 0.4:
        settings["scale"] = rng.uniform(0.5, 2.0, n)
    if n > 1 and rng.random() < 0.3:
        settings["frozen"] = [int(rng.integers(n))]
    return network, rng.uniform(-1, 1, (1, n)), settings


@pytest.mark.parametrize("block", range(4))
def test_smallest_perturbations_agree_with_an_smt_solver(block):
    for seed in range(25 * block, 25 * block + 25):
        network, X, settings = draw(seed)
        norm = ("inf", "1")[seed % 2]
        found = certify(network, X, norm=norm, **settings)
        if found.undecided[0]:
            # without bounds, that a cell is empty in the whole space is not always provable
            assert "upper" not in settings and found.distance[0] == np.inf and found.radius[0] > 1e5
        if found.distance[0] < np.inf:
            assert network.predict_index(found.attack)[0] != network.predict_index(X)[0]
            size = distances(X, found.attack, norm, settings.get("scale", 1.0))[0]
            assert size == pytest.approx(found.distance[0], rel=1e-12)
        safe = min(found.radius[0], 50.0)
        assert not has_attack(network, X[0], safe, norm, **settings, strictly=bool(found.attained[0]))
        if not found.undecided[0] and found.distance[0] == np.inf:
            assert found.radius[0] == np.inf


@pytest.mark.parametrize("seed", range(20))
def test_verdicts_at_a_radius_agree_with_an_smt_solver(seed):
    network, X, settings = draw(1000 + seed)
    norm = ("inf", "1")[seed % 2]
    for radius in (0.0, 0.25, 0.7):
        found = certify(network, X, radius=radius, norm=norm, **settings)
        attacked = has_attack(network, X[0], radius, norm, **settings)
        assert found.undecided[0] or found.robust[0] == (not attacked)
        assert not found.undecided[0]
        assert (found.distance[0] <= radius) == attacked


@pytest.mark.parametrize("seed", range(12))
def test_norm_2_agrees_with_an_smt_solver(seed):
    network, X, settings = draw(2000 + seed, hidden=seed % 3, widest=4, most=2)
    found = certify(network, X, norm="2", **settings)
    assert not has_attack(network, X[0], min(found.radius[0], 50.0), "2", **settings, strictly=bool(found.attained[0]))
    if not found.undecided[0]:
        assert found.radius[0] == np.inf or found.distance[0] <= found.radius[0] * (1 + 1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_no_perturbation_within_the_radius_changes_a_decision(norm, depth):
    rng = np.random.default_rng(depth)
    for _ in range(8):
        network = random_network(rng, 6, (5,) * depth, ("a", "b", "c"), "argmax", integer=bool(rng.random() < 0.5))
        scale, free = rng.uniform(0.5, 2, 6), rng.random(6) < 0.8
        X = rng.uniform(0, 1, (4, 6))
        found = certify(network, X, norm=norm, lower=0.0, upper=1.0, scale=scale, frozen=~free)
        assert found.undecided.sum() <= 1
        for x, radius in zip(X, found.radius, strict=True):
            assert sampled(network, x, min(radius, 5.0), norm, rng, lower=0.0, upper=1.0, scale=scale, free=free)
        reached = np.isfinite(found.distance)
        assert np.all((found.attack[reached] >= 0) & (found.attack[reached] <= 1))
        assert np.array_equal(found.attack[reached][:, ~free], X[reached][:, ~free])


def test_brute_force_over_a_lattice():
    """No point of a fine lattice within the radius is decided otherwise, and none nearer than the attack."""
    lattice = np.array(list(itertools.product(np.linspace(-2, 2, 161), repeat=2)))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        network = random_network(rng, 2, (4, 3) if seed % 2 else (5,), ("a", "b"), integer=seed % 3 == 0)
        classes = network.predict_index(lattice)
        X = rng.uniform(-0.8, 0.8, (3, 2))
        for norm in NORMS:
            found = certify(network, X, norm=norm, lower=-2.0, upper=2.0)
            for i, code in enumerate(network.predict_index(X)):
                far = distances(X[i], lattice[classes != code], norm).min(initial=np.inf)
                assert found.radius[i] <= far
                assert found.undecided[i] or found.distance[i] <= far * (1 + 1e-6)


@pytest.mark.parametrize("norm", ["inf", "1"])
def test_closed_form_without_hidden_layer_agrees_with_a_linear_program(norm):
    rng = np.random.default_rng(0)
    for _ in range(15):
        n, k = int(rng.integers(2, 6)), int(rng.integers(2, 4))
        network = random_network(rng, n, (), tuple("abcd"[:k]), "argmax")
        x, scale = rng.uniform(-1, 1, n), rng.uniform(0.5, 2, n)
        low, high = x - rng.uniform(0, 1, n), x + rng.uniform(0, 1, n)
        found = certify(network, [x], norm=norm, lower=low, upper=high, scale=scale)
        code = network.predict_index([x])[0]
        weights, bias = network.layers[0]
        best = np.inf
        for c in set(range(k)) - {code}:
            w, b = weights[c] - weights[code], bias[c] - bias[code]
            # moves up and down, and the radius
            cap = np.vstack([np.eye(n), np.eye(n)]).T if norm == "inf" else np.ones((1, 2 * n))
            program = linprog(
                np.append(np.zeros(2 * n), 1.0),
                A_ub=np.vstack([np.append(np.append(-w * scale, w * scale), 0.0), np.c_[cap, -np.ones(len(cap))]]),
                b_ub=np.append(w @ x + b, np.zeros(len(cap))),
                bounds=[*[(0, v) for v in (high - x) / scale], *[(0, v) for v in (x - low) / scale], (0, None)],
            )
            best = min(best, program.fun if program.status == 0 else np.inf)
        assert found.radius[0] == pytest.approx(best, rel=1e-7)
        assert not found.undecided[0]


def test_norm_2_without_hidden_layer_is_the_distance_from_the_plane():
    network = Network([([[3.0, 4.0]], [-25.0])], head="threshold", classes=[0, 1])
    found = certify(network, [[0.0, 0.0]], norm="2")
    assert found.radius[0] == pytest.approx(5.0, rel=1e-12)
    assert found.radius[0] <= 5.0 <= found.distance[0]
    # the first feature has no room left after 1: the rest must come from the second
    capped = certify(network, [[0.0, 0.0]], norm="2", upper=[1.0, 100.0])
    assert capped.radius[0] == pytest.approx(np.hypot(1.0, 5.5), rel=1e-9)


def test_the_border_belongs_to_what_fires():
    on = Network([([[1.0]], [-1.0])], head="threshold", classes=[0, 1])  # 1 from x = 1 on
    off = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])  # 0 below x = 0
    up, down = certify(on, [[0.5]], radius=0.5), certify(off, [[0.5]], radius=0.5)
    assert not up.robust[0] and up.attack[0, 0] == 1.0 and up.distance[0] == 0.5
    assert down.robust[0] and not down.undecided[0]
    hidden_on = Network([([[1.0]], [-1.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    hidden_off = Network([([[1.0]], [0.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    deep_on = Network([*hidden_on.layers[:1], ([[1.0]], [-1.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    for network in (hidden_on, deep_on):
        for norm in NORMS:
            found = certify(network, [[0.5]], radius=0.5, norm=norm)
            assert not found.robust[0] and found.attack[0, 0] == 1.0
            assert certify(network, [[0.5]], radius=np.nextafter(0.5, 0), norm=norm).robust[0]
    assert certify(hidden_off, [[0.5]], radius=0.5).robust[0]
    assert not certify(hidden_off, [[0.5]], radius=0.500001).robust[0]


def test_a_tie_of_outputs_goes_to_the_lower_class():
    layers = [([[1.0]], [0.0]), ([[0.0], [1.0], [1.0]], [1.0, 0.0, 0.0])]
    network = Network(layers, head="argmax", classes=["a", "b", "c"])
    assert certify(network, [[-1.0]]).radius[0] == np.inf  # b and c reach a score of 1, no more than a has
    better = Network([layers[0], (layers[1][0], [1.0, 0.0, 0.5])], head="argmax", classes=["a", "b", "c"])
    assert certify(better, [[-1.0]]).distance[0] == 1.0


def test_radius_0_is_clean_accuracy_and_accuracy_falls_with_the_radius():
    rng = np.random.default_rng(3)
    network = random_network(rng, 3, (6,), ("a", "b"))
    X, y = rng.uniform(-1, 1, (40, 3)), rng.choice(["a", "b"], 40)
    clean = np.mean(network.predict(X) == y)
    before = 1.0
    smallest = certify(network, X, y)
    radii = np.array([0.0, 0.01, 0.05, 0.1, 0.3, 1.0])
    curve = smallest.curve(radii)
    for radius, certified, attacked in zip(radii, curve.certified, curve.attacked, strict=True):
        found = certify(network, X, y, radius=float(radius))
        assert found.robust_accuracy <= before
        assert certified <= found.attacked_accuracy and found.robust_accuracy <= attacked
        assert not found.undecided.any()
        before = found.robust_accuracy
        if radius == 0:
            assert before == clean == found.attacked_accuracy == found.clean_accuracy
    assert np.all(curve.certified <= curve.attacked)


def test_a_point_on_the_border_is_robust_at_radius_0():
    network = Network([([[1.0]], [0.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    found = certify(network, [[0.0]], radius=0.0)
    assert found.robust[0] and not found.attained[0]
    smallest = certify(network, [[0.0]])
    assert smallest.radius[0] == 0.0 and 0.0 < smallest.distance[0] < 1e-6


def test_wrong_points_are_attacks_themselves():
    network = Network([([[1.0]], [0.0])], head="threshold", classes=["no", "yes"])
    found = certify(network, [[1.0], [1.0]], ["yes", "no"])
    assert found.clean.tolist() == found.robust.tolist() == [True, False]
    assert found.radius[1] == found.distance[1] == 0.0 and found.attained[1] and found.attack[1, 0] == 1.0
    assert found.curve(0.0).certified.tolist() == [0.5]


@pytest.mark.parametrize("norm", NORMS)
def test_the_order_of_hidden_neurons_does_not_matter(norm):
    rng = np.random.default_rng(7)
    for hidden in ((6,), (5, 4)):
        network = random_network(rng, 4, hidden, ("a", "b", "c"), "argmax")
        order = rng.permutation(hidden[0])
        (W, b), (V, c), *rest = network.layers
        shuffled = Network([(W[order], b[order]), (V[:, order], c), *rest], head="argmax", classes=["a", "b", "c"])
        X = rng.uniform(-1, 1, (6, 4))
        first, second = certify(network, X, norm=norm), certify(shuffled, X, norm=norm)
        np.testing.assert_allclose(first.radius, second.radius, rtol=1e-6)


def test_scaling_inputs_and_scale_alike_changes_nothing():
    rng = np.random.default_rng(11)
    network = random_network(rng, 3, (5,), ("a", "b"))
    (W, b), last = network.layers
    units = np.array([4.0, 0.5, 32.0])
    scaled = Network([(W / units, b), last], head="threshold", classes=["a", "b"])
    X = rng.uniform(-1, 1, (8, 3))
    for norm in NORMS:
        first, second = certify(network, X, norm=norm), certify(scaled, X * units, norm=norm, scale=units)
        np.testing.assert_allclose(first.radius, second.radius, rtol=1e-6)


def test_a_constant_network_has_no_attack():
    network = Network([([[1.0, 2.0]], [0.0]), ([[1.0]], [1.0])], head="threshold", classes=[0, 1])
    found = certify(network, [[0.3, 0.4]])
    assert found.radius[0] == np.inf == found.distance[0] and not found.undecided[0]
    assert np.isnan(found.attack).all() and not found.attained[0]
    assert found.curve([0.0, 1e9]).certified.tolist() == [1.0, 1.0]
    frozen = Network([([[1.0, 2.0]], [0.0]), ([[1.0]], [-1.0])], head="threshold", classes=[0, 1])
    assert certify(frozen, [[0.3, 0.4]], frozen=[0, 1]).radius[0] == np.inf


def test_more_neurons_than_can_be_enumerated():
    rng = np.random.default_rng(2)
    network = random_network(rng, 30, (24,), ("a", "b"))
    X = rng.uniform(0, 1, (5, 30))
    found = certify(network, X, lower=0.0, upper=1.0)
    assert not found.undecided.any()
    for x, radius in zip(X, found.radius, strict=True):
        assert sampled(network, x, min(radius, 1.0), "inf", rng, lower=0.0, upper=1.0)


def test_threads_give_the_same():
    rng = np.random.default_rng(5)
    network = random_network(rng, 5, (8,), ("a", "b"))
    X = rng.uniform(-1, 1, (12, 5))
    one, two = certify(network, X), certify(network, X, n_jobs=2)
    assert np.array_equal(one.radius, two.radius) and np.array_equal(one.attack, two.attack, equal_nan=True)
