"""Input grids and integer features against brute force over all integers."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from bdnn import Network, certify
from bdnn.certification.whole import first_floats
from bdnn.errors import InputError
from bdnn.network import InputGrid
from plain import quantised, random_network


def draw_grid(rng, n):
    return InputGrid(rng.uniform(-1, 1, n), rng.uniform(0.05, 0.5, n), int(rng.integers(1, 4)))


def first_by_steps(grid, j, integer):
    """The smallest float that is rounded to an integer or more, by walking from float to float."""
    z = (integer - 0.5) * grid.step[j] + grid.offset[j]
    one = InputGrid(grid.offset[j : j + 1], grid.step[j : j + 1], grid.bits)
    while one.quantise(np.array([z]))[0] >= integer:
        z = np.nextafter(z, -np.inf)
    while one.quantise(np.array([z]))[0] < integer:
        z = np.nextafter(z, np.inf)
    return float(z)


def smallest(network, x, scale, lower, upper, frozen):
    """The smallest distance of an input that is decided otherwise, exactly, over all integers in reach."""
    grid, n = network.grid, len(x)
    at = quantised(grid, x.tolist())
    options = []
    for j in range(n):
        costs = {}
        for k in range(2**grid.bits):
            z = float(x[j])
            if k > at[j]:
                z = first_by_steps(grid, j, k)
            elif k < at[j]:
                z = float(np.nextafter(first_by_steps(grid, j, k + 1), -np.inf))
            if lower <= z <= upper and (k == at[j] or j not in frozen):
                costs[k] = (abs(Fraction(z) - Fraction(float(x[j]))) / Fraction(float(scale[j])), z)
        options.append(costs)
    code, best = network.predict_index(x[None, :])[0], None
    combinations = list(itertools.product(*options))
    inputs = np.array([[options[j][k][1] for j, k in enumerate(u)] for u in combinations])
    for u, decided in zip(combinations, network.predict_index(inputs), strict=True):
        if decided != code:
            cost = max(options[j][k][0] for j, k in enumerate(u))
            best = cost if best is None else min(best, cost)
    return best


@pytest.mark.parametrize("seed", range(60))
def test_grids_agree_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    hidden = [(), (int(rng.integers(1, 6)),), (4, 3)][seed % 3]
    classes = ("a", "b") if rng.random() < 0.5 else ("a", "b", "c")
    network = random_network(
        rng, n, hidden, classes, "argmax", integer=bool(rng.random() < 0.6), grid=draw_grid(rng, n)
    )
    x, scale = rng.uniform(-1.0, 2.0, n), rng.uniform(0.5, 2.0, n)
    lower, upper = (-1.5, 2.5) if rng.random() < 0.5 else (-np.inf, np.inf)
    frozen = [0] if n > 1 and rng.random() < 0.3 else []
    settings = {"scale": scale, "lower": lower, "upper": upper, "frozen": frozen}
    best = smallest(network, x, scale, lower, upper, frozen)
    found = certify(network, [x], **settings)
    assert not found.undecided[0]
    if best is None:
        assert found.radius[0] == np.inf
        assert certify(network, [x], radius=3.0, **settings).robust[0]
        return
    assert Fraction(found.radius[0]) < best <= Fraction(found.distance[0])
    assert found.distance[0] == pytest.approx(float(best), rel=1e-15)
    nearest = float(best) if Fraction(float(best)) >= best else np.nextafter(float(best), np.inf)
    assert not certify(network, [x], radius=nearest, **settings).robust[0]
    if best > 0:
        assert certify(network, [x], radius=np.nextafter(nearest, -1.0) if nearest > 0 else 0.0, **settings).robust[0]


def test_first_floats_are_the_first():
    rng = np.random.default_rng(0)
    for _ in range(30):
        grid = InputGrid(rng.normal(size=3) * 10.0 ** rng.integers(-3, 6), rng.uniform(1e-3, 10, 3), 4)
        integers = rng.integers(1, 16, 3).astype(float)
        first = first_floats(grid, integers)
        assert np.all(grid.quantise(first) >= integers)
        assert np.all(grid.quantise(np.nextafter(first, -np.inf)) < integers)


@pytest.mark.parametrize("seed", range(30))
def test_integer_features_agree_with_brute_force(seed):
    rng = np.random.default_rng(100 + seed)
    n = int(rng.integers(1, 4))
    hidden = [(), (int(rng.integers(1, 6)),), (4, 3)][seed % 3]
    network = random_network(rng, n, hidden, ("a", "b"), integer=bool(seed % 2))
    x = rng.integers(-3, 4, n).astype(float)
    every = np.array(list(itertools.product(range(-5, 6), repeat=n)), dtype=float)
    other = every[network.predict_index(every) != network.predict_index(x[None, :])[0]]
    far = np.abs(other - x).max(axis=1).min(initial=np.inf)
    found = certify(network, [x], integer=True, lower=-5, upper=5)
    assert not found.undecided[0]
    assert found.distance[0] == far and (found.radius[0] < far or far == np.inf)
    for radius in (0.0, 1.0, 2.5):
        assert certify(network, [x], integer=True, lower=-5, upper=5, radius=radius).robust[0] == (far > radius)


def test_integer_grades_are_all_decided():
    rng = np.random.default_rng(4)
    network = random_network(rng, 8, (6,), ("a", "b"))
    X = rng.integers(1, 11, (60, 8)).astype(float)
    found = certify(network, X, integer=True, lower=1, upper=10)
    assert not found.undecided.any()
    known = np.isfinite(found.distance)
    assert np.all(found.distance[known] == np.rint(found.distance[known]))
    assert np.all(found.radius[known] > found.distance[known] - 1e-6)


def test_what_integers_do_not_do():
    network = Network([([[1, 1]], [-1])], head="threshold", classes=[0, 1], grid=InputGrid([0.0, 0.0], [0.5, 0.5], 3))
    with pytest.raises(InputError, match="networks with an input grid can be certified in norm 'inf' only"):
        certify(network, [[0.0, 0.0]], norm="1")
    plain = Network(network.layers, head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match=r"row 0 has 0\.5 in feature 1"):
        certify(plain, [[0.0, 0.5]], integer=True)
    with pytest.raises(InputError, match="integer must be True or False"):
        certify(plain, [[0.0, 0.0]], integer=[True, False])


def test_wide_grids():
    rng = np.random.default_rng(0)
    n = 20
    network = random_network(rng, n, (8,), integer=True, grid=InputGrid(np.zeros(n), np.full(n, 1 / 255), 8))
    X = rng.uniform(0, 1, (4, n))
    found = certify(network, X, lower=0.0, upper=1.0)
    assert not found.undecided.any()
    for x, radius in zip(X, found.radius, strict=True):
        Z = np.clip(x + min(radius, 1.0) * rng.choice([-1.0, 1.0, 0.0], (2000, n)), 0.0, 1.0)
        assert np.all(network.predict_index(Z) == network.predict_index(x[None, :])[0])
