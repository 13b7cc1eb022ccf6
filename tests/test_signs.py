"""Exact signs and exact argmax, against rationals, where floats decide and where they do not."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import plain
from bdnn.exact import signs

EXACT = 2.0**53

pytestmark = pytest.mark.filterwarnings("error")


def exact_values(X, W, b):
    return [plain.affine(x, W, b) for x in X.tolist()]


def check(X, W, b):
    """Compare signs, rounding radius and winners with rationals; return the counts of rational evaluations."""
    result, exact = signs.affine(X, W, b), exact_values(X, W, b)
    for i, row in enumerate(exact):
        for j, value in enumerate(row):
            got = float(result.values[i, j])
            assert np.sign(got) == (value > 0) - (value < 0), (i, j, got, float(value))
            if result.radius is None:
                assert Fraction(got) == value
            elif np.isfinite(got) and np.isfinite(result.radius[i, j]):
                assert abs(Fraction(got) - value) <= Fraction(float(result.radius[i, j]))
    winners, compared = signs.largest(X, W, b)
    assert winners.tolist() == [plain.lowest_argmax(row) for row in exact]
    return result.n_rational, compared


@pytest.mark.parametrize("name", plain.ADVERSARIAL)
def test_adversarial_data_needs_and_gets_rational_arithmetic(name):
    X, W, b = plain.ADVERSARIAL[name](np.random.default_rng(0))
    n_rational, compared = check(X, W, b)
    assert n_rational > 0 or compared > 0


@pytest.mark.parametrize("name", plain.ADVERSARIAL)
def test_adversarial_data_would_fool_floats(name):
    X, W, b = plain.ADVERSARIAL[name](np.random.default_rng(0))
    wrong = 0
    for x, exact in zip(X.tolist(), exact_values(X, W, b), strict=True):
        naive = b.tolist()
        for k, row in enumerate(W.tolist()):
            for w, v in zip(row, x, strict=True):
                naive[k] += w * v
        wrong += any(np.sign(a) != (v > 0) - (v < 0) for a, v in zip(naive, exact, strict=True))
        wrong += plain.lowest_argmax(naive) != plain.lowest_argmax(exact)
    assert wrong > 0


@pytest.mark.parametrize("scale", [1.0, 1e-160, 1e150])
@pytest.mark.parametrize(("m", "n", "d"), [(30, 1, 2), (30, 5, 3), (10, 40, 4)])
def test_random_data(m, n, d, scale):
    rng = np.random.default_rng([m, n, d])
    X, W, b = rng.normal(size=(m, n)) * scale, rng.normal(size=(d, n)), rng.normal(size=d) * scale
    n_rational, _ = check(X, W, b)
    assert n_rational == 0


@pytest.mark.parametrize("seed", range(5))
def test_integers_need_no_rationals_below_two_to_53(seed):
    rng = np.random.default_rng(seed)
    X, W = rng.integers(-9, 10, (30, 4)).astype(float), rng.integers(-2, 3, (3, 4)).astype(float)
    b = rng.integers(-3, 4, 3).astype(float)
    assert signs.affine(X, W, b).radius is None
    assert check(X, W, b) == (0, 0)


def test_integers_above_two_to_53_are_not_trusted():
    # floats say 2**53 + 1 - 2**53 - 1 = -1 or 0, depending on the order
    X, W, b = np.array([[EXACT, 1.0, 1.0]]), np.array([[1.0, 1.0, -1.0]]), np.array([-EXACT])
    assert signs.affine(X, W, b).radius is not None
    check(X, W, b)
    check(X, np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), np.array([0.0, 0.0, 0.0]))


@pytest.mark.parametrize("b", [0.0, -0.0])
def test_exact_zero_is_zero_of_either_sign(b):
    values = signs.affine(np.array([[0.5, -0.0]]), np.array([[1.0, 1.0]]), np.array([-0.5])).values
    assert values[0, 0] == 0.0
    assert signs.affine(np.array([[-0.0]]), np.array([[2.0]]), np.array([b])).values[0, 0] >= 0


def test_smallest_positive_and_negative_values_keep_their_sign():
    X = np.array([[5e-324], [-5e-324]])
    values = signs.affine(X, np.array([[1e-10]]), np.array([0.0])).values[:, 0]
    assert values[0] > 0 > values[1]


def test_overflow_keeps_the_sign():
    X, W, b = np.array([[1e308, 1e308, 1.0]]), np.array([[10.0, -10.0, 1.0], [10.0, 10.0, 0.0]]), np.array([-2.0, 0.0])
    values = signs.affine(X, W, b).values[0]
    assert values[0] == -1.0
    assert values[1] == np.inf
    check(X, W, b)


def test_no_inputs_and_no_rows():
    assert signs.affine(np.zeros((2, 0)), np.zeros((2, 0)), np.array([0.5, -0.5])).values.tolist() == [[0.5, -0.5]] * 2
    assert signs.affine(np.zeros((0, 2)), np.ones((3, 2)), np.zeros(3)).values.shape == (0, 3)
    winners, compared = signs.largest(np.zeros((3, 0)), np.zeros((2, 0)), np.array([0.1, 0.1]))
    assert winners.tolist() == [0, 0, 0]
    assert compared == 6


@pytest.mark.parametrize("used", [[], [2], [0, 3], [1, 2, 4], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("integral", [False, True])
def test_inputs_without_weight_do_not_matter(used, integral):
    rng = np.random.default_rng(len(used))
    X = rng.choice([0.1, -0.1, 0.3, 1e16, 1.0, -1e16, 1e300, 5e-324], size=(80, 5))
    if integral:  # the others are not
        X[:, used] = rng.integers(-3, 4, size=(80, len(used)))
    W, b = np.zeros((3, 5)), np.array([0.0, -1.0, 1.0])
    W[:2, used] = rng.choice([1.0, -1.0, 2.0], size=(2, len(used)))
    n_rational, _ = check(X, W, b)
    assert not (integral or not used) or n_rational == 0
    assert signs.affine(X, W, b).values.tolist() == signs.affine(X[:, used], W[:, used], b).values.tolist()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_ties_go_to_the_lowest_index(order):
    # rows 0 and 1 are equal in exact arithmetic and differ in floats: 0.1 * 3 against 0.1 + 0.1 + 0.1
    rows = np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.3, 0.0, 0.0]])[order]
    X = np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0], [1.0, 3.0, -1.0]])
    check(X, rows, np.zeros(3))
    twice = np.vstack([rows, rows])
    winners, _ = signs.largest(X, twice, np.zeros(6))
    assert np.all(winners < 3)


def test_winner_by_one_ulp_beats_a_lower_index():
    W = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    b = np.array([1.0, 1.0, 1.0 + 2.0**-52])
    # 1e16 hides the ulp in floats
    assert signs.largest(np.array([[1e16, -1e16], [1e16, 1.0]]), W, b)[0].tolist() == [2, 2]


def test_rational_is_exact():
    x, w = np.array([0.1, 0.0, 1e308]), np.array([0.2, 1e308, 1e308])
    expected = Fraction(0.1) * Fraction(0.2) + Fraction(1e308) ** 2 - Fraction(1, 4)
    assert signs.rational(x, w, -0.25) == expected


finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
awkward = st.one_of(finite, st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 0.2, -0.3, 5e-324, 1e150, -1e150, 1e308, 1e16]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(awkward, min_size=n, max_size=n), min_size=1, max_size=3),
            st.lists(st.lists(awkward, min_size=n, max_size=n), min_size=3, max_size=3),
            st.lists(awkward, min_size=3, max_size=3),
        )
    )
)
def test_any_finite_floats(data):
    X, W, b = (np.array(part, dtype=float) for part in data)
    check(X, W, b)


def test_inputs_beside_an_input_do_not_change_its_results():
    X = np.array([[1.0, 1.0], [0.5, 0.5], [2.0**53, -(2.0**53)], [3.0, -3.0], [1.5, 1.25]])
    W, b = np.array([[1.0, -1.0], [2.0, -2.0], [1.0, 1.0]]), np.zeros(3)
    together, alone = signs.affine(X, W, b), [signs.affine(x[None], W, b) for x in X]
    assert together.values.tolist() == [one.values[0].tolist() for one in alone]
    assert together.radius.tolist() == [[0.0] * 3 if one.radius is None else one.radius[0].tolist() for one in alone]
    # exact zeros count only in rows that are not integers below 2**53
    assert [one.n_rational for one in alone] == [0, 2, 1, 0, 0]
    assert together.n_rational == 3
    winners, n_rational = signs.largest(X, W, b)
    assert winners.tolist() == [plain.lowest_argmax(values) for values in exact_values(X, W, b)]
    assert n_rational == sum(signs.largest(x[None], W, b)[1] for x in X)
