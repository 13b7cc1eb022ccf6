"""Input grids and integer features against brute force over all integers."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from adversaries import distances, has_attack, sampled
from bdnn import Network, attack, certify
from bdnn.certification.integer_support import support_steps
from bdnn.certification.quantization import lower_thresholds
from bdnn.errors import InputError
from bdnn.network.grid import InputGrid
from plain import quantized, random_network

NORMS = ("inf", "1", "2")


def draw_grid(rng, n):
    return InputGrid(rng.uniform(-1, 1, n), rng.uniform(0.05, 0.5, n), int(rng.integers(1, 4)))


def first_by_steps(grid, j, integer):
    """The smallest float that is rounded to an integer or more, by walking from float to float."""
    z = (integer - 0.5) * grid.step[j] + grid.offset[j]
    one = InputGrid(grid.offset[j : j + 1], grid.step[j : j + 1], grid.bits)
    while one.quantize(np.array([z]))[0] >= integer:
        z = np.nextafter(z, -np.inf)
    while one.quantize(np.array([z]))[0] < integer:
        z = np.nextafter(z, np.inf)
    return float(z)


def options(network, x, scale, lower, upper, frozen=(), integer=(), reach=5):
    """By feature, the nearest input of every value that the network may see: (cost, input), exactly."""
    found = []
    for j in range(len(x)):
        here, unit = Fraction(float(x[j])), Fraction(float(scale[j]))
        if j in frozen:
            inputs = [float(x[j])]
        elif network.grid is None:
            inputs = [float(x[j]) + k for k in range(-reach, reach + 1)]
        elif j in integer:
            inputs = [float(k) for k in range(-reach, reach + 1)]
        else:
            at = quantized(network.grid, x.tolist())[j]
            up = [first_by_steps(network.grid, j, k) for k in range(at + 1, 2**network.grid.bits)]
            down = [float(np.nextafter(first_by_steps(network.grid, j, k + 1), -np.inf)) for k in range(at)]
            inputs = [*down, float(x[j]), *up]
        found.append([(abs(Fraction(z) - here) / unit, z) for z in inputs if lower <= z <= upper])
    return found


def smallest(network, x, norm, scale, lower, upper, frozen=(), integer=()):
    """The smallest distance of an input that is decided otherwise, exactly; its square for norm 2."""
    choices = list(itertools.product(*options(network, x, scale, lower, upper, frozen, integer)))
    other = network.predict_index([[z for _, z in u] for u in choices]) != network.predict_index(x[None, :])[0]
    powers = ([cost**2 if norm == "2" else cost for cost, _ in u] for u in itertools.compress(choices, other))
    return min((max(p) if norm == "inf" else sum(p) for p in powers), default=None)


def agrees(network, x, best, found, norm, settings):
    """Whether verdicts agree with the smallest distance there is, to the last digit, and around it too."""
    assert not found.undecided[0]
    if best is None:
        assert found.radius[0] == found.distance[0] == np.inf
        assert certify(network, [x], radius=4.0, norm=norm, **settings).robust[0]
        return
    power = 2 if norm == "2" else 1
    radius, distance = found.radius[0], found.distance[0]
    # the smallest perturbation, rounded down and up: the same float, or two of which one is the next of the other
    assert Fraction(radius) ** power <= best <= Fraction(distance) ** power
    assert distance == radius if Fraction(radius) ** power == best else distance == np.nextafter(radius, np.inf)
    assert found.attained[0] == (Fraction(radius) ** power == best)
    assert found.curve([np.nextafter(radius, 0.0), distance]).certified.tolist() == [1.0, 0.0]
    # the last float below the distance and the first one that is not
    nearest = found.distance[0]
    assert not certify(network, [x], radius=nearest, norm=norm, **settings).robust[0]
    below = np.nextafter(nearest, 0.0)
    if Fraction(below) ** power < best:
        assert certify(network, [x], radius=below, norm=norm, **settings).robust[0]


def replays(network, x, found, integer=(), lower=-np.inf, upper=np.inf, frozen=()):
    """Whether the attack on a point is one, and an input of the kind that is allowed."""
    z = found.attack[0]
    assert network.predict_index(z[None, :])[0] != network.predict_index(x[None, :])[0]
    assert np.all(z[list(integer)] == np.rint(z[list(integer)]))
    assert np.all((z >= lower) & (z <= upper)) and np.all(z[list(frozen)] == x[list(frozen)])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(24))
def test_grids_agree_with_brute_force(seed, norm):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    hidden = [(), (int(rng.integers(1, 6)),), (4, 3)][seed % 3]
    classes = ("a", "b") if rng.random() < 0.5 else ("a", "b", "c")
    head = "threshold" if rng.random() < 0.4 else "argmax"
    network = random_network(rng, n, hidden, classes, head, integer=bool(rng.random() < 0.6), grid=draw_grid(rng, n))
    x, scale = rng.uniform(-1.0, 2.0, n), rng.uniform(0.5, 2.0, n)
    lower, upper = (-1.5, 2.5) if rng.random() < 0.5 else (-np.inf, np.inf)
    frozen = [0] if n > 1 and rng.random() < 0.3 else []
    settings = {"scale": scale, "lower": lower, "upper": upper, "frozen": frozen}
    best = smallest(network, x, norm, scale, lower, upper, frozen)
    found = certify(network, [x], norm=norm, **settings)
    agrees(network, x, best, found, norm, settings)
    if best is not None:
        replays(network, x, found, lower=lower, upper=upper, frozen=frozen)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(15))
def test_integers_behind_a_grid_agree_with_brute_force(seed, norm):
    """Grid points may hold no integer, or many."""
    rng = np.random.default_rng(200 + seed)
    n = int(rng.integers(1, 4))
    hidden = [(), (int(rng.integers(1, 6)),), (4, 3)][seed % 3]
    grid = InputGrid(rng.uniform(-4, 0, n), rng.uniform(0.2, 2.5, n), int(rng.integers(2, 5)))
    network = random_network(rng, n, hidden, ("a", "b", "c"), "argmax", integer=bool(seed % 2), grid=grid)
    x, scale = rng.integers(-3, 4, n).astype(float), rng.uniform(0.5, 2.0, n)
    integer = np.flatnonzero(rng.random(n) < 0.6).tolist()
    free = [j for j in range(n) if j not in integer]
    x[free] += rng.uniform(-0.5, 0.5, len(free))
    settings = {"scale": scale, "lower": -5.0, "upper": 5.0, "integer": integer}
    best = smallest(network, x, norm, scale, -5.0, 5.0, integer=integer)
    found = certify(network, [x], norm=norm, **settings)
    agrees(network, x, best, found, norm, settings)
    if best is not None:
        replays(network, x, found, integer, -5.0, 5.0)


def test_lower_thresholds_are_the_first():
    rng = np.random.default_rng(0)
    for _ in range(30):
        grid = InputGrid(rng.normal(size=3) * 10.0 ** rng.integers(-3, 6), rng.uniform(1e-3, 10, 3), 4)
        integers = rng.integers(1, 16, 3).astype(float)
        first = lower_thresholds(grid, integers)
        assert np.all(grid.quantize(first) >= integers)
        assert np.all(grid.quantize(np.nextafter(first, -np.inf)) < integers)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(21))
def test_integer_features_agree_with_brute_force(seed, norm):
    rng = np.random.default_rng(100 + seed)
    n = int(rng.integers(1, 4))
    hidden = [(), (int(rng.integers(1, 6)),), (4, 3)][seed % 3]
    classes = ("a", "b") if rng.random() < 0.5 else ("a", "b", "c")
    head = "threshold" if rng.random() < 0.5 else "argmax"
    network = random_network(rng, n, hidden, classes, head, integer=bool(seed % 2))
    x = rng.integers(-3, 4, n).astype(float)
    scale = np.ones(n) if rng.random() < 0.5 else rng.uniform(0.5, 2.0, n)
    frozen = [int(rng.integers(n))] if n > 1 and rng.random() < 0.3 else []
    settings = {"scale": scale, "lower": -5, "upper": 5.5, "frozen": frozen, "integer": True}
    best = smallest(network, x, norm, scale, -5.0, 5.5, frozen, range(n))
    found = certify(network, [x], norm=norm, **settings)
    agrees(network, x, best, found, norm, settings)
    if best is not None:
        replays(network, x, found, range(n), -5, 5, frozen)
    robust = [certify(network, [x], norm=norm, radius=r, **settings).robust[0] for r in (0.0, 1.0, 1.5, 2.5, 4.0)]
    assert robust == sorted(robust, reverse=True)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(9))
def test_integers_beside_real_features_agree_with_an_smt_solver(seed, norm):
    rng = np.random.default_rng(300 + seed)
    n = int(rng.integers(2, 4))
    hidden = [(), (int(rng.integers(1, 4)),), (3, 2)][seed % 3] if norm != "2" else [(), (2,), (2, 2)][seed % 3]
    head, classes = ("threshold", ("a", "b")) if rng.random() < 0.5 else ("argmax", ("a", "b", "c"))
    network = random_network(rng, n, hidden, classes, head, integer=bool(rng.random() < 0.4))
    integer = sorted(rng.choice(n, int(rng.integers(1, n)), replace=False).tolist())
    x = rng.uniform(-1, 1, n)
    x[integer] = rng.integers(-1, 2, len(integer))
    settings = {"lower": -2.0, "upper": 2.5, "scale": rng.uniform(0.5, 2.0, n)}
    if n > 2 and rng.random() < 0.3:
        settings["frozen"] = [int(rng.integers(n))]
    found = certify(network, [x], norm=norm, integer=integer, **settings)
    assert not found.undecided[0]
    strictly = bool(found.attained[0])
    assert not has_attack(network, x, min(found.radius[0], 50.0), norm, **settings, strictly=strictly, integer=integer)
    if found.distance[0] == np.inf:
        assert found.radius[0] == np.inf
    else:
        replays(network, x, found, integer, -2.0, 2.5, settings.get("frozen", ()))
        assert distances(x, found.attack[0], norm, settings["scale"]) == pytest.approx(found.distance[0], rel=1e-12)
    for radius in (0.3, 0.8):
        verdict = certify(network, [x], radius=radius, norm=norm, integer=integer, **settings)
        assert not verdict.undecided[0]
        assert verdict.robust[0] != has_attack(network, x, radius, norm, **settings, integer=integer)


def test_integers_are_named_in_every_way():
    layers = random_network(np.random.default_rng(1), 3, (5,)).layers
    network = Network(layers, head="threshold", classes=["no", "yes"], feature_names=["a", "b", "c"])
    X = [[0.0, 0.3, 1.0]]
    for norm in NORMS:
        ways = (["a", "c"], [0, 2], [True, False, True], np.array([True, False, True]))
        found = [certify(network, X, norm=norm, integer=way) for way in ways]
        assert len({f.distance[0] for f in found}) == 1
        assert found[0].distance[0] >= certify(network, X, norm=norm).radius[0]
        assert certify(network, X, norm=norm, integer=[False] * 3).radius[0] == certify(network, X, norm=norm).radius[0]
        one = certify(network, X, norm=norm, integer="a")
        assert one.attack[0, 0] == np.rint(one.attack[0, 0])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [(), (8,), (6, 4)])
def test_attacks_on_integers_are_attacks_and_not_nearer_than_certified(norm, hidden):
    rng = np.random.default_rng(len(hidden))
    ratios = []
    for k in range(12):
        n, integer, grid = 6, [True, [0, 2, 3], False][k % 3], None
        if k % 3 == 2:
            grid, integer = InputGrid(np.zeros(n), np.full(n, 0.7), 4), [1, 4] if k > 2 else False
        network = random_network(rng, n, hidden, ("a", "b", "c"), "argmax", integer=bool(k % 2), grid=grid)
        X = rng.integers(1, 10, (5, n))[:2].astype(float)
        scale = rng.uniform(0.5, 2.0, n)
        settings = {"norm": norm, "lower": 0.5, "upper": 10.5, "scale": scale, "frozen": [5], "integer": integer}
        found, proven = attack(network, X, **settings), certify(network, X, **settings)
        assert not proven.undecided.any()
        hit = np.isfinite(found.distance)
        Z = found.inputs[hit]
        assert np.all(network.predict_index(Z) != network.predict_index(X[hit]))
        assert np.all((Z >= 0.5) & (Z <= 10.5)) and np.all(Z[:, 5] == X[hit, 5])
        whole = np.zeros(n, dtype=bool)
        whole[np.arange(n) if integer is True else integer or []] = True
        assert np.all(Z[:, whole] == np.rint(Z[:, whole]))
        np.testing.assert_allclose(distances(X[hit], Z, norm, scale), found.distance[hit], rtol=1e-12)
        assert np.all(found.distance >= proven.radius)
        near = attack(network, X, radius=1.0, **settings)
        assert np.all((near.distance <= 1.0) | np.isinf(near.distance))
        known = np.isfinite(proven.distance)
        ratios += (found.distance[known] / proven.distance[known]).tolist()
    assert np.median(ratios) < 1.3
    assert np.mean(np.isinf(ratios)) < 0.2


@pytest.mark.parametrize("norm", NORMS)
def test_the_bound_of_a_direction_holds_for_all_integers(norm):
    """`support_steps` is never below the best of all integers in the set, nor much above the real relaxation."""
    if norm == "inf":
        return
    rng, code = np.random.default_rng(0), NORMS.index(norm)
    for _ in range(200):
        n = int(rng.integers(1, 4))
        low, high = -rng.integers(0, 4, n).astype(float), rng.integers(0, 4, n).astype(float)
        if rng.random() < 0.3:
            low[0] = min(1.0, high[0])
        more = rng.uniform(0.2, 1.0, n)
        costs = np.stack([more, rng.uniform(0, 2, n) * more, rng.uniform(0, 2, n) * more], axis=1)
        g, radius = rng.normal(size=n), rng.uniform(0, 3)
        best = -np.inf
        for t in itertools.product(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True))):
            firsts = np.where(np.array(t) > 0, costs[:, 1], costs[:, 2])
            steps = np.where(np.array(t) == 0, 0.0, firsts + costs[:, 0] * (np.abs(t) - 1))
            if np.sum(np.power(steps, code)) <= radius**code:
                best = max(best, float(np.dot(g, t)))
        bound = support_steps(code, g, radius, low, high, costs, np.ones(n, dtype=bool))
        assert bound >= best - 1e-12
        box = np.maximum(g * low, g * high).sum()
        assert bound <= box + 1e-9


@pytest.mark.parametrize("norm", NORMS)
def test_integer_grades_are_all_decided(norm):
    rng = np.random.default_rng(4)
    network = random_network(rng, 8, (6,), ("a", "b"))
    X = rng.integers(1, 11, (60, 8)).astype(float)
    found = certify(network, X, norm=norm, integer=True, lower=1, upper=10)
    assert not found.undecided.any()
    known = np.isfinite(found.distance)
    squares = found.distance[known] ** 2
    np.testing.assert_allclose(squares, np.rint(squares), rtol=1e-12)
    assert np.array_equal(found.attack[known], np.rint(found.attack[known]))
    assert np.all(found.radius[known] > found.distance[known] - 1e-6)


def test_what_integers_do_not_do():
    network = Network([([[1, 1]], [-1])], head="threshold", classes=[0, 1], grid=InputGrid([0.0, 0.0], [0.5, 0.5], 3))
    plain = Network(network.layers, head="threshold", classes=[0, 1])
    for one in (network, plain):
        with pytest.raises(InputError, match=r"integer=True needs integers, but row 0 has 0\.5 in feature 1"):
            certify(one, [[0.0, 0.5]], integer=True)
    with pytest.raises(InputError, match=r"integer with feature 1 needs integers, but row 0 has 0\.5 in feature 1"):
        certify(plain, [[0.0, 0.5]], integer=[1])
    assert certify(plain, [[0.0, 0.5]], integer=[0]).distance[0] > 0
    with pytest.raises(InputError, match=r"integer as a mask needs one entry per feature \(2\), got 3"):
        certify(plain, [[0.0, 0.0]], integer=[True, False, True])
    with pytest.raises(InputError, match=r"integer must hold indices from 0 to 1 .*, or be a mask, got 'c'"):
        certify(plain, [[0.0, 0.0]], integer=["c"])
    with pytest.raises(InputError, match=r"needs integers up to 2\*\*53, but row 0 has 1e\+20 in feature 0"):
        certify(plain, [[1e20, 0.0]], integer=True)


@pytest.mark.parametrize("norm", NORMS)
def test_wide_grids(norm):
    rng = np.random.default_rng(0)
    n = 20
    network = random_network(rng, n, (8,), integer=True, grid=InputGrid(np.zeros(n), np.full(n, 1 / 255), 8))
    X = rng.uniform(0, 1, (4, n))
    found = certify(network, X, norm=norm, lower=0.0, upper=1.0, point_time_limit=60.0 if norm == "inf" else 0.3)
    # in the other norms that may take longer, but what is proven stands
    assert not found.undecided.any() or norm != "inf"
    for x, radius in zip(X, found.radius, strict=True):
        assert sampled(network, x, min(radius, 2.0), norm, rng, lower=0.0, upper=1.0)
