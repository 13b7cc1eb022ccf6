"""Support functions of balls, radii and integer steps, against plain twins and rational arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from bdnn.certification.integer_support import DOWN, FURTHER, UP, support_steps
from bdnn.certification.support import (
    INF,
    ONE,
    TWO,
    UNIT,
    excludes,
    largest_move,
    magnitude,
    magnitudes,
    proven_radius,
    reaches,
    smallest_radii,
    smallest_radius,
    support,
)

NORMS = (INF, ONE, TWO)


def plain_support(norm, g, r, low, high):
    """h(g, r): each feature goes as far as pays off; for norm 2 the price is found by bisection."""
    size, room = np.abs(g), np.where(g > 0, high, -low)
    if norm == INF:
        return float(sum(s * min(c, r) for s, c in zip(size, room, strict=True) if s > 0))
    if norm == ONE:
        total, left = 0.0, r
        for j in np.argsort(-size, kind="stable"):
            step = min(left, room[j])
            total, left = total + (size[j] * step if size[j] > 0 else 0.0), left - step
        return float(total)
    full = np.where(size > 0, room, 0.0)
    if r == 0.0:
        return 0.0
    if np.linalg.norm(full) <= r:
        return float(size @ full)
    least, most = 0.0, np.linalg.norm(size) / r
    for _ in range(2000):
        price = 0.5 * (least + most)
        if not least < price < most:
            break
        short = np.linalg.norm(np.minimum(full, size / price)) < r
        least, most = (least, price) if short else (price, most)
    return float(size @ np.minimum(full, size / most))


def forms(rng, n):
    """Forms and bounds as they come: dense, sparse, equal, huge and tiny numbers, no room, no bounds."""
    for _ in range(40):
        g = rng.normal(size=n) * 10.0 ** rng.integers(-3, 4, size=n)
        low, high = -rng.exponential(size=n), rng.exponential(size=n)
        kind = int(rng.integers(6))
        if kind == 1:
            g[rng.random(n) < 0.6] = 0.0
        elif kind == 2:
            g = rng.choice([-1.0, 0.0, 1.0], size=n)
        elif kind == 3:
            low[rng.random(n) < 0.5], high[rng.random(n) < 0.5] = -np.inf, np.inf
        elif kind == 4:
            low[rng.random(n) < 0.7], high[rng.random(n) < 0.7] = 0.0, 0.0
        elif kind == 5:
            low, high = np.full(n, -0.5), np.full(n, 0.5)
        yield g, low, high


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [0, 1, 3, 8, 29, 100])
def test_support_functions(norm, n):
    rng = np.random.default_rng(n)
    for g, low, high in forms(rng, n):
        for r in (0.0, 1e-3, 0.3, 1.0, 7.0, 1e4):
            value, slope = support(norm, g, r, low, high)
            expected = plain_support(norm, g, r, low, high)
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-300)
            assert slope >= 0.0
            # concave in r: the slope from the right bounds every rise
            assert plain_support(norm, g, 1.5 * r + 0.1, low, high) <= (value + slope * (0.5 * r + 0.1)) * (1 + 1e-9)
            cap = np.maximum(-low, high)
            assert magnitude(norm, g, r, low, high) == pytest.approx(
                plain_support(norm, np.abs(g), r, -cap, cap), rel=1e-12, abs=1e-300
            )


@pytest.mark.parametrize("norm", NORMS)
def test_smallest_radii(norm):
    rng = np.random.default_rng(1)
    for g, low, high in forms(rng, 17):
        for need in (-1.0, 0.0, 1e-6, 0.5, 20.0, 1e6):
            r = smallest_radius(norm, g, need, low, high)
            if need <= 0:
                assert r == 0.0
            elif r == np.inf:
                assert plain_support(norm, g, 1e12, low, high) < need
            else:
                assert plain_support(norm, g, r, low, high) == pytest.approx(need, rel=1e-9)
                assert plain_support(norm, g, r * (1 - 1e-6), low, high) < need


@pytest.mark.parametrize("norm", NORMS)
def test_of_all_rows_are_those_of_each(norm):
    rng = np.random.default_rng(2)
    W, need = rng.normal(size=(7, 12)), rng.normal(size=7)
    low, high = -rng.exponential(size=12), rng.exponential(size=12)
    assert smallest_radii(norm, W, need, low, high).tolist() == [
        smallest_radius(norm, w, a, low, high) for w, a in zip(W, need, strict=True)
    ]
    assert magnitudes(norm, W, 0.7, low, high).tolist() == [magnitude(norm, w, 0.7, low, high) for w in W]
    both, up, down = reaches(norm, W, 0.7, low, high)
    assert both.tolist() == magnitudes(norm, W, 0.7, low, high).tolist()
    assert up.tolist() == [support(norm, w, 0.7, low, high)[0] for w in W]
    assert down.tolist() == [support(norm, -w, 0.7, low, high)[0] for w in W]


def exact_support(norm, g, r, low, high):
    """h(g, r) in rational numbers, for norms inf and 1."""
    g, low, high = ([Fraction(v) for v in values] for values in (g, low, high))
    sizes = [(abs(a), h if a > 0 else -b) for a, b, h in zip(g, low, high, strict=True)]
    if norm == INF:
        return sum(s * min(c, r) for s, c in sizes)
    total, left = Fraction(0), r
    for s, c in sorted(sizes, key=lambda pair: -pair[0]):
        step = min(left, c)
        total, left = total + s * step, left - step
    return total


@pytest.mark.parametrize("norm", [INF, ONE])
def test_what_is_excluded_is_excluded_in_rational_arithmetic(norm):
    rng = np.random.default_rng(3)
    excluded = 0
    for _ in range(300):
        k, n = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        # numbers that rounding does harm to, and those that it does not
        W, factors = rng.normal(size=(k, n)), rng.exponential(size=k) * (rng.random(k) < 0.8)
        low, high = -rng.exponential(size=n), rng.exponential(size=n)
        if rng.random() < 0.3:
            W, factors = np.rint(2.0 * W) / 8.0, np.rint(2.0 * factors) / 4.0
            low, high = np.rint(low), np.rint(high)
        r = float(rng.integers(1, 9)) / 4.0
        exact = [
            sum((Fraction(f) * Fraction(w) for f, w in zip(factors, row, strict=True)), Fraction(0)) for row in W.T
        ]
        most = exact_support(norm, exact, Fraction(r), low, high)
        # a constant that makes the sum almost 0, a unit in the last place above or below it, or 0
        alpha = np.zeros(k)
        first = int(np.argmax(factors))
        if factors[first] == 0.0:
            assert not excludes(norm, W, alpha, np.zeros(k), factors, r, low, high)
            continue
        alpha[first] = -float(most / Fraction(factors[first])) * (1.0 + int(rng.integers(-3, 60)) * UNIT)
        said = excludes(norm, W, alpha, np.zeros(k), factors, r, low, high)
        truth = most + sum(Fraction(a) * Fraction(f) for a, f in zip(alpha, factors, strict=True)) < 0
        assert truth or not said
        assert not excludes(norm, W, alpha, np.full(k, 1.0), factors, r, low, high) or most == 0
        far = alpha - 1e-9 * (np.arange(k) == first)
        excluded += excludes(norm, W, far, np.zeros(k), factors, r, low, high)
        radius = proven_radius(norm, W, far, np.zeros(k), factors, low, high)
        if 0.0 < radius < math.inf:
            reached = exact_support(norm, exact, Fraction(radius), low, high)
            assert reached + sum(Fraction(a) * Fraction(f) for a, f in zip(far, factors, strict=True)) < 0
    assert excluded > 200


def test_nothing_is_proven_by_what_is_no_number():
    W, error, one = np.array([[1.0, 1.0]]), np.zeros(1), np.ones(1)
    low, high = np.full(2, -1.0), np.ones(2)
    for norm in NORMS:
        assert excludes(norm, W, np.array([-9.0]), error, one, 1.0, low, high)
        for bad in (np.nan, np.inf, -np.inf):
            assert not excludes(norm, np.array([[bad, 1.0]]), np.array([-9.0]), error, one, 1.0, low, high)
            assert not excludes(norm, W, np.array([-9.0]), error, np.array([bad]), 1.0, low, high)
        assert not excludes(norm, W, np.array([np.nan]), error, one, 1.0, low, high)
        assert not excludes(norm, W, np.array([-9.0]), error, -one, 1.0, low, high)


def test_largest_moves_are_rounded_up():
    rng = np.random.default_rng(4)
    for _ in range(300):
        x = rng.normal(size=9) * 10.0 ** rng.integers(-17, 17, size=9)
        z = x + rng.normal(size=9) * 10.0 ** rng.integers(-17, 17, size=9)
        exact = max(abs(Fraction(a) - Fraction(b)) for a, b in zip(x.tolist(), z.tolist(), strict=True))
        found = largest_move(x, z)
        assert Fraction(found) >= exact and (found == 0.0 or Fraction(math.nextafter(found, 0.0)) < exact)
    assert largest_move(np.zeros(0), np.zeros(0)) == 0.0


def phi(norm, costs, t):
    """What integer steps cost; for norm 2 its square."""
    c = 0.0 if t == 0 else (costs[UP] if t > 0 else costs[DOWN]) + costs[FURTHER] * (abs(t) - 1)
    return c if norm == ONE else c * c


@pytest.mark.parametrize("norm", [ONE, TWO])
@pytest.mark.parametrize("seed", range(15))
def test_steps_against_brute_force(norm, seed):
    rng = np.random.default_rng(seed)
    n = 4
    g, r = rng.normal(size=n), float(rng.uniform(0.2, 4.0))
    low, high = -rng.integers(0, 4, size=n).astype(float), rng.integers(0, 4, size=n).astype(float)
    costs = rng.uniform(0.3, 1.2, size=(n, 3))
    whole = np.ones(n, dtype=bool)
    budget = r if norm == ONE else r * r
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    best = max(
        float(g @ t) for t in itertools.product(*ranges) if sum(phi(norm, costs[j], t[j]) for j in range(n)) <= budget
    )
    bound = support_steps(norm, g, r, low, high, costs, whole)
    # the dual of a knapsack: never below, and at most the largest single step above
    assert best <= bound <= best + np.abs(g * np.maximum(-low, high)).max() + 1e-9
    # without integers the dual is tight, and first steps do not matter
    real = support_steps(norm, g, r, low, high, costs, np.zeros(n, dtype=bool))
    scaled = support(norm, g / costs[:, FURTHER], r, low * costs[:, FURTHER], high * costs[:, FURTHER])[0]
    assert scaled <= real * (1 + 1e-15) and real == pytest.approx(scaled, rel=1e-9)


def test_steps_that_are_forced_may_leave_nothing():
    low, high, costs, whole = np.array([2.0]), np.array([3.0]), np.ones((1, 3)), np.array([True])
    assert support_steps(ONE, np.zeros(1), 1.5, low, high, costs, whole) < -1e29
    assert support_steps(ONE, np.zeros(1), 2.0, low, high, costs, whole) == 0.0
    assert support_steps(ONE, np.ones(1), 2.5, low, high, costs, whole) == pytest.approx(2.5)
