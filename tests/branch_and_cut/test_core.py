"""The compiled core of branch and cut: against plain twins, and what its doors let pass."""

import threading
from fractions import Fraction

import numpy as np
import pytest

from bdnn._native import tree
from bdnn.branch_and_cut import linear_program as covering
from bdnn.errors import InputError
from bdnn.exact.separability import enclosed_many

# ------------------------------------------------------------------------------------------ twins


def fraction_matrix(A):
    return [[Fraction(float(a)) for a in row] for row in A]


def solved(A, B):
    """The solution X of A X = B in rationals, by Gauss and Jordan."""
    n = len(A)
    work = [list(a) + list(b) for a, b in zip(A, B, strict=True)]
    for k in range(n):
        r = next(i for i in range(k, n) if work[i][k] != 0)
        work[k], work[r] = work[r], work[k]
        work[k] = [a / work[k][k] for a in work[k]]
        for i in range(n):
            if i != k and work[i][k] != 0:
                work[i] = [a - work[i][k] * b for a, b in zip(work[i], work[k], strict=True)]
    return [row[n:] for row in work]


class Plain:
    """Rows of a program, with all slacks as columns: A x - s = rhs."""

    def __init__(self, v):
        self.v, self.rows = v, {}

    def matrix(self, capacity):
        A = np.zeros((len(self.rows), self.v + capacity))
        for k, (label, (columns, values, _)) in enumerate(self.rows.items()):
            np.add.at(A[k], columns, values)
            A[k, self.v + label] = -1.0
        return A

    def dictionary(self, D, capacity):
        """Basic variables as functions of the others, in rationals, in the order of the program's rows and columns."""
        A, n = self.matrix(capacity), int(D.size[0])
        basic, others = D.basic[:n].tolist(), D.nonbasic.tolist()
        return -np.array(solved(fraction_matrix(A[:, basic]), fraction_matrix(A[:, others])), dtype=float).reshape(
            n, len(others)
        )

    def inverse(self, D, capacity):
        """The inverse of the basis matrix, in rationals."""
        basic = D.basic[: int(D.size[0])].tolist()
        n = len(basic)
        return np.array(
            solved(fraction_matrix(self.matrix(capacity)[:, basic]), fraction_matrix(np.eye(n))), dtype=float
        )


@pytest.mark.parametrize("seed", range(12))
def test_a_dictionary_and_its_weights_are_those_of_the_basis(seed):
    rng = np.random.default_rng(seed)
    v, capacity = int(rng.integers(3, 14)), 30
    plain, D = Plain(v), covering.dictionary(rng.integers(1, 5, v), capacity, capacity)
    free, seen = list(range(capacity)), 0
    for _ in range(6):
        for _ in range(int(rng.integers(1, 5))):
            columns = rng.permutation(v)[: rng.integers(1, min(v, 5) + 1)]
            values = rng.choice([1.0, 1.0, -1.0, 2.0], len(columns)) if seed % 2 else np.ones(len(columns))
            label = free.pop(0)
            plain.rows[label] = columns, values, 1.0
            covering.add_row(D, label, columns, values, 1.0)
        D.lower[:v], D.upper[:v] = 0.0, rng.choice([1.0, 1.0, 0.0], v) if seed % 3 == 0 else 1.0
        covering.settle(D)
        status = covering.dual_simplex(D, np.inf, 1000)
        n = int(D.size[0])
        expected = plain.dictionary(D, capacity)
        np.testing.assert_allclose(D.T, expected, atol=1e-9)
        np.testing.assert_allclose(D.norm[:n], (plain.inverse(D, capacity) ** 2).sum(axis=1), rtol=1e-7)
        cost = np.concatenate([D.cost, np.zeros(capacity)])
        np.testing.assert_allclose(D.d, cost[D.nonbasic] + cost[D.basic[:n]] @ expected, atol=1e-9)
        assert all(D.place[variable] == -1 - i for i, variable in enumerate(D.basic[:n]))
        assert all(D.place[variable] == j for j, variable in enumerate(D.nonbasic))
        seen += int(np.sum(D.basic[:n] < v))
        if status == covering.OPTIMAL and rng.random() < 0.5:
            dropped = np.zeros(capacity, dtype=np.int64)
            for label in dropped[: covering.drop_slack_rows(D, 1e-6, dropped)].tolist():
                del plain.rows[label]
                free.append(label)
    assert seen > 0


def bound_by_hand(cost, rows, lower, upper):
    """The bound times the scale in integers of any size, given rows with their multipliers, and the reduced costs."""
    reduced, total = [int(c) for c in cost], 0
    for (columns, values, rhs), multiplier in rows:
        total += multiplier * rhs
        for column, value in zip(columns.tolist(), values.tolist(), strict=True):
            reduced[column] -= multiplier * value
    return total + sum(min(r * low, r * high) for r, low, high in zip(reduced, lower, upper, strict=True)), reduced


@pytest.mark.parametrize("largest", [1, 1 << 20, 1 << 40, 1 << 61, (1 << 63) - 1])
def test_bounds_are_exact_or_none(largest):
    rng = np.random.default_rng(largest % 1000)
    exact = 0
    for _ in range(40):
        v, count = int(rng.integers(2, 6)), int(rng.integers(1, 6))
        cost = rng.integers(0, 5, v)
        pool, D = tree.CutPool(cost, 10), tree.Dictionary(cost.astype(float), 10, 10)
        for _ in range(count):
            columns = np.sort(rng.permutation(v)[: rng.integers(1, v + 1)])
            values = (
                rng.integers(-largest, largest, len(columns)) if largest > 1 else np.ones(len(columns), dtype=np.int64)
            )
            rhs = int(rng.integers(-largest, largest)) if largest > 1 else 1
            label = pool.add(columns, values, rhs)
            if label >= 0:
                pool.enter(D, np.array([label]))
        D.lower[:v], D.upper[:v] = 0.0, 1.0
        covering.settle(D)
        covering.dual_simplex(D, np.inf, 100)
        D.d[:] = rng.choice([0.0, 1.0, 3.5, 1e3, float(largest), 1e300, np.nan, np.inf], v)
        scale = int(rng.choice([1, 1 << 10, 1 << 30]))
        total, labels, multipliers, reduced = pool.bound(D, 0.0, 1.0, scale, np.zeros(v), np.ones(v))
        if total == -(1 << 62):
            assert not reduced.any()
            continue
        exact += 1
        rows = [(pool.row(label), m) for label, m in zip(labels.tolist(), multipliers.tolist(), strict=True)]
        assert (total, reduced.tolist()) == bound_by_hand(cost * scale, rows, [0] * v, [1] * v)
    assert exact > 0 or largest > 1 << 60


def test_columns_are_fixed_by_the_last_bound():
    rng = np.random.default_rng(0)
    fixed = 0
    for _ in range(50):
        v = 6
        cost = rng.integers(1, 6, v)
        pool, D = tree.CutPool(cost, 20), tree.Dictionary(cost.astype(float), 20, 20)
        for _ in range(6):
            columns = np.sort(rng.permutation(v)[:3])
            if (label := pool.add(columns, np.ones(3, dtype=np.int64), 1)) >= 0:
                pool.enter(D, np.array([label]))
        lower, upper = np.zeros(v), np.ones(v)
        _, total, unsure = pool.solve(D, lower, upper, np.inf, 1000, 1e9, 0.0, 1.0, 16)
        _, labels, _, reduced = pool.bound(D, 0.0, 1.0, 16, lower, upper)
        assert unsure.tolist() == labels.tolist()
        pool.mark_sure(unsure)
        assert not len(pool.solve(D, lower, upper, np.inf, 1000, 1e9, 0.0, 1.0, 16)[2])
        slack = int(rng.integers(0, 40))
        low, high = rng.choice([0, 0, 1], v).astype(np.int8), rng.choice([1, 1, 0], v).astype(np.int8)
        free = (low == 0) & (high == 1)
        off, on = np.flatnonzero(free & (reduced > slack)), np.flatnonzero(free & (-reduced > slack))
        before = low.copy(), high.copy()
        found = pool.fix(slack, low, high, lower, upper)
        assert (found is None) == (len(off) + len(on) == 0)
        if found is not None:
            assert (found[0].tolist(), found[1].tolist()) == (off.tolist(), on.tolist())
            fixed += len(off) + len(on)
        before[1][off], before[0][on] = 0, 1
        assert np.array_equal(low, before[0]) and np.array_equal(high, before[1])
        assert np.array_equal(np.flatnonzero(upper == 0), off) and np.array_equal(np.flatnonzero(lower == 1), on)
        assert total >= 0
    assert fixed > 20


def test_the_rows_of_a_set():
    columns = np.array([[0, 5], [1, 6], [2, 7], [3, 9]], dtype=np.int64)
    pool = tree.CutPool(np.ones(10, dtype=np.int64), 5)
    assert pool.add_set(np.array([2, 0]), columns, 9).tolist() == [0, 1]
    assert [part.tolist() for part in pool.row(0)[:2]] == [[0, 2], [1, 1]]
    assert (pool.row(1)[0].tolist(), pool.row(1)[2]) == ([5, 7], 1)
    assert pool.add_set(np.array([0, 2]), columns, 9).tolist() == [-1, -1]
    assert pool.add_set(np.array([1, 3]), columns, 9).tolist() == [2, -2]


def enclosed_plainly(rows, support):
    """The criterion of `native/exact/enclosure.hpp`, by NumPy."""
    B = np.vstack([rows[support].T, np.ones(len(support))])
    unit = np.frexp(np.abs(B).max(axis=1, keepdims=True))[1]
    B[:-1] = np.ldexp(B[:-1], -unit[:-1])
    try:
        R = np.linalg.inv(B)
    except np.linalg.LinAlgError:
        return False
    size, m = len(B), R[:, -1]
    gamma = (size + 4) * 2.0**-53 / (1.0 - (size + 4) * 2.0**-53)
    reached, target = np.abs(B) @ m, np.eye(size)[-1]
    error = np.abs(R @ B - np.eye(size)) @ m + gamma * (np.abs(R) @ reached + m)
    residual = np.abs(target - B @ m) + gamma * (reached + target)
    with np.errstate(all="ignore"):
        return bool(np.all(m > 0) and np.all(1.01 * (error + np.abs(R) @ residual) / m < 1.0))


@pytest.mark.parametrize("kind", ["normal", "integers", "few values"])
def test_enclosures(kind):
    rng = np.random.default_rng(1)
    verdicts, differ = [], 0
    for _ in range(30):
        p = int(rng.integers(1, 8))
        X = {
            "normal": rng.normal(size=(30, p)),
            "integers": rng.integers(-9, 10, (30, p)),
            "few values": rng.integers(-1, 2, (30, p)),
        }
        rows = X[kind].astype(float)
        supports = np.array([rng.choice(30, p + 1, replace=False) for _ in range(20)])
        found = enclosed_many(rows, supports)
        plain = np.array([enclosed_plainly(rows, support) for support in supports])
        differ += np.count_nonzero(found != plain)
        verdicts += found.tolist()
    assert differ <= 1  # sums come in another order
    assert 0 < sum(verdicts) < len(verdicts)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_numbers_of_digits(count):
    rng = np.random.default_rng(count)
    for length in (0, 1, 2, 7, 60):
        digits = rng.integers(0, tree.PRIME, (length, count))
        digits[length // 2 :, 0] = 0
        expected = [sum(int(d) * tree.PRIME**k for k, d in enumerate(column)) for column in digits.T]
        assert tree.numbers_of(digits) == expected
    assert tree.numbers_of(np.full((9, count), tree.PRIME - 1)) == [tree.PRIME**9 - 1] * count


def test_steps_of_euclid_are_those_of_the_whole_numbers():
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(200):
        r = int(rng.integers(1 << 59, 1 << 60)) << 200 | int(rng.integers(1 << 60))
        s = r * int(rng.integers(1, 1 << 30)) >> 30
        length = r.bit_length()
        a, b, c, d = tree.euclid_steps(r >> (length - 60), s >> (length - 60))
        if b == 0:
            continue
        taken += 1
        assert abs(a * d - b * c) == 1
        u, w = a * r + b * s, c * r + d * s
        # two numbers that Euclid's algorithm comes by
        x, y = r, s
        while (x, y) != (u, w) and y:
            x, y = y, x % y
        assert (x, y) == (u, w)
    assert taken > 100


# ------------------------------------------------------------------------------------------ what kernels are asked


def hard_program(n=400, rows=3000):
    """Covering by random triples: some hundred pivots, which take longer than a kernel goes on without asking."""
    rng = np.random.default_rng(0)
    D = covering.dictionary(1.0 + rng.random(n), rows, rows)
    for label in range(rows):
        covering.add_row(D, label, np.sort(rng.permutation(n)[:3]), np.ones(3), 1.0)
    return D


def test_whoever_says_no_ends_a_solve_soon():
    D, asked = hard_program(), []

    def proceed():
        asked.append(1)
        return False

    covering.settle(D)
    assert covering.dual_simplex(D, np.inf, 10**6, proceed) == covering.UNFINISHED
    assert len(asked) == 1
    assert covering.dual_simplex(D, np.inf, 10**6) == covering.OPTIMAL
    objective, pivots = D.state[covering.OBJECTIVE], D.state[covering.PIVOTS]
    E = hard_program()
    covering.settle(E)
    assert covering.dual_simplex(E, np.inf, 10**6, lambda: True) == covering.OPTIMAL
    # interruptions have changed nothing
    assert (E.state[covering.OBJECTIVE], E.state[covering.PIVOTS]) == (objective, pivots)


def test_an_error_of_who_is_asked_comes_through():
    rng = np.random.default_rng(0)
    rows, cost = rng.normal(size=(4000, 60)), rng.random(4000)
    sets, sizes = np.zeros((4, 61), dtype=np.int64), np.zeros(4, dtype=np.int64)

    def proceed():
        raise ZeroDivisionError

    A = tree.Alternative(rows)
    with pytest.raises(ZeroDivisionError):
        tree.separate(A, cost, 100.0, cost, 0.1, 10**6, sets, sizes, 0, proceed)
    value, _ = tree.separate(A, cost, 100.0, cost, 0.1, 10**6, sets, sizes, 0)
    again, _ = tree.separate(tree.Alternative(rows), cost, 100.0, cost, 0.1, 10**6, sets, sizes, 0)
    assert value == pytest.approx(again, abs=1e-9)


def test_a_second_thread_on_a_structure_is_refused():
    D, E = hard_program(), hard_program()
    begun, end = threading.Event(), threading.Event()

    def proceed():
        begun.set()
        return not end.wait(60)

    def work():
        covering.settle(D)
        covering.dual_simplex(D, np.inf, 10**6, proceed)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    for call in (lambda: covering.settle(D), lambda: covering.copy_into(E, D), lambda: D.T):
        with pytest.raises(InputError, match="another thread"):
            call()
    # on one of its own it may work
    covering.settle(E)
    assert covering.dual_simplex(E, np.inf, 5) == covering.UNFINISHED
    end.set()
    thread.join()
    assert covering.dual_simplex(D, np.inf, 10**6) == covering.OPTIMAL
