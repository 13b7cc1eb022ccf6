"""Output functions, against all monotone functions and a linear program for each."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn.branch_and_cut.output_functions import MAX_BITS, OutputFunction, functions
from bdnn.errors import InputError

COUNTS = {1: 1, 2: 2, 3: 5, 4: 17, 5: 92}
EACH = [f for d in COUNTS for f in functions(d)]


def points(d):
    return np.array(list(itertools.product([0, 1], repeat=d)))


def table_of(f):
    return tuple((points(f.n_bits) @ f.weights >= f.threshold).tolist())


def monotone(d):
    """Truth tables of all monotone functions: two of one bit less, the first below the second."""
    if d == 0:
        return [(False,), (True,)]
    less = monotone(d - 1)
    return [f + g for f in less for g in less if all(not a or b for a, b in zip(f, g, strict=True))]


def permuted(table, d):
    """All truth tables that come from a permutation of the bits."""
    cube = np.array(table).reshape((2,) * d)
    return {tuple(np.transpose(cube, order).ravel().tolist()) for order in itertools.permutations(range(d))}


def needs_all(table, d):
    cube = np.array(table).reshape((2,) * d)
    return all(np.any(np.take(cube, 0, axis) != np.take(cube, 1, axis)) for axis in range(d))


def is_threshold(table, d):
    U, true = points(d), np.array(table)
    # w·u >= t + 1 where true, w·u <= t where false
    rows = np.column_stack([U, -np.ones(len(U))])
    A = np.where(true[:, None], -rows, rows)
    bounds = [(None, None)] * (d + 1)
    return linprog(np.zeros(d + 1), A_ub=A, b_ub=np.where(true, -1.0, 0.0), bounds=bounds).status == 0


def classes(d):
    """One set of truth tables for each class of monotone functions that need all bits."""
    left = {table for table in monotone(d) if needs_all(table, d)}
    while left:
        family = permuted(next(iter(left)), d)
        left -= family
        yield family


@pytest.mark.parametrize("d", COUNTS)
def test_against_all_monotone_functions(d):
    expected = [family for family in classes(d) if is_threshold(next(iter(family)), d)]
    found = [table_of(f) for f in functions(d)]
    assert len(found) == len(expected) == COUNTS[d]
    for family in expected:
        assert sum(table in family for table in found) == 1


def test_the_numbers_of_monotone_functions_are_dedekinds():
    assert [len(monotone(d)) for d in range(5)] == [2, 3, 6, 20, 168]


@pytest.mark.parametrize("f", EACH, ids=lambda f: f"{f.weights}>={f.threshold}")
def test_implicants_and_blockers(f):
    d, table = f.n_bits, dict(zip(map(tuple, points(f.n_bits).tolist()), table_of(f), strict=True))
    sets = [s for size in range(d + 1) for s in itertools.combinations(range(d), size)]

    def minimal(holds):
        return tuple(s for s in sets if holds(s) and not any(holds(t) for t in sets if set(t) < set(s)))

    assert f.implicants == minimal(lambda s: table[tuple(int(bit in s) for bit in range(d))])
    assert f.blockers == minimal(lambda s: not table[tuple(int(bit not in s) for bit in range(d))])
    assert all(set(s) & set(t) for s in f.implicants for t in f.blockers)


@pytest.mark.parametrize("d", COUNTS)
def test_no_smaller_weights(d):
    found = {table_of(f): f for f in functions(d)}
    largest = max(sum(f.weights) for f in found.values())
    for weights in itertools.product(range(1, largest), repeat=d):
        if sum(weights) >= largest or list(weights) != sorted(weights, reverse=True):
            continue
        values = points(d) @ weights
        for threshold in range(1, sum(weights) + 1):
            table = tuple((values >= threshold).tolist())
            if table in found:
                assert sum(found[table].weights) <= sum(weights)
            else:
                assert not needs_all(table, d)


@pytest.mark.parametrize("d", COUNTS)
def test_order_and_duals(d):
    listed = functions(d)
    assert list(listed) == sorted(listed, key=lambda f: (sum(f.weights), f.weights, f.threshold))
    assert functions(d) is listed
    for f in listed:
        assert f.weights == tuple(sorted(f.weights, reverse=True)) and f.weights[-1] >= 1
        assert f.dual() in listed and f.dual().dual() == f
        assert table_of(f.dual()) == tuple(not value for value in reversed(table_of(f)))


@pytest.mark.parametrize("f", EACH, ids=lambda f: f"{f.weights}>={f.threshold}")
def test_symmetries(f):
    d, cube = f.n_bits, np.array(table_of(f)).reshape((2,) * f.n_bits)
    group_of = {bit: group for group in f.symmetries() for bit in group}
    assert sorted(group_of) == list(range(d)) == [bit for group in f.symmetries() for bit in group]
    for i, j in itertools.combinations(range(d), 2):
        same = np.array_equal(cube, np.swapaxes(cube, i, j))
        assert (group_of[i] == group_of[j]) == same == (f.weights[i] == f.weights[j])


def test_known_functions():
    names = {(f.weights, f.threshold) for f in functions(3)}
    assert names == {((1, 1, 1), 1), ((1, 1, 1), 2), ((1, 1, 1), 3), ((2, 1, 1), 2), ((2, 1, 1), 3)}
    assert functions(1) == (OutputFunction(1, ((0,),), ((0,),), (1,), 1),)


@pytest.mark.parametrize("d", [0, -1, MAX_BITS + 1, 2.5])
def test_other_numbers_of_bits(d):
    with pytest.raises(InputError, match="1 to 5 bits are accepted"):
        functions(d)
