"""Clauses beside a limit on costs: models and refutations, against brute force."""

import itertools

import numpy as np
import pytest

from bdnn._native.tree import Clauses, refutes

REFUTED, MODEL, UNDECIDED = 0, 1, -1


def flat(lists):
    ends = np.cumsum([0, *map(len, lists)])
    return np.array([value for each in lists for value in each], dtype=np.int64), ends.astype(np.int64)


def parts(values, ends):
    return [values[a:b].tolist() for a, b in itertools.pairwise(ends)]


def problem(seed):
    """Return costs, a limit and clauses of a few columns."""
    rng = np.random.default_rng(seed)
    v = int(rng.integers(1, 11))
    cost = rng.integers(0, 4, v) * (rng.random(v) < 0.6)
    clauses = []
    for _ in range(rng.integers(0, 5 * v + 2)):
        size = 0 if rng.random() < 0.01 else int(rng.integers(1, min(v, 4) + 1))
        columns = rng.permutation(v)[:size]
        clauses.append((2 * columns + (rng.random(size) < 0.4)).astype(np.int64))
    return cost, int(rng.integers(0, cost.sum() // 2 + 2)), clauses, rng


def solutions(n_columns, clauses):
    """All columns that meet all clauses."""
    every = np.array(list(itertools.product([0, 1], repeat=n_columns)))
    met = [np.any(every[:, clause // 2] != clause % 2, axis=1) for clause in clauses]
    return every[np.all(met, axis=0)] if met else every


def solved(cost, most, clauses, rng):
    """Solve, with clauses that come when others were worked on."""
    search = Clauses(cost, most)
    for clause in clauses:
        search.add(clause)
        if rng.random() < 0.2:
            search.solve(int(rng.integers(0, 4)))
    return search, search.solve(10**6)


@pytest.mark.parametrize("part", range(4))
def test_models_and_refutations_are_right(part):
    outcomes = set()
    for seed in range(250 * part, 250 * (part + 1)):
        cost, most, clauses, rng = problem(seed)
        every = solutions(len(cost), clauses)
        least = (every @ cost).min() if len(every) else None
        search, outcome = solved(cost, most, clauses, rng)
        outcomes.add(outcome)
        assert outcome == (MODEL if least is not None and least <= most else REFUTED)
        assert search.given == len(clauses)
        if outcome == MODEL:
            x = search.columns_on().astype(int)
            assert x @ cost <= most and (every == x).all(axis=1).any()
            continue
        numbers, *lemmas = search.refutation()
        given = flat([clauses[number] for number in numbers])
        assert np.all(np.diff(numbers) > 0)
        assert refutes(cost, most, *given, *lemmas)
        if least is not None:  # where there is a solution there is no refutation
            assert not refutes(cost, int(least), *given, *lemmas)
    assert outcomes == {MODEL, REFUTED}


def hard(n_holes):
    """One pigeon more than there are holes, as a limit on costs: each hole that is used costs 1."""
    columns = np.arange((n_holes + 1) * n_holes).reshape(n_holes + 1, n_holes)
    clauses = [2 * row for row in columns]
    for hole in range(n_holes):
        clauses += [2 * columns[list(pair), hole] + 1 for pair in itertools.combinations(range(n_holes + 1), 2)]
    return np.ones(columns.size, dtype=np.int64), clauses


def test_much_is_learned_and_dropped():
    cost, clauses = hard(8)
    search = Clauses(0 * cost, 0)
    for clause in clauses:
        search.add(clause)
    while search.solve(1000) == UNDECIDED:
        assert search.conflicts < 200_000
    assert search.conflicts > 6000  # learned clauses were dropped on the way
    numbers, *lemmas = search.refutation()
    assert refutes(0 * cost, 0, *flat([clauses[number] for number in numbers]), *lemmas)
    # of the limit alone: five pigeons cost five
    few = Clauses(cost, 4)
    for clause in clauses[:5]:
        few.add(clause)
    assert few.solve(10**6) == REFUTED
    numbers, *lemmas = few.refutation()
    assert refutes(cost, 4, *flat([clauses[number] for number in numbers]), *lemmas)
    assert not refutes(cost, 5, *flat([clauses[number] for number in numbers]), *lemmas)


def test_a_changed_refutation_is_none():
    rng, refused = np.random.default_rng(0), 0
    for seed in range(300):
        cost, most, clauses, again = problem(seed)
        search, outcome = solved(cost, most, clauses, again)
        if outcome != REFUTED:
            continue
        numbers, literals, literal_ends, reasons, reason_ends = search.refutation()
        given = [clauses[number].tolist() for number in numbers]
        lemmas, why = parts(literals, literal_ends), parts(reasons, reason_ends)
        change = rng.integers(4)
        if change == 0 and given:
            given.pop(rng.integers(len(given)))  # numbers of lemmas move with it
            why = [[r - (r >= len(given)) for r in each] for each in why]
        elif change == 1:
            lemmas.pop()
            why.pop()
        elif change == 2 and why[-1]:
            why[-1].pop(rng.integers(len(why[-1])))
        elif change == 3:
            why[rng.integers(len(why))].insert(0, len(given) + len(lemmas))
        still = refutes(cost, most, *flat(given), *flat(lemmas), *flat(why))
        # what is believed all the same must be true
        every = solutions(len(cost), [np.array(each, dtype=np.int64) for each in given])
        assert not still or not len(every) or (every @ cost).min() > most
        refused += not still
    assert refused > 50


def test_a_limit_on_conflicts_and_a_no_leave_it_to_be_gone_on_with():
    cost, clauses = hard(6)
    search = Clauses(0 * cost, 0)
    for clause in clauses:
        search.add(clause)
    assert search.solve(5) == UNDECIDED
    assert 5 <= search.conflicts < 50
    assert search.solve(10**6) == REFUTED
    assert search.solve(0) == REFUTED
