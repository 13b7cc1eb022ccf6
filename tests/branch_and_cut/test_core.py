"""The compiled core of branch and cut: against plain twins, and what its doors let pass."""

import itertools
import threading
from fractions import Fraction

import numpy as np
import pytest

from bdnn._native import tree, walk
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


# ------------------------------------------------------------------------------------------ what passes the doors

THREE, F = np.arange(3, dtype=np.int64), np.ones(3)
ONES = np.ones((2, 2), dtype=np.int64)


def program():
    D = covering.dictionary(np.ones(3), 4, 4)
    covering.add_row(D, 0, THREE, F, 1.0)
    return D


def pool():
    made = tree.CutPool(np.ones(3, dtype=np.int64), 4)
    made.add(THREE, np.ones(3, dtype=np.int64), 1)
    return made


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


REFUSED = {
    "a cost that is infinite": lambda: tree.Dictionary(np.array([1.0, np.inf]), 3, 3),
    "a cost of integers": lambda: tree.Dictionary(np.ones(3, dtype=np.int64), 3, 3),
    "a cost with gaps": lambda: tree.Dictionary(np.ones(6)[::2], 3, 3),
    "a negative capacity": lambda: tree.Dictionary(F, -1, 3),
    "a huge capacity": lambda: tree.Dictionary(F, 1 << 62, 3),
    "huge labels": lambda: tree.Dictionary(F, 3, 1 << 40),
    "a label out of range": lambda: covering.add_row(program(), 4, THREE, F, 1.0),
    "a negative label": lambda: covering.add_row(program(), -1, THREE, F, 1.0),
    "a label in use": lambda: covering.add_row(program(), 0, THREE, F, 1.0),
    "a column out of range": lambda: covering.add_row(program(), 1, THREE + 1, F, 1.0),
    "a negative column": lambda: covering.add_row(program(), 1, THREE - 1, F, 1.0),
    "too few values": lambda: covering.add_row(program(), 1, THREE, F[:2].copy(), 1.0),
    "values that are no numbers": lambda: covering.add_row(program(), 1, THREE, F * np.nan, 1.0),
    "a right-hand side that is no number": lambda: covering.add_row(program(), 1, THREE, F, np.nan),
    "columns of 32 bits": lambda: covering.add_row(program(), 1, THREE.astype(np.int32), F, 1.0),
    "no room for labels": lambda: covering.drop_slack_rows(program(), 0.0, THREE[:0].copy()),
    "labels that cannot be written": lambda: covering.drop_slack_rows(program(), 0.0, read_only(THREE)),
    "multipliers of another size": lambda: covering.multipliers(program(), 0.0, F),
    "no row that shows infeasibility": lambda: covering.multipliers(shown(7.0), 1.0, np.zeros(4)),
    "nonsense that shows infeasibility": lambda: covering.multipliers(shown(np.nan), 1.0, np.zeros(4)),
    "a row out of range": lambda: covering.penalties(program(), 1),
    "a negative row": lambda: covering.penalties(program(), -1),
    "a column that is not basic": lambda: covering.penalties_of(program(), THREE),
    "another shape": lambda: covering.copy_into(covering.dictionary(F, 5, 5), program()),
    "labels twice": lambda: rebuilt([0, 0], [0, 3]),
    "starts that do not ascend": lambda: rebuilt([0], [3, 0]),
    "starts beyond the end": lambda: rebuilt([0], [0, 4]),
    "labels without rows": lambda: rebuilt([0, 1, 2], [0, 3]),
    "a known column only": lambda: pool().add(THREE + 1, np.ones(3, dtype=np.int64), 1),
    "rows that are not there": lambda: pool().enter(program_of_four(), np.array([1])),
    "negative rows": lambda: pool().enter(program_of_four(), np.array([-1])),
    "the same row twice": lambda: pool().enter(program_of_four(), np.array([0, 0])),
    "another program": lambda: pool().enter(covering.dictionary(np.ones(4), 4, 4), np.array([0])),
    "slots of others": lambda: pool().enter(taken(), np.array([0])),
    "a point of another size": lambda: pool().violated(np.ones(2), 0.0, 3),
    "a negative number of rows": lambda: pool().violated(F, 0.0, -3),
    "a box that is no number": lambda: pool().bound(program_of_four(), 0.0, 1.0, 1, F * np.nan, F),
    "a box that is huge": lambda: pool().bound(program_of_four(), 0.0, 1.0, 1, F * 1e300, F),
    "no scale": lambda: pool().bound(program_of_four(), 0.0, 1.0, 0, F, F),
    "no unit": lambda: pool().bound(program_of_four(), 0.0, np.nan, 1, F, F),
    "a fix before a bound": lambda: pool().fix(1, *np.zeros((2, 3), dtype=np.int8), F, F),
    "members out of range": lambda: pool().add_set(THREE, np.zeros((2, 2), dtype=np.int64), -1),
    "columns of members out of range": lambda: pool().add_set(THREE, np.full((3, 2), 3), -1),
    "no rows": lambda: tree.Alternative(np.zeros((0, 3))),
    "rows that are no numbers": lambda: tree.Alternative(np.full((2, 3), np.nan)),
    "transposed rows": lambda: tree.Alternative(np.ones((2, 3)).T),
    "a first row out of range": lambda: tree.restart(tree.Alternative(np.ones((2, 3))), 2),
    "prices of another size": lambda: asked(cost=np.ones(3)),
    "prices that are no numbers": lambda: asked(cost=np.full(2, np.nan)),
    "sets of another size": lambda: asked(sets=np.zeros((2, 3), dtype=np.int64)),
    "sizes of another size": lambda: asked(sizes=np.zeros(3, dtype=np.int64)),
    "more sets than there is room for": lambda: asked(found=3),
    "a negative number of sets": lambda: asked(found=-1),
    "sizes beyond the end": lambda: asked(sizes=np.array([9, 0]), found=1),
    "shifts that are negative": lambda: tree.Lifting(ONES, ONES * -1),
    "shifts that are huge": lambda: tree.Lifting(ONES, ONES << 40),
    "numbers that have no opposite": lambda: tree.Lifting(ONES << 63, ONES * 0),
    "shifts of another shape": lambda: tree.Lifting(ONES, np.zeros((2, 3), dtype=np.int64)),
    "a solution that is not there": lambda: tree.Lifting(ONES, ONES * 0).solve(1),
    "digits that are none": lambda: tree.numbers_of(np.full((2, 2), -1)),
    "steps of negative numbers": lambda: tree.euclid_steps(-1, 1),
    "supports of another size": lambda: tree.enclosed(np.ones((4, 2)), np.zeros((1, 2), dtype=np.int64)),
    "supports out of range": lambda: tree.enclosed(np.ones((4, 2)), np.full((1, 3), 4)),
    "a support out of range": lambda: tree.enclosed_support(np.ones((4, 2)), np.array([-1])),
    "a table that is no number": lambda: walking(table=np.full((2, 5), np.nan)),
    "lines of another shape": lambda: walking(lines=np.ones((2, 3))),
    "gains of another size": lambda: walking(g=np.ones(4)),
    "a table that cannot be written": lambda: walking(table=read_only(np.ones((2, 5)))),
    "no lines": lambda: walking(table=np.ones((0, 5)), lines=np.ones((0, 0))),
    "an endless tenure": lambda: walking(tenure=np.inf),
}  # fmt: skip


def rebuilt(labels, starts):
    return covering.rebuild(program(), np.array(labels), np.array(starts), THREE, F, F[: len(starts) - 1].copy())


def shown(row):
    D = program()
    D.state[2] = row
    return D


def program_of_four():
    return covering.dictionary(np.ones(3), 4, 4)


def taken():
    D = program_of_four()
    for label in range(4):
        covering.add_row(D, label, THREE, F, 1.0)
    return D


def asked(**changes):
    given = {
        "cost": np.ones(2), "residual": 1.0, "given": np.ones(2), "most": 1.0, "limit": 9,
        "sets": np.zeros((2, 4), dtype=np.int64), "sizes": np.zeros(2, dtype=np.int64), "found": 0,
    } | changes  # fmt: skip
    return tree.separate(tree.Alternative(np.ones((2, 3))), **given)


def walking(**changes):
    given = {
        "table": np.ones((2, 5)), "lines": np.eye(2), "g": np.ones(5), "tenure": 3.0, "looked": 2.0, "seed": 1,
    } | changes  # fmt: skip
    return walk.ArrangementWalk(**given)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    with pytest.raises((InputError, ValueError)):
        REFUSED[name]()


def test_what_is_not_refused():
    assert asked()[1] == 0
    assert walking().run(3, 0.0)[0] == 3
    assert covering.penalties(program(), 0)
    assert pool().enter(program_of_four(), np.array([0])) == 1
    assert pool().enter(program_of_four(), read_only(np.array([0]))) == 1
    assert tree.Lifting(ONES, ONES * 0).solve(0)[1] > 0


NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("seed", range(20))
def test_nonsense_in_what_can_be_written_breaks_nothing(seed):
    """Bounds, values and reduced costs are open to Python: no number in them may lead out of an array or never end."""
    rng = np.random.default_rng(seed)
    v, capacity = int(rng.integers(1, 9)), 12
    D, E = (covering.dictionary(np.ones(v), capacity, capacity) for _ in range(2))
    free = list(range(capacity))
    for _ in range(60):
        part = rng.choice(["x", "lower", "upper", "d", "state"])
        array = getattr(D, part)
        some = rng.integers(0, len(array), int(rng.integers(0, 3)))
        array[some] = rng.choice(NUMBERS, len(some))
        if free and rng.random() < 0.4:
            columns = rng.integers(0, v, int(rng.integers(0, 5)))
            covering.add_row(
                D, free.pop(), columns, rng.choice([1.0, -1.0, 1e300, 1e-300], len(columns)), float(rng.normal())
            )
        for call in rng.permutation(5).tolist():
            out = np.zeros(capacity)
            if call == 0:
                covering.settle(D)
            elif call == 1:
                covering.dual_simplex(D, float(rng.choice(NUMBERS)), int(rng.integers(-2, 40)))
            elif call == 2:
                dropped = np.zeros(capacity, dtype=np.int64)
                free += dropped[: covering.drop_slack_rows(D, float(rng.choice(NUMBERS)), dropped)].tolist()
            elif call == 3:
                try:
                    covering.multipliers(D, float(rng.choice(NUMBERS)), out)
                except InputError:
                    shown_row = D.state[2]
                    assert shown_row not in range(-int(D.size[0]), int(D.size[0]))
            else:
                covering.copy_into(E, D)
                covering.penalties_of(E, np.flatnonzero(E.place[:v] < 0))
                assert E.T.shape == (int(D.size[0]), v)
        variables = sorted([*D.basic[: int(D.size[0])].tolist(), *D.nonbasic.tolist()])
        assert len(set(variables)) == len(variables) == v + int(D.size[0])


def test_all_pairs_of_odd_arrays_are_refused_or_taken():
    """Every function with arrays of any type, shape and layout: an answer or a refusal."""
    rng = np.random.default_rng(0)
    odd = [
        np.zeros(0), np.ones(1), np.ones(3), np.full(3, np.nan), np.ones((3, 3)), np.ones((3, 3)).T, np.ones(6)[::2],
        np.zeros(0, dtype=np.int64), np.arange(3), np.full(3, -5), np.full(3, 1 << 62), np.arange(9).reshape(3, 3),
        np.arange(3, dtype=np.int8), np.ones(3, dtype=np.float32), np.ones(3, dtype=bool), read_only(np.ones(3)),
        np.zeros((0, 3)), np.zeros((3, 0), dtype=np.int64), np.array(["a"]), None, 3, "text", [1.0, 2.0, 3.0],
    ]  # fmt: skip
    D, P, A = program_of_four(), pool(), tree.Alternative(rng.normal(size=(3, 2)))
    sets, sizes = np.zeros((2, 3), dtype=np.int64), np.zeros(2, dtype=np.int64)
    calls = [
        lambda a, b: tree.Dictionary(a, 3, 3),
        lambda a, b: covering.add_row(D, 1, a, b, 0.0),
        lambda a, b: covering.drop_slack_rows(D, 0.0, a),
        lambda a, b: covering.rebuild(D, a, b, a, b, a),
        lambda a, b: covering.multipliers(D, 0.0, a),
        lambda a, b: covering.penalties_of(D, a),
        lambda a, b: tree.CutPool(a, 3),
        lambda a, b: P.add(a, b, 1),
        lambda a, b: P.add_set(a, b, 0),
        lambda a, b: P.enter(D, a),
        lambda a, b: P.violated(a, 0.0, 2),
        lambda a, b: P.gaps(a, b),
        lambda a, b: P.bound(D, 0.0, 1.0, 1, a, b),
        lambda a, b: P.solve(D, a, b, 1.0, 5, 5.0, 0.0, 1.0, 1),
        lambda a, b: P.fix(0, a, b, a, b),
        lambda a, b: P.mark_sure(a),
        lambda a, b: P.discard(D, a),
        lambda a, b: tree.Alternative(a),
        lambda a, b: tree.separate(A, a, 1.0, b, 1.0, 5, sets, sizes, 0),
        lambda a, b: tree.separate(A, F, 1.0, F, 1.0, 5, a, b, 0),
        lambda a, b: tree.Lifting(a, b),
        lambda a, b: tree.numbers_of(a),
        lambda a, b: tree.enclosed(a, b),
        lambda a, b: tree.enclosed_support(a, b),
        lambda a, b: walk.ArrangementWalk(a, b, a, 2.0, 2.0, 1),
        lambda a, b: walk.ArrangementWalk(np.ones((3, 3)), a, b, 2.0, 2.0, 1),
    ]  # fmt: skip
    taken_, refused = 0, 0
    for call in calls:
        for a, b in itertools.product(odd, odd):
            try:
                call(a, b)
                taken_ += 1
            except (InputError, TypeError, ValueError):
                refused += 1
    assert refused > 5000 and taken_ > 100
