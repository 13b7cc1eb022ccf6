"""Programs as arrays: the builder, violation, big-M rows and MPS files, against direct formulas."""

import itertools
import math

import highspy
import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint
from scipy.optimize import milp as reference

from bdnn.milp.program import MilpBuilder


def random_milp(seed, n_binary=4, n_integer=2, n_continuous=2):
    """A program whose indicator rows have the smallest valid M, some one-sided."""
    rng = np.random.default_rng(seed)
    n = n_binary + n_integer + n_continuous
    builder = MilpBuilder()
    u = builder.variables((n_binary,), 0, 1, cost=rng.integers(-3, 4, n_binary), integer=True)
    k = builder.variables((n_integer,), -2, [1, 2][:n_integer], cost=rng.integers(-3, 4, n_integer), integer=True)
    w = builder.variables((n_continuous,), -1, 1, cost=rng.integers(-3, 4, n_continuous))
    builder.offset = 0.75
    columns = np.array([rng.permutation(n)[:3] for _ in range(3)], dtype=np.int32)
    builder.rows(columns, rng.integers(-3, 4, columns.shape), -4, [5, np.inf, 3])
    builder.rows(np.column_stack([w[:1], u[:1]]), [1, -0.5], -np.inf, 1)
    others = np.concatenate([k, w])
    size = np.array([2.0] * n_integer + [1.0] * n_continuous)
    count = 5
    coefficients = np.round(rng.normal(size=(count, len(others))), 2)
    lower, upper = rng.integers(-5, 2, count) / 2, rng.integers(-1, 6, count) / 2
    lower[0], upper[1] = -np.inf, np.inf
    reach = np.abs(coefficients) @ size
    sides = np.vstack([np.where(np.isfinite(s), s, 0.0) for s in (lower, upper)])
    big_m = reach + np.abs(sides).max(axis=0)
    block = (np.arange(count + 1) * len(others), coefficients.ravel(), np.tile(others, count))
    builder.indicators(block, rng.choice(u, count), lower, upper, big_m)
    return builder.build()


def random_point(rng, milp, rounded=True):
    x = rng.uniform(milp.lower, milp.upper)
    return np.where(milp.integer, np.rint(x), x) if rounded else x


def direct_violation(milp, x):
    worst = 0.0
    for j in range(milp.n_columns):
        worst = max(worst, milp.lower[j] - x[j], x[j] - milp.upper[j])
        if milp.integer[j]:
            worst = max(worst, abs(x[j] - round(x[j])))
    rows, conditional = milp.rows.toarray(), milp.indicators.rows.toarray()
    for row, low, high in zip(rows, milp.row_lower, milp.row_upper, strict=True):
        value = math.fsum(row * x)
        worst = max(worst, low - value, value - high)
    cond = milp.indicators
    for row, binary, on, off in zip(conditional, cond.binary, cond.lower_on, cond.upper_off, strict=True):
        value = math.fsum(row * x)
        worst = max(worst, on - value if x[binary] > 0.5 else value - off)
    return worst


@pytest.mark.parametrize("seed", range(5))
def test_violation_by_direct_formulas(seed):
    milp, rng = random_milp(seed), np.random.default_rng(seed)
    values = []
    for k in range(200):
        x = random_point(rng, milp, rounded=k % 2 == 0) + (rng.normal(size=milp.n_columns) if k % 5 == 0 else 0.0)
        values.append(milp.violation(x))
        assert values[-1] == pytest.approx(direct_violation(milp, x), abs=1e-12)
    assert min(values) >= 0.0
    assert len(set(values)) > 50


def test_violation_of_each_part():
    builder = MilpBuilder()
    u = builder.variables((1,), 0, 1, integer=True)
    w = builder.variables((2,), -1, 1)
    builder.rows(w[None], [[1.0, 1.0]], -1.5, 1.5)
    builder.indicators((np.array([0, 1]), np.array([1.0]), w[:1]), u, [0.5], [-0.25], 2.0)
    milp = builder.build()
    for x, expected in (
        ([1, 0.5, 0.0], 0.0),
        ([0, -0.25, 0.0], 0.0),
        ([1, 0.25, 0.0], 0.25),
        ([0, 0.25, 0.0], 0.5),
        ([1, 1.5, 0.0], 0.5),
        ([1, 1.0, -1.75], 0.75),
        ([0, -1.0, -0.75], 0.25),
        ([1, 1.0, 0.75], 0.25),
        ([0.75, 1.0, 0.0], 0.25),
        ([2, 1.0, 0.0], 1.0),
        ([-1, -1.0, 0.0], 1.0),
    ):
        assert milp.violation(np.array(x, dtype=float)) == pytest.approx(expected), x


def test_violation_inside_is_zero_and_of_nan_is_nan():
    builder = MilpBuilder()
    builder.variables((2,), -1, 1)
    milp = builder.build()
    assert milp.violation(np.zeros(2)) == 0.0
    assert math.isnan(milp.violation(np.array([0.0, math.nan])))
    assert MilpBuilder().build().violation(np.zeros(0)) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_big_m_rows_mean_the_same_as_indicators_within_the_bounds(seed):
    milp, rng = random_milp(seed), np.random.default_rng(seed)
    rows, lower, upper = milp.with_big_m()
    assert rows.shape == (milp.rows.shape[0] + len(milp.indicators), milp.n_columns)
    verdicts = []
    for _ in range(300):
        x = random_point(rng, milp)
        value = rows @ x
        linear = max(0.0, float(np.max(lower - value)), float(np.max(value - upper)))
        verdicts.append(milp.violation(x) <= 1e-9)
        assert (linear <= 1e-9) == verdicts[-1]
        # not only the verdict: the same row is violated by the same amount
        assert linear == pytest.approx(milp.violation(x), abs=1e-9)
    assert 5 < sum(verdicts) < 295


def test_big_m_of_the_random_programs_is_valid():
    for seed in range(5):
        milp = random_milp(seed)
        cond = milp.indicators
        dense = cond.rows.toarray()
        low = np.minimum(dense * milp.lower, dense * milp.upper).sum(axis=1)
        high = np.maximum(dense * milp.lower, dense * milp.upper).sum(axis=1)
        assert np.all(low >= cond.lower_on - cond.big_m - 1e-12)
        assert np.all(high <= cond.upper_off + cond.big_m + 1e-12)


def test_without_indicators_the_rows_stay():
    builder = MilpBuilder()
    x = builder.variables((2,), 0, 1)
    builder.rows(x[None], [[1.0, 2.0]], 0, 1)
    milp = builder.build()
    rows, lower, upper = milp.with_big_m()
    assert (rows.toarray().tolist(), lower.tolist(), upper.tolist()) == ([[1.0, 2.0]], [0.0], [1.0])


def test_builder_numbers_columns_in_order_and_broadcasts():
    builder = MilpBuilder()
    a = builder.variables((2, 3), -1, np.arange(6).reshape(2, 3), cost=[1.0, 2.0, 3.0], integer=True)
    b = builder.variables((), 0, 9)
    c = builder.variables((2,), [-np.inf, 0], np.inf, cost=[0.5, -0.5])
    assert (a.tolist(), b.tolist(), c.tolist()) == ([[0, 1, 2], [3, 4, 5]], 6, [7, 8])
    builder.rows(np.array([[0, 8], [6, 7]]), [[1.0, -1.0], [2.0, 3.0]], [-1, 0], 4)
    builder.rows(np.array([[5]]), 7.0, -np.inf, 2)
    builder.rows(np.zeros((0, 3), dtype=np.int32), 1.0, 0, 1)
    milp = builder.build()
    assert milp.n_columns == 9
    assert milp.upper.tolist() == [0, 1, 2, 3, 4, 5, 9, np.inf, np.inf]
    assert milp.lower.tolist() == [-1] * 6 + [0, -np.inf, 0]
    assert milp.cost.tolist() == [1, 2, 3, 1, 2, 3, 0, 0.5, -0.5]
    assert milp.integer.tolist() == [True] * 6 + [False] * 3
    expected = np.zeros((3, 9))
    expected[0, [0, 8]], expected[1, [6, 7]], expected[2, 5] = [1, -1], [2, 3], 7
    assert milp.rows.toarray().tolist() == expected.tolist()
    assert (milp.row_lower.tolist(), milp.row_upper.tolist()) == ([-1, 0, -np.inf], [4, 4, 2])
    assert len(milp.indicators) == 0
    assert milp.indicators.rows.shape == (0, 9)


def test_builder_joins_blocks_of_conditional_rows():
    builder = MilpBuilder()
    u, w = builder.variables((3,), 0, 1, integer=True), builder.variables((2,), -1, 1)
    builder.indicators((np.array([0, 2]), np.array([1.0, 2.0]), w), u[:1], 0.5, np.inf, 3.0)
    second = (np.array([0, 1, 1]), np.array([4.0]), w[1:])
    builder.indicators(second, u[1:], [-np.inf, 0.0], [0.0, -1.0], [4.0, 1.0])
    cond = builder.build().indicators
    assert cond.rows.toarray()[:, 3:].tolist() == [[1.0, 2.0], [0.0, 4.0], [0.0, 0.0]]
    assert cond.binary.tolist() == [0, 1, 2]
    assert cond.lower_on.tolist() == [0.5, -np.inf, 0.0]
    assert cond.upper_off.tolist() == [np.inf, 0.0, -1.0]
    assert cond.big_m.tolist() == [3.0, 4.0, 1.0]


def test_objective_has_the_offset():
    milp = random_milp(0)
    x = random_point(np.random.default_rng(0), milp)
    assert milp.objective(x) == pytest.approx(math.fsum(milp.cost * x) + 0.75)


def optimum(milp):
    """Smallest objective: every integer point, and for each a linear program over the rest."""
    best, integers = math.inf, np.flatnonzero(milp.integer)
    ranges = [range(int(milp.lower[j]), int(milp.upper[j]) + 1) for j in integers]
    rows, lower, upper = milp.with_big_m()
    fixed_low, fixed_high = milp.lower.copy(), milp.upper.copy()
    for point in itertools.product(*ranges):
        fixed_low[integers] = fixed_high[integers] = point
        bounds = Bounds(fixed_low.copy(), fixed_high.copy())
        answer = reference(milp.cost, constraints=LinearConstraint(rows, lower, upper), bounds=bounds)
        if answer.success:
            best = min(best, answer.fun + milp.offset)
    return best


def solved(highs):
    highs.setOptionValue("output_flag", False)
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return highs.getInfo().objective_function_value


@pytest.mark.parametrize("seed", range(3))
def test_mps_files_have_the_same_optimum(seed, tmp_path):
    milp = random_milp(seed, n_binary=3, n_integer=1)
    path = tmp_path / "program.mps"
    milp.write_mps(path)
    reader = highspy.Highs()
    reader.setOptionValue("output_flag", False)
    assert reader.readModel(str(path)) == highspy.HighsStatus.kOk
    assert reader.getNumCol() == milp.n_columns
    expected = optimum(milp)
    assert math.isfinite(expected)
    assert solved(milp.to_highs()) == pytest.approx(expected, abs=1e-6)
    assert solved(reader) == pytest.approx(expected, abs=1e-6)


def test_an_mps_file_that_cannot_be_written_is_an_error(tmp_path):
    path = tmp_path / "missing" / "program.mps"
    with pytest.raises(OSError, match=r"missing.program\.mps"):
        random_milp(0).write_mps(path)


def test_a_row_that_names_a_column_twice_is_an_error():
    builder = MilpBuilder()
    builder.variables((2,), 0, 1)
    builder.rows(np.array([[1, 1]]), [[1.0, 2.0]], 0, 1)
    with pytest.raises(ValueError, match="does not accept"):
        builder.build().to_highs()
