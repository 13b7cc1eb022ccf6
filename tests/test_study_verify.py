"""The study's verification against complete enumeration, samples of the ball and another program."""

import importlib.util
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

import plain
from bdnn import Network
from bdnn.network.intervals import robust_losses

FILE = Path(__file__).parents[1] / "benchmarks" / "study" / "verify.py"
HEADS = [("threshold", 2), ("argmax", 2), ("threshold", 3), ("argmax", 3)]


@pytest.fixture(scope="module")
def verify():
    if not FILE.exists():
        pytest.skip("the benchmarks are not part of this distribution")
    spec = importlib.util.spec_from_file_location("study_verify", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(draw, n, width, head, n_classes):
    outputs = 1 if (head, n_classes) == ("threshold", 2) else n_classes
    shapes = [((width, n), (width,)), ((outputs, width), (outputs,))]
    return Network([(draw(w), draw(b)) for w, b in shapes], head, np.arange(n_classes))


def small_numbers(rng, values):
    return lambda shape: rng.choice(values, shape).astype(float)


def check_attacks(net, X, y, radius, verdicts):
    assert not np.any(verdicts.proven & verdicts.broken)
    for x, z in zip(X[verdicts.broken], verdicts.attacks[verdicts.broken], strict=True):
        assert all(abs(Fraction(a) - Fraction(b)) <= Fraction(radius) for a, b in zip(x, z, strict=True))
    assert np.all(net.predict(verdicts.attacks[verdicts.broken]) != y[verdicts.broken])


@pytest.mark.parametrize("head, n_classes", HEADS)
def test_one_feature_is_decided_as_by_all_breakpoints(verify, head, n_classes):
    rng, broken = np.random.default_rng(5), 0
    for _ in range(25):
        # breakpoints are floats, and many thresholds coincide with each other and with the ends of balls
        first = (rng.choice((-2.0, -1.0, 1.0, 2.0), (3, 1)), rng.integers(-3, 4, 3).astype(float))
        net = network(small_numbers(rng, (-1, 0, 1)), 1, 3, head, n_classes)
        net = Network([first, net.layers[1]], head, net.classes)
        X = np.arange(-3.0, 4.0)[:, None]
        y, radius = rng.integers(0, n_classes, len(X)), float(rng.choice((0.5, 1.0, 2.0)))
        verdicts = verify.verify(net, X, y, radius)
        check_attacks(net, X, y, radius, verdicts)
        for x, label, proven in zip(X[:, 0], y, verdicts.proven, strict=True):
            breaks = (-first[1] / first[0][:, 0]).tolist()
            stops = sorted({x - radius, x + radius, *(b for b in breaks if abs(b - x) <= radius)})
            inputs = stops + [(a + b) / 2 for a, b in pairwise(stops)]
            assert proven == all(net.predict([[each]])[0] == label for each in inputs)
        assert np.all(verdicts.proven | verdicts.broken)
        broken += int(verdicts.broken.sum())
    assert 50 < broken < 170


@pytest.mark.parametrize("head, n_classes", HEADS)
def test_no_sample_of_a_ball_breaks_a_proven_point(verify, head, n_classes):
    rng, undecided, decided = np.random.default_rng(6), 0, np.zeros(2, dtype=int)
    steps = np.array(list(product(np.linspace(-1, 1, 9), repeat=2)))
    for _ in range(25):
        net = network(small_numbers(rng, range(-3, 4)), 2, 3, head, n_classes)
        X, radius = rng.integers(-4, 5, (8, 2)).astype(float), float(rng.choice((1.0, 2.0)))
        y = net.predict(X)
        verdicts = verify.verify(net, X, y, radius)
        check_attacks(net, X, y, radius, verdicts)
        sampled = np.array([np.any(net.predict(x + radius * steps) != label) for x, label in zip(X, y, strict=True)])
        assert np.all(verdicts.broken[sampled])
        losses, _ = robust_losses(net, X, y, np.full(2, radius), "inf")
        assert not np.any(verdicts.broken[losses == 0])
        undecided += int(np.sum(~verdicts.proven & ~verdicts.broken))
        decided += verdicts.proven.sum(), verdicts.broken.sum()
    assert undecided <= 4 and min(decided) >= 20


def attackable(net, x, label, radius, margin):
    """Whether a mixed-integer program finds a wrong prediction, with every inequality tightened by the margin."""
    (W, b), (V, c) = net.layers
    n, width = W.shape[1], W.shape[0]
    M = np.abs(W) @ (np.abs(x) + radius) + np.abs(b) + 1
    rows = [np.hstack([W, -np.diag(M)]), np.hstack([W, -np.diag(M)])]
    bounds = [(margin - M - b, np.inf), (-np.inf, -margin - b)]
    if net.widths[-1] == 1:
        wrong = [((1 - 2 * label) * V[0], (1 - 2 * label) * c[0])]
    else:
        wrong = [(V[k] - V[label], c[k] - c[label]) for k in range(len(c)) if k != label]
    limits = Bounds(np.append(x - radius, np.zeros(width)), np.append(x + radius, np.ones(width)))
    for slope, constant in wrong:
        last = LinearConstraint(np.append(np.zeros(n), slope)[None, :], margin - constant, np.inf)
        hidden = [LinearConstraint(A, low, high) for A, (low, high) in zip(rows, bounds, strict=True)]
        solved = milp(
            np.zeros(n + width), constraints=[*hidden, last], bounds=limits, integrality=[0] * n + [1] * width
        )
        assert solved.status in (0, 2)
        if solved.status == 0:
            return True
    return False


@pytest.mark.parametrize("head, n_classes", HEADS)
def test_verdicts_are_those_of_a_mixed_integer_program(verify, head, n_classes):
    rng, compared = np.random.default_rng(7), np.zeros(2, dtype=int)
    for width in (1, 2, 4, 6):
        net = network(lambda shape: rng.normal(size=shape), 4, width, head, n_classes)
        X = rng.uniform(-1, 1, (12, 4))
        y, radius = net.predict(X), 0.3
        verdicts = verify.verify(net, X, y, radius)
        check_attacks(net, X, y, radius, verdicts)
        assert np.all(verdicts.proven | verdicts.broken)
        for x, label, broken in zip(X, y, verdicts.broken, strict=True):
            sure, perhaps = (attackable(net, x, label, radius, margin) for margin in (1e-4, -1e-4))
            if sure == perhaps:
                assert broken == sure
                compared[int(broken)] += 1
    assert min(compared) >= 8 and sum(compared) >= 40


def test_radius_zero_is_the_prediction(verify):
    rng = np.random.default_rng(8)
    for hidden in ((2,), (3, 2)):
        net = plain.random_network(rng, 3, hidden=hidden, integer=True)
        X = rng.integers(-2, 3, (30, 3)).astype(float)
        y = rng.choice(net.classes, 30)
        verdicts = verify.verify(net, X, y, 0.0)
        assert np.array_equal(verdicts.proven, net.predict(X) == y)
        assert np.array_equal(verdicts.broken, net.predict(X) != y)
        assert np.array_equal(verdicts.attacks, X)


def test_a_threshold_on_the_edge_of_the_ball(verify):
    # the neuron fires from exactly 1: at the edge of the closed ball, or nowhere in a ball smaller by an ulp
    net = Network([([[1.0]], [-1.0]), ([[1.0]], [-1.0])], "threshold", [0, 1])
    X, y = np.array([[0.5]]), np.array([0])
    assert verify.verify(net, X, y, 0.5).broken[0]
    assert verify.verify(net, X, y, np.nextafter(0.5, 0)).proven[0]


@pytest.mark.parametrize("n", range(1, 8))
def test_states_that_exclude_each_other_only_by_a_tie(verify, n):
    # wrong only where all features are at least 0 and their sum is below 0: nowhere, although each neuron is open
    first = np.vstack([np.eye(n), np.ones(n)]), np.zeros(n + 1)
    net = Network([first, ([[*[1.0] * n, -1.0]], [float(-n)])], "threshold", [0, 1])
    X = np.random.default_rng(n).uniform(-0.5, 0.5, (5, n))
    assert verify.verify(net, X, np.zeros(5), 1.0).proven.all()


def test_ends_of_a_ball_are_the_last_floats_in_it(verify):
    rng = np.random.default_rng(9)
    X, radius = rng.uniform(-1, 1, (20, 3)), 0.1
    low, high = verify.ends(X, radius)
    for x, a, b in zip(X.ravel(), low.ravel(), high.ravel(), strict=True):
        assert Fraction(x) - Fraction(a) <= Fraction(radius) < Fraction(x) - Fraction(np.nextafter(a, -np.inf))
        assert Fraction(b) - Fraction(x) <= Fraction(radius) < Fraction(np.nextafter(b, np.inf)) - Fraction(x)


def test_what_cannot_be_verified_is_refused(verify):
    for shape in ((), (13,)):
        net = plain.random_network(np.random.default_rng(0), 2, hidden=shape)
        with pytest.raises(ValueError, match="at most 12 neurons and no grid"):
            verify.verify(net, np.zeros((1, 2)), np.zeros(1), 0.1)
