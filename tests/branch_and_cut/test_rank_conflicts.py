"""Points in conflict: subsets on which conjunctions and disjunctions of neurons lose something, and what is proven."""

import itertools
import json

import numpy as np
import pytest

from bdnn import Budget, Problem, Status, verify_certificate
from bdnn.branch_and_cut import engine, rank_work
from bdnn.branch_and_cut.rank_conflicts import Conflicts, _cliques, _cycles, roles
from bdnn.branch_and_cut.rank_rows import RankRows
from bdnn.branch_and_cut.rank_work import RankWork
from bdnn.branch_and_cut.subset_tree import SubsetTree
from bdnn.methods.exact import ExactTraining
from branch_and_cut.test_rank_rows import least_cost, noisy, ranks_of


def simplex(d, repeats=1):
    """Corners of one class, and the middles of their edges of the other: no d halfspaces keep them apart."""
    corners = np.vstack([np.zeros(d), np.eye(d)]) * 4.0
    middles = np.array([(a + b) / 2 for a, b in itertools.combinations(corners, 2)])
    X = np.vstack([np.vstack([corners, middles]) + 10.0 * k * np.ones(d) for k in range(repeats)])
    y = np.tile(np.r_[np.zeros(len(corners), dtype=int), np.ones(len(middles), dtype=int)], repeats)
    return X, y, np.ones(len(X))


def subsets_of(ranks, most):
    conflicts = Conflicts(ranks.program, ranks.cuts, np.random.default_rng(0))
    return list(itertools.islice((each for each in conflicts.subsets() if each is not None), most))


def proven(ranks, points):
    tree = SubsetTree(ranks, points)
    assert tree.raise_bound(10_000, lambda: True) and tree.exact
    return tree.proven


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_corners_of_a_simplex_are_in_conflict(d, flipped):
    """A conjunction for one labeling, a disjunction for the other."""
    X, y, weight = simplex(d)
    found = []
    for number, ranks in enumerate(ranks_of(X, 1 - y if flipped else y, weight, (d,))):
        if roles(ranks.program) is None:
            continue
        for points in subsets_of(ranks, 3):
            found.append(proven(ranks, points))
            assert found[-1] == least_cost(ranks.program, number, points)
    assert found and min(found) >= 1


def test_only_conjunctions_and_disjunctions_have_roles():
    X, y, weight = simplex(3)
    counts = {hidden: [roles(r.program) is not None for r in ranks_of(X, y, weight, hidden)] for hidden in
              ((), (1,), (2,), (3,))}  # fmt: skip
    assert counts[()] == [False] and counts[(1,)] == [False] and counts[(2,)] == [True, True]
    assert sorted(counts[(3,)]) == [False, False, False, True, True]
    classes = noisy(16, 3, classes=3)
    assert not any(roles(ranks.program) for ranks in ranks_of(*classes, (2,), "threshold"))


@pytest.mark.parametrize("seed", range(6))
def test_something_is_lost_on_every_subset(seed):
    X, y, weight = noisy(30, seed)
    for number, ranks in enumerate(ranks_of(X, y, weight, (2,))):
        strict, free = roles(ranks.program)
        assert sorted([*strict, *free]) == list(range(len(ranks.program.points)))
        for points in subsets_of(ranks, 4):
            assert np.all(np.diff(points) > 0)
            assert 1 <= proven(ranks, points) == least_cost(ranks.program, number, points)


def test_cliques_and_cycles():
    edges = {(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (5, 6), (6, 7), (5, 7), (4, 5)}
    neighbors = {k: {b for a, b in edges | {(b, a) for a, b in edges} if a == k} for k in range(8)}
    assert list(_cliques(list(range(8)), neighbors, 3)) == [(5, 6, 7)]
    assert [sorted({p for pair in cycle for p in pair}) for cycle in _cycles(list(range(8)), neighbors)] == [
        [0, 1, 2, 3, 4]
    ]
    neighbors[1].add(3)
    neighbors[3].add(1)
    assert not list(_cycles(list(range(8)), neighbors))


@pytest.fixture
def at_once(monkeypatch):
    """Rank rows are sought from the first moment on, for long where they are."""
    for name, value in (("_ALONE", -1.0), ("_WIDE", 0.0), ("_MANY", 1e-9)):
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(rank_work, "_CONFLICTS_AT_ONCE", 2)
    found = []
    kept = RankRows.add

    def add(self, points, bound, record=None):
        found.append((self, points, bound))
        kept(self, points, bound, record)

    monkeypatch.setattr(RankRows, "add", add)
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("flipped", [False, True])
def test_runs_and_certificates_with_them(at_once, threads, flipped):
    X, y, weight = simplex(2, repeats=3)
    y = 1 - y if flipped else y
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    plain = ExactTraining(formulation="enumeration")(problem, Budget(seconds=60))
    training = ExactTraining(formulation="activation", incumbents="none", certificate=True)
    result = training(problem, Budget(seconds=60, threads=threads))
    assert result.status == plain.status == Status.OPTIMAL and result.objective == plain.objective
    document = json.loads(json.dumps(result.certificate))
    assert verify_certificate(document, X, y, weight).optimal
    if threads == 1:
        assert at_once and all(bound >= 1 for _, _, bound in at_once)
        assert any(tree["ranks"] for tree in document["trees"])


def test_work_ends_after_small_subsets_where_it_is_of_neurons():
    X, y, weight = simplex(2, repeats=3)
    found, asked = [], itertools.count()
    for ranks in ranks_of(X, y, weight, (2,)):
        work = RankWork(ranks, [0])
        assert work.small
        while not work.done:
            work.work(lambda: next(asked) % 5 != 4)
        assert not work.small and work.deals <= rank_work._CONFLICTS // rank_work._CONFLICTS_AT_ONCE
        found += ranks.rows
    assert found and all(np.all(np.diff(row.points) > 0) and row.bound >= 1 for row in found)
