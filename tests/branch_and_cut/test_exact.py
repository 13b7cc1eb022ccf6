"""Exact verdicts on sets of rows, against Gaussian elimination with fractions."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linprog

from bdnn.exact import dixon as lifting
from bdnn.exact.separability import enclosed, enclosed_many, multipliers, separates

pytestmark = pytest.mark.filterwarnings("error")


def kernel(rows):
    """Basis of all μ with Σ μ_i v_i = 0, by elimination with fractions."""
    k = len(rows)
    matrix = [[Fraction(a) for a in column] for column in np.asarray(rows).T.tolist()]
    pivots = []
    for j in range(k):
        r = len(pivots)
        found = next((i for i in range(r, len(matrix)) if matrix[i][j] != 0), None)
        if found is None:
            continue
        matrix[r], matrix[found] = matrix[found], matrix[r]
        matrix[r] = [a / matrix[r][j] for a in matrix[r]]
        for i, row in enumerate(matrix):
            if i != r and row[j] != 0:
                matrix[i] = [a - row[j] * b for a, b in zip(row, matrix[r], strict=True)]
        pivots.append(j)
    basis = []
    for j in sorted(set(range(k)) - set(pivots)):
        vector = [Fraction(0)] * k
        vector[j] = Fraction(1)
        for i, pivot in enumerate(pivots):
            vector[pivot] = -matrix[i][j]
        basis.append(vector)
    return basis


def check(rows, result):
    """A result proves what it says, and its support is minimal."""
    support, mu = result
    assert support == sorted(set(support))
    assert all(type(a) is int and a > 0 for a in mu) and math.gcd(*mu) == 1
    columns = np.asarray(rows)[support].T.tolist()
    assert all(sum(a * Fraction(b) for a, b in zip(mu, column, strict=True)) == 0 for column in columns)
    (vector,) = kernel(np.asarray(rows)[support])
    assert [a / vector[0] for a in vector] == [Fraction(a, mu[0]) for a in mu]


def compare(rows):
    """Check against the kernel if it is a line; return whether there are multipliers."""
    rows = np.asarray(rows, dtype=float)
    result, basis = multipliers(rows), kernel(rows)
    if result is not None:
        check(rows, result)
    if not basis:
        assert result is None
    elif len(basis) == 1:
        one_sign = min(basis[0]) >= 0 or max(basis[0]) <= 0
        assert (result is not None) == one_sign
        if one_sign:
            assert result[0] == [i for i, a in enumerate(basis[0]) if a != 0]
    return result is not None


def signed(X, rng, fires=None):
    X = np.asarray(X, dtype=float)
    signs = np.where(rng.random(len(X)) < 0.5, 1.0, -1.0) if fires is None else np.where(fires, 1.0, -1.0)
    return signs[:, None] * np.column_stack([X, np.ones(len(X))])


def duplicated(rng):
    return np.repeat(rng.normal(size=(10, 3)), 4, axis=0)


def one_hot(rng):
    return np.column_stack([np.eye(d)[rng.integers(0, d, 60)] for d in (3, 4, 2)])


def touching(rng):
    ends = rng.integers(-50, 50, size=(2, 12, 4)).astype(float)
    return np.concatenate([*ends, ends.sum(axis=0) / 2])


def badly_scaled(rng):
    return rng.normal(size=(40, 5)) * 10.0 ** np.array([-100, -20, 0, 30, 100])


def nearly_separable(rng):
    X = rng.normal(size=(60, 3))
    X[:30, 0] = 1e-13 * rng.random(30)
    return X


DATA = {
    "random": lambda rng: rng.normal(size=(40, 6)),
    "integer": lambda rng: rng.integers(-3, 4, size=(40, 5)),
    "decimal": lambda rng: np.round(rng.normal(size=(40, 4)), 1),
    "duplicated": duplicated,
    "one-hot": one_hot,
    "touching": touching,
    "badly scaled": badly_scaled,
    "nearly separable": nearly_separable,
    "wide": lambda rng: rng.normal(size=(70, 18)),
}


def supports(rows, rng, n):
    """Supports of vertices of random linear programs over {μ >= 0, Σ μ_i v_i = 0, Σ μ_i = 1}."""
    largest = np.abs(rows).max(axis=0)
    scaled = rows / np.where(largest > 0, largest, 1.0)
    for _ in range(n):
        done = linprog(
            rng.random(len(rows)), A_eq=np.vstack([scaled.T, np.ones(len(rows))]), b_eq=np.eye(rows.shape[1] + 1)[-1]
        )
        if done.status == 0:
            yield np.flatnonzero(done.x > 1e-10)


@pytest.mark.parametrize("name", DATA)
def test_supports_of_vertices(name):
    rng = np.random.default_rng(1)
    proven = 0
    for _ in range(4):
        rows = signed(DATA[name](rng), rng)
        for support in supports(rows, rng, 5):
            found = compare(rows[support])
            proven += found
            if len(support) == rows.shape[1] + 1 and enclosed(rows[support]):
                assert found and len(multipliers(rows[support])[0]) == len(support)
    assert proven >= 15


@settings(max_examples=75, deadline=None)
@given(st.data())
def test_small_integer_rows(data):
    k, p = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    rows = data.draw(st.lists(st.lists(st.integers(-2, 2), min_size=p, max_size=p), min_size=k, max_size=k))
    rows = np.array(rows, dtype=float)
    found = compare(rows)
    # multipliers exist iff the linear program over them is feasible; with these numbers that is not in doubt
    feasible = linprog(np.zeros(k), A_eq=np.vstack([rows.T, np.ones(k)]), b_eq=np.eye(p + 1)[-1]).status == 0
    assert found == feasible
    if enclosed(rows):
        assert found


floats = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=75, deadline=None)
@given(st.lists(st.lists(floats, min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_floats(rows):
    found = compare(rows)
    if enclosed(np.array(rows)):
        assert found


def positive_simplex(rng, n, draw):
    """Signed rows of n + 2 points, whose multipliers are positive."""
    while True:
        rows = np.column_stack([draw((n + 2, n)), np.ones(n + 2)])
        mu = np.linalg.svd(rows.T)[2][-1]
        if np.abs(mu).min() > 1e-9:
            return np.sign(mu)[:, None] * rows


@pytest.mark.parametrize("n", [1, 2, 5, 9, 20, 33, 60])
def test_full_supports(n):
    rng = np.random.default_rng(n)
    for draw in (lambda shape: rng.normal(size=shape), lambda shape: rng.integers(-9, 10, shape).astype(float)):
        rows = positive_simplex(rng, n, draw)
        support, mu = multipliers(rows)
        assert support == list(range(n + 2)) and min(mu) > 0 and math.gcd(*mu) == 1
        columns = [[Fraction(a) for a in column] for column in rows.T.tolist()]
        assert all(sum(map(Fraction.__mul__, map(Fraction, mu), column)) == 0 for column in columns)
        assert enclosed(rows)
        if n < 10:
            compare(rows)
        rows[0] *= -1  # now the signs of the kernel are mixed
        assert multipliers(rows) is None and not enclosed(rows)


def test_a_row_that_is_not_needed_is_left_out():
    a, b = np.array([0.1, 0.7, 1.0]), np.array([0.3, 0.2, 1.0])
    assert multipliers(np.array([a, b, -a])) == ([0, 2], [1, 1])
    assert multipliers(np.array([b, a, -a])) == ([1, 2], [1, 1])


def test_numerators_next_to_their_bound():
    assert multipliers(np.array([[-2.0], [2.0 + 2.0**-51]])) == ([0, 1], [2**52 + 1, 2**52])
    assert multipliers(np.array([[-2.0], [4.0 - 2.0**-51]])) == ([0, 1], [2**53 - 1, 2**52])


def test_powers_of_two_come_back():
    rows = np.array([[2.0**-80, 0.0], [0.0, 2.0**50], [-1.0, -1.0]])
    assert multipliers(rows) == ([0, 1, 2], [2**130, 1, 2**50])


@pytest.mark.parametrize("seed", range(15))
def test_a_kernel_of_more_dimensions_is_reduced(seed):
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 6))
    rows = rng.integers(-4, 5, size=(p + int(rng.integers(2, 5)), p)).astype(float)
    rows = rows[rows.any(axis=1)]
    result = multipliers(rows)
    k = len(rows)
    feasible = linprog(np.zeros(k), A_eq=np.vstack([rows.T, np.ones(k)]), b_eq=np.eye(p + 1)[-1]).status == 0
    assert (result is not None) == feasible
    if feasible:
        check(rows, result)


def test_separable_rows_have_no_multipliers():
    rng = np.random.default_rng(5)
    for _ in range(50):
        weights, X = rng.normal(size=5), rng.normal(size=(8, 4))
        rows = signed(X, rng, np.column_stack([X, np.ones(8)]) @ weights > 0)
        assert separates(weights, rows)
        assert multipliers(rows) is None and not enclosed(rows[:6])


def test_odd_input():
    assert multipliers(np.zeros((0, 3))) is None
    assert multipliers(np.array([[1.0, 0.0], [0.0, 0.0]])) == ([1], [1])
    for bad in (np.nan, np.inf):
        rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, bad]])
        assert multipliers(rows) is None and not enclosed(rows)
    wide = np.array([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, 0.0, -3.0]])
    assert multipliers(wide[::2]) == ([0, 1], [1, 1])
    assert not enclosed(wide)
    fortran = np.asfortranarray(np.array([[1.0, 0.0], [0.0, 1.0], [-3.0, -0.5]]))
    assert multipliers(fortran) == ([0, 1, 2], [6, 1, 2])


def test_multiples_of_the_prime_cannot_lead_to_a_false_proof():
    rng = np.random.default_rng(0)
    prime, outcomes = float(lifting.PRIME), []
    for _ in range(200):
        # multiples of the prime are 0 to it; what is proven nevertheless is checked in fractions
        rows = rng.integers(-2, 3, size=(4, 3)) * rng.choice([1.0, prime], size=(4, 3))
        result = multipliers(rows)
        outcomes.append(result is not None)
        if result is not None:
            check(rows, result)
    assert min(outcomes.count(True), outcomes.count(False)) >= 20, outcomes.count(True)


def test_values_of_all_magnitudes_in_one_column():
    rows = np.array([[1e300, 1.0], [-1e-300, -1.0], [1e-300, 5e-324]])
    compare(rows)
    assert compare(np.array([[1e300, 1.0], [-1e-300, -1.0], [-3e-300, 1e-9]]))


def test_adversarial_sets_are_never_enclosed_wrongly():
    rng = np.random.default_rng(7)
    yes = no = sure = 0
    for trial in range(600):
        p = int(rng.integers(2, 7))
        free = rng.integers(-9, 10, size=(p - 1, p)) * 2.0 ** rng.integers(-3, 4, size=p)
        last = -(rng.integers(1, 5, size=p - 1) @ free)
        rows = np.vstack([free, last, rng.normal(size=p)])  # the last row has multiplier 0
        rng.shuffle(rows)
        if trial % 3:
            i, j = rng.integers(0, p + 1), rng.integers(0, p)
            ulps = rng.choice([1, 1, 2, 16, 1024, 2**20])
            rows[i, j] += ulps * rng.choice([-1.0, 1.0]) * np.spacing(rows[i, j])
        result = multipliers(rows)
        positive = result is not None and len(result[0]) == p + 1
        yes, no, sure = yes + positive, no + (not positive), sure + enclosed(rows)
        assert positive or not enclosed(rows), rows.tolist()
    assert yes > 50 and no > 200 and sure > 10


@pytest.mark.parametrize("magnitude", [1e-300, 1e-100, 1e100, 1e300])
def test_extreme_columns_are_enclosed_or_refused(magnitude):
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows = rng.normal(size=(5, 4)) * np.array([1.0, magnitude, 1.0, 1.0])
        result = multipliers(rows)
        assert enclosed(rows) == (result is not None)
        rows[0, 1] /= magnitude  # far from the others of its column
        result = multipliers(rows)
        assert result is not None or not enclosed(rows)


def test_most_random_sets_are_enclosed():
    rng = np.random.default_rng(11)
    for n in (2, 8, 33):
        sets = [positive_simplex(rng, n, lambda shape: rng.normal(size=shape)) for _ in range(50)]
        rows = np.concatenate(sets)
        members = np.arange(len(rows)).reshape(50, n + 2)
        assert np.count_nonzero(enclosed_many(rows, members)) >= 49


def test_many_sets_at_once_are_judged_as_one_by_one():
    rng = np.random.default_rng(2)
    rows = signed(one_hot(rng)[:, :5], rng)  # many sets are singular
    rows = np.vstack([rows, signed(rng.normal(size=(40, 5)), rng), np.full((1, 6), np.nan)])
    members = np.array([rng.choice(len(rows), 7, replace=False) for _ in range(1500)])
    verdicts = enclosed_many(rows, members)
    for verdict, support in zip(verdicts, members, strict=True):
        if verdict:
            support_found, _ = multipliers(rows[support])
            assert len(support_found) == 7
    alone = [enclosed(rows[support]) for support in members]
    assert np.count_nonzero(verdicts != alone) <= 1  # sums may come in another order
    assert 0 < np.count_nonzero(verdicts) < 1000
    assert enclosed_many(rows, members[:0]).shape == (0,)
    assert not enclosed_many(rows, members[:, :5]).any()


def test_separation_is_exact():
    rows = np.array([[0.1, 0.2, 1.0]])
    assert separates(np.array([1.0, 1.0, -0.3]), rows)  # 0.1 + 0.2 - 0.3 is 2**-55 and more
    assert not separates(np.array([-1.0, -1.0, 0.3]), rows)
    assert not separates(np.array([1.0, 0.0, -0.1]), rows)  # exactly 0
    assert not separates(np.zeros(3), rows)
    assert not separates(np.array([np.nan, 1.0, 1.0]), rows)
    assert separates(np.array([1e300, 0.0, -1e299]), np.array([[1e300, 0.0, 1.0]]))
    assert separates(np.ones(3), np.zeros((0, 3)))


@settings(max_examples=100, deadline=None)
@given(st.lists(floats, min_size=3, max_size=3), st.lists(st.lists(floats, min_size=3, max_size=3), max_size=3))
def test_separation_of_any_floats(weights, rows):
    exact = all(sum(Fraction(a) * Fraction(b) for a, b in zip(weights, row, strict=True)) > 0 for row in rows)
    assert separates(np.array(weights), np.array(rows).reshape(-1, 3)) == exact
