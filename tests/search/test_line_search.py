"""The compiled line searches against a plain twin: sort the breakpoints, sum the jumps."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdnn.search import kernels


def generator(seed=12345):
    return np.array([seed], dtype=np.uint64)


def search(a, s, g, integer=False, rng=None):
    a, s, g = (np.asarray(values, dtype=np.float64) for values in (a, s, g))
    return kernels.line_search(a, s, g, integer, generator() if rng is None else rng)


def lattice(a, s, g, t_min, t_max, rng=None):
    a, s, g = (np.asarray(values, dtype=np.float64) for values in (a, s, g))
    return kernels.lattice_search(a, s, g, float(t_min), float(t_max), generator() if rng is None else rng)


def fires(a, s, t):
    """[a + t s >= 0], in rationals."""
    t = Fraction(t)
    return np.array([Fraction(x) + t * Fraction(y) >= 0 for x, y in zip(a.tolist(), s.tolist(), strict=True)])


def twin(a, s, g, integer):
    """All intervals between breakpoints as (change, left, right), those of integers without an integer left out."""
    moving = s != 0
    a, s, g = a[moving], s[moving], g[moving]
    t = np.where(s > 0, np.ceil(-a / s), np.floor(-a / s) + 1) if integer else -a / s
    jump, before = np.where(s > 0, g, -g), g[s < 0].sum() - g[a >= 0].sum()
    edges = [-np.inf, *np.unique(t), np.inf]
    return [(before + jump[t <= left].sum(), left, right) for left, right in itertools.pairwise(edges)]


def inside(left, right, integer):
    """A point of an interval, None if there is none clear of its ends."""
    if integer:
        return left if math.isfinite(left) else right - 1 if math.isfinite(right) else 0.0
    if math.isfinite(left) and math.isfinite(right):
        middle = left + (right - left) / 2
        clear = min(middle - left, right - middle) > 4 * np.spacing(max(abs(left), abs(right)))
        return middle if clear else None
    step = 1 + abs(left if math.isfinite(left) else right if math.isfinite(right) else 0.0)
    return left + step if math.isfinite(left) else right - step if math.isfinite(right) else 0.0


def check(a, s, g, integer, rng=None, rounding=0.0):
    """The search finds the best change, an interval of the twin's that has it, and a point there that has it."""
    a, s, g = (np.asarray(values, dtype=np.float64) for values in (a, s, g))
    change, left, right = search(a, s, g, integer, rng)
    intervals = twin(a, s, g, integer)
    best = min(value for value, _, _ in intervals)
    assert abs(change - best) <= rounding
    # points without a gain need not end it
    within = [value for value, low, high in intervals if left <= low and high <= right]
    assert within and max(within) <= best + 2 * rounding
    assert left in [low for _, low, _ in intervals] and right in [high for _, _, high in intervals]
    t = inside(left, right, integer)
    if t is not None and len(a) <= 50:
        assert abs(g[fires(a, s, t)].sum() - g[a >= 0].sum() - change) <= rounding


def random_line(rng, size):
    """Lines of all kinds, breakpoints that meet among them."""
    kind = rng.integers(6)
    if kind == 0:
        a, s = rng.normal(size=size), rng.normal(size=size)
    elif kind == 1:
        a, s = rng.integers(-9, 10, size).astype(float), rng.integers(-3, 4, size).astype(float)
    elif kind == 2:
        a, s = np.round(rng.normal(size=size), 1), rng.choice([-1.0, 1.0], size)
    elif kind == 3:  # few breakpoints, and outliers far from most of them
        a, s = rng.choice([0.0, 1.0, -2.5, 1e6, -1e9], size, p=[0.2, 0.3, 0.3, 0.1, 0.1]), np.ones(size)
    elif kind == 4:
        a, s = rng.standard_cauchy(size), rng.normal(size=size)
    else:
        a, s = rng.normal(size=size) * 10.0 ** rng.integers(-9, 10, size), rng.normal(size=size)
    s[rng.random(size) < rng.choice([0.0, 0.2, 1.0], p=[0.6, 0.35, 0.05])] = 0.0
    a[rng.random(size) < 0.1] = 0.0
    g = rng.integers(-3, 4, size).astype(float)
    if rng.random() < 0.3:
        a, s, g = np.repeat(a, 3)[:size], np.repeat(s, 3)[:size], np.repeat(g, 3)[:size]
    return a, s, g


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 40, 150, 700])
def test_continuous_steps(size):
    rng, tie = np.random.default_rng(size), generator()
    for _ in range(100):
        check(*random_line(rng, size), False, tie)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 40, 150, 700])
def test_integer_steps(size):
    rng, tie = np.random.default_rng(100 + size), generator()
    for _ in range(100):
        a, s, g = random_line(rng, size)
        check(np.rint(a), np.rint(s), g, True, tie)


def test_many_points():
    rng, tie = np.random.default_rng(1), generator()
    for size in (9000, 40_000, 100_000):
        for integer in (False, True):
            a, s, g = random_line(rng, size)
            check(np.rint(a) if integer else a, np.rint(s) if integer else s, g, integer, tie)


numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 0.1, 1 / 3, 1e-9, -1e9, 7.0, -0.0, 1e150, -1e-150])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(numbers, numbers, st.integers(-2, 2)), min_size=1, max_size=24))
def test_degenerate_lines(rows):
    a, s, g = (np.array(values, dtype=float) for values in zip(*rows, strict=True))
    s[np.abs(s) < 1e-100] = 0.0  # quotients must not overflow
    check(a, s, g, False)


integers = st.integers(-6, 6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(integers, integers, st.integers(-2, 2)), min_size=1, max_size=24), integers, integers)
def test_degenerate_integer_lines(rows, one, other):
    a, s, g = (np.array(values, dtype=float) for values in zip(*rows, strict=True))
    check(a, s, g, True)
    t_min, t_max = min(one, other), max(one, other)
    check_lattice(a, s, g, t_min, t_max)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-12, 1e12, 1e150, 1e300])
def test_scales_change_nothing(scale):
    rng = np.random.default_rng(3)
    for _ in range(40):
        a, s, g = rng.normal(size=60), rng.normal(size=60), rng.integers(-2, 3, 60)
        check(a * scale, s * scale, g, False)
        if 1e-200 < scale < 1e200:
            check(a, s * scale, g, False)
            check(a * scale, s, g, False)


@pytest.mark.parametrize("integer", [False, True])
def test_without_gains_or_slopes_nothing_changes(integer):
    rng = np.random.default_rng(4)
    a, s, g = np.rint(rng.normal(size=(3, 30)) * 4)
    assert search(a, s, np.zeros(30), integer)[0] == 0.0
    assert search(a, np.zeros(30), g, integer) == (0.0, -np.inf, np.inf)


def test_points_on_the_threshold_move_off_to_either_side():
    """At t = 0 a point with a = 0 fires; on open intervals beside it, it need not."""
    assert search([0.0], [1.0], [1.0]) == (-1.0, -np.inf, 0.0)
    assert search([0.0], [1.0], [-1.0]) == (0.0, 0.0, np.inf)
    assert search([0.0], [-2.0], [1.0]) == (-1.0, 0.0, np.inf)
    assert search([0.0, 0.0], [1.0, -1.0], [-1.0, -1.0])[0] == 1.0  # t = 0 itself is in no interval
    assert search([0.0], [1.0], [1.0], True) == (-1.0, -np.inf, 0.0)
    assert search([0.0, 0.0], [1.0, -1.0], [-1.0, -1.0], True) == (0.0, 0.0, 1.0)
    assert search([0.0], [-1.0], [1.0], True) == (-1.0, 1.0, np.inf)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("order", ["sorted", "but one", "reversed", "mixed"])
def test_few_breakpoints_of_many_points(integer, order):
    """Lines of a layer above the first: buckets hold one breakpoint many times, or a few in any order."""
    rng = np.random.default_rng(8)
    for few in (1, 2, 3, 9):
        t = np.sort(rng.choice(np.concatenate([rng.normal(size=few), [1e-9, 2e-9]]), 600))
        t = {"sorted": t, "but one": np.roll(t, 1), "reversed": t[::-1], "mixed": rng.permutation(t)}[order]
        s = rng.choice([-2.0, -1.0, 1.0, 2.0], 600)
        check(-t * s, s, rng.integers(-2, 3, 600).astype(float), integer)


@pytest.mark.parametrize("integer", [False, True])
def test_gains_that_are_no_integers(integer):
    rng, tie = np.random.default_rng(5), generator()
    for size in (1, 5, 60, 900):
        for _ in range(60):
            a, s, _ = random_line(rng, size)
            if integer:
                a, s = np.rint(a), np.rint(s)
            g = rng.normal(size=size) * 10.0 ** rng.integers(-3, 4)
            check(a, s, g, integer, tie, rounding=1e-13 * size * (1 + np.abs(g).sum()))


@pytest.mark.parametrize("integer", [False, True])
def test_equally_good_intervals_are_all_chosen(integer):
    """Three gaps between steps of alternating sign, far apart, with points that do not matter between them."""
    a = np.concatenate([-np.array([0.0, 10.0, 500.0, 900.0, 901.0, 1000.0]), -np.linspace(20, 400, 300)])
    g = np.concatenate([[-1.0, 1.0, -1.0, 1.0, -1.0, 1.0], np.zeros(300)])
    tie, found = generator(), set()
    for _ in range(300):
        change, left, right = search(a, np.ones(306), g, integer, tie)
        assert change == -1.0 - g[a >= 0].sum()
        found.add((left, right))
    assert found == {(0.0, 10.0), (500.0, 900.0), (901.0, 1000.0)}


def check_lattice(a, s, g, t_min, t_max, rng=None, rounding=0.0):
    a, s, g = (np.asarray(values, dtype=np.float64) for values in (a, s, g))
    now = g[a >= 0].sum()
    values = {t: g[a + t * s >= 0].sum() - now for t in range(t_min, t_max + 1)}
    change, t = lattice(a, s, g, t_min, t_max, rng)
    assert abs(change - min(values.values())) <= rounding and abs(values[t] - change) <= rounding


@pytest.mark.parametrize("bound", [1, 3, 7, 200])
def test_lattices(bound):
    rng, tie = np.random.default_rng(bound), generator()
    for _ in range(75):
        size = int(rng.integers(1, 80))
        a, s = rng.integers(-20, 21, size), rng.integers(-3, 4, size)
        w = int(rng.integers(-bound, bound + 1))
        check_lattice(a, s, rng.integers(-3, 4, size), -bound - w, bound - w, tie)
        check_lattice(a, s, rng.normal(size=size), -bound - w, bound - w, tie, rounding=1e-11)


def test_equally_good_integers_are_all_chosen():
    tie = generator()
    assert {lattice([0.0], [1.0], [0.0], -2, 2, tie)[1] for _ in range(200)} == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert {lattice([-1.0, -3.0], [1.0, 1.0], [-1.0, 1.0], -2, 5, tie) for _ in range(50)} == {(-1.0, 1.0), (-1.0, 2.0)}


def test_equal_generators_choose_equally():
    rng = np.random.default_rng(6)
    lines = [(*random_line(rng, 30), bool(k % 2)) for k in range(40)]
    one, other = generator(7), generator(7)
    assert [search(*line, one) for line in lines] == [search(*line, other) for line in lines]
    assert one == other


def test_the_twin_is_right():
    """Against the definition, at all integers and at points between the breakpoints."""
    rng = np.random.default_rng(8)
    for _ in range(100):
        a, s, g = rng.integers(-5, 6, 8), rng.integers(-2, 3, 8), rng.integers(-2, 3, 8)
        now = g[a >= 0].sum()
        for t in np.arange(-8, 8, 0.25) + 0.01:
            found = [value for value, left, right in twin(a, s, g, False) if left < t < right]
            assert found == [g[a + t * s >= 0].sum() - now]
        for t in range(-8, 9):
            found = [value for value, left, right in twin(a, s, g, True) if left <= t < right]
            assert found == [g[a + t * s >= 0].sum() - now]
