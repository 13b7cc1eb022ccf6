"""What the compiled tree accepts: checked arguments, and an error for everything else."""

import itertools

import numpy as np
import pytest

from bdnn._native import tree, walk
from bdnn.branch_and_cut import linear_program as covering
from bdnn.errors import InputError

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
