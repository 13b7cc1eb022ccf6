"""Rank rows: bounds on subsets of the points, in trees, certificates and checkpoints."""

import copy
import dataclasses
import functools
import itertools
import json
from fractions import Fraction

import numpy as np
import pytest

from bdnn import Budget, Problem, Status, verify_certificate
from bdnn.branch_and_cut import engine, rank_blocks, rank_work, team
from bdnn.branch_and_cut.crew import Returned
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.engine import Proof
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.proof_log import RANK, Record
from bdnn.branch_and_cut.rank_rows import RankRows, ranks_to_arrays, restore_ranks, solution
from bdnn.branch_and_cut.rank_searches import RankSearches
from bdnn.branch_and_cut.subset_tree import SubsetTree
from bdnn.branch_and_cut.subtree import Nodes, Site
from bdnn.branch_and_cut.team import Team
from bdnn.branch_and_cut.tree import Tree
from bdnn.errors import BDNNError, CertificateError
from bdnn.methods import exact
from bdnn.methods.exact import ExactTraining
from bdnn.methods.incumbents import submit_starts
from bdnn.methods.run import Run
from bdnn.problem.presolve import presolve
from bdnn.search.halfspace import separators
from branch_and_cut.crews import Scripted, Unreliable

plain = functools.partial(ExactTraining, formulation="activation", incumbents="none")


def noisy(rows, seed, features=2, classes=2):
    """Small integers with labels of little use, so that there is something to prove, and whether weights differ."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (rows, features)).astype(float)
    y = np.digitize(X.sum(axis=1) + rng.normal(0, 2.5, rows), np.arange(classes - 1) * 2.0)
    y[:classes] = np.arange(classes)
    return X, y, rng.integers(1, 9, rows) / 2.0 if seed % 2 else np.ones(rows)


def hard(rows, seed=3, features=5):
    """Some twenty nodes, or more."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features))
    return X, (X[:, 0] + rng.normal(0, 1.5, rows) > 0).astype(int), np.ones(rows)


def ranks_of(X, y, weight, hidden=(), head="threshold"):
    """Return empty rank rows of each output function."""
    each = programs(presolve(Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=hidden, head=head)))
    cuts = Cuts(each[0].points, np.random.default_rng(0))
    return [RankRows(program, cuts) for program in each]


def least_cost(program, number, points):
    """Least cost of a program on some of its points, by a fresh tree on these alone, in units of the whole."""
    every = program.points
    alone = programs(every.reduced.restricted(every.point[points]))[number]
    everything = float(alone.points.weight.sum())
    tree = Tree(alone, Cuts(alone.points, np.random.default_rng(1)), everything, lambda network: np.inf)
    lowest = [everything]

    def evaluated(weights):
        lowest.append(float(solution(alone, weights) @ alone.cost))
        return lowest[-1]

    tree.evaluate = evaluated
    tree.run(lambda: True)
    assert tree.bound == min(lowest)
    return tree.bound * alone.points.unit / every.unit


CASES = [
    (18, 0, (), "threshold", 2), (18, 1, (), "threshold", 2), (16, 2, (), "argmax", 2), (16, 3, (), "threshold", 3),
    (14, 4, (2,), "threshold", 2), (14, 5, (2,), "argmax", 2),
]  # fmt: skip


@pytest.mark.parametrize("rows, seed, hidden, head, classes", CASES)
def test_subsets_have_their_own_least_costs(rows, seed, hidden, head, classes):
    X, y, weight = noisy(rows, seed, classes=classes)
    rng = np.random.default_rng(seed)
    for number, ranks in enumerate(ranks_of(X, y, weight, hidden, head)):
        n = len(ranks.program.points)
        for size in (n // 3, n // 2, n - 2, n):
            points = np.sort(rng.permutation(n)[:size])
            tree = SubsetTree(ranks, points)
            assert tree.raise_bound(10_000, lambda: True)
            assert tree.exact
            assert tree.proven == least_cost(ranks.program, number, points)
            if tree.proven:
                ranks.add(points, tree.proven)


def test_a_subset_is_gone_on_with_after_an_interruption():
    (ranks,) = ranks_of(*hard(60))
    points = np.arange(50)
    whole = SubsetTree(ranks, points)
    whole.raise_bound(10_000, lambda: True)
    parts, asked = SubsetTree(ranks, points), itertools.count()
    interruptions = 0
    while not parts.raise_bound(10_000, lambda: next(asked) % 3 != 2):
        interruptions += 1
    assert interruptions > 2
    assert (parts.proven, parts.exact) == (whole.proven, True)


def test_records_prove_as_much():
    (ranks,) = ranks_of(*hard(60))
    proven = []
    for record in (False, True):
        tree = SubsetTree(ranks, np.arange(50), record=record)
        assert tree.raise_bound(10_000, lambda: True)
        proven.append((tree.proven, tree.exact))
    assert proven[0] == proven[1] and proven[0][1]
    assert tree.row_record is not None and None not in tree.row_record.nodes


def test_work_ends_where_rounding_errors_leave_nodes_undecided(monkeypatch):
    (ranks,) = ranks_of(*hard(40))
    exact = SubsetTree(ranks, np.arange(40))
    exact.raise_bound(10_000, lambda: True)
    monkeypatch.setattr(Cuts, "weights", lambda self, given: (None, None))
    tree = SubsetTree(ranks, np.arange(40))
    assert tree.raise_bound(10_000, lambda: True)
    assert tree.doubtful is not None
    assert 0 < tree.proven <= exact.proven


def test_few_nodes_prove_less_but_nothing_wrong():
    (ranks,) = ranks_of(*hard(60))
    points = np.arange(len(ranks.program.points))
    exact = SubsetTree(ranks, points)
    exact.raise_bound(100_000, lambda: True)
    proven = []
    for most in (1, 4, 16):
        tree = SubsetTree(ranks, points)
        assert tree.raise_bound(most, lambda: True)
        proven.append(tree.proven)
    assert 0 < proven[0] <= proven[1] <= proven[2] <= exact.proven


def test_rank_rows_raise_the_root():
    (ranks,) = ranks_of(*hard(60))

    def root():
        tree = Tree(ranks.program, ranks.cuts, float(ranks.program.cost.sum()), lambda network: np.inf, ranks=ranks)
        tree.run(lambda: not tree.nodes)
        return tree.rows.objective(tree.rows.D)

    before = root()
    tree = SubsetTree(ranks, np.arange(55))
    tree.raise_bound(10_000, lambda: True)
    ranks.add(tree.points, tree.proven)
    assert tree.proven > before + 0.5
    assert root() >= tree.proven - 1e-6


@pytest.fixture
def eager(monkeypatch):
    """Rank rows from the first moment on, whatever the gap."""
    monkeypatch.setattr(engine, "_ALONE", -1.0)
    monkeypatch.setattr(engine, "_WIDE", 0.0)
    monkeypatch.setattr(engine, "_MANY", 1e-9)
    monkeypatch.setattr(engine, "_SOMETHING", 0)
    monkeypatch.setattr(rank_blocks, "_TURNS", 4)
    monkeypatch.setattr(rank_work, "_IDLE_DEALS", (1, 1, 1))


def eager_run(X, y, weight, hidden=(), head="threshold", threads=1, **settings):
    problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=hidden, head=head)
    return plain(**settings)(problem, Budget(seconds=60, threads=threads))


@pytest.mark.parametrize("rows, seed, hidden, head, classes", CASES)
def test_runs_with_rank_rows_find_the_optimum(rows, seed, hidden, head, classes, monkeypatch, eager):
    data = noisy(rows, seed, classes=classes)
    with monkeypatch.context() as before:
        before.setattr(engine, "_MANY", np.inf)
        expected = eager_run(*data, hidden, head)
    found = counted(monkeypatch)
    result = eager_run(*data, hidden, head)
    assert result.status == expected.status == Status.OPTIMAL
    assert result.objective == result.bound == expected.objective
    assert found() > 0 or hidden  # two neurons have other subsets: tests of conflicts


def counted(monkeypatch):
    """Count the rank rows that runs find."""
    count, add = itertools.count(), RankRows.add

    def counting(self, *row):
        next(count)
        add(self, *row)

    monkeypatch.setattr(RankRows, "add", counting)
    return lambda: next(copy.copy(count))


@pytest.fixture(scope="module")
def recorded():
    """A certificate that rests on rank rows, and its data."""
    patch = pytest.MonkeyPatch()
    eager.__wrapped__(patch)
    data = hard(50)
    result = eager_run(*data, certificate=True)
    patch.undo()
    return result, data


def test_certificates_hold_rank_rows(recorded):
    result, (X, y, weight) = recorded
    document = json.loads(json.dumps(result.certificate))
    assert document["version"] == 4
    (tree,) = document["trees"]
    assert tree["ranks"]
    assert any(proof.get("ranks") for proof in tree["proofs"])
    verified = verify_certificate(document, X, y, weight)
    assert verified.optimal
    assert verified.loss == Fraction(result.objective)


@pytest.mark.parametrize("hidden, seed", [((), 1), ((2,), 4), ((2,), 5)])
def test_certificates_of_other_problems_hold(hidden, seed, eager):
    X, y, weight = noisy(20 if not hidden else 14, seed)
    result = eager_run(X, y, weight, hidden, certificate=True)
    assert verify_certificate(json.loads(json.dumps(result.certificate)), X, y, weight).optimal


def spoiled(document, change):
    changed = copy.deepcopy(document)
    change(changed["trees"][0]["ranks"], changed)
    return changed


def _first_proof(ranks, document):
    return next(proof for rank in ranks for proof in rank["proofs"])


HOSTILE = {
    "a bound that is higher": (lambda r, d: r[0].update(bound=r[0]["bound"] + 1), "proves"),
    "a bound above all costs": (lambda r, d: r[0].update(bound=10**6), "more than"),
    "no points": (lambda r, d: r[0].update(points=[]), "must have points"),
    "a point that is not there": (lambda r, d: r[0]["points"].append(10**6), "must have points"),
    "a point twice": (lambda r, d: r[0]["points"].append(r[0]["points"][0]), "twice"),
    "itself": (lambda r, d: _first_proof(r, d).update(ranks=[[0, 1]]), "names rank 0"),
    "a rank that is not there": (lambda r, d: d["trees"][0]["proofs"][0].update(ranks=[[10**6, 1]]), "names rank"),
    "a negative multiple": (lambda r, d: d["trees"][0]["proofs"][0].update(ranks=[[0, -1]]), "negative"),
    "a triple": (lambda r, d: d["trees"][0]["proofs"][0].update(ranks=[[0, 0, 1]]), "two integers"),
    "no nodes": (lambda r, d: r[0].update(nodes=[]), "has no nodes"),
    "a tree of trees": (lambda r, d: r[0].update(ranks=[]), "unknown name"),
    "an older version": (lambda r, d: d.update(version=3), "unknown name"),
    "a bound that is no integer": (lambda r, d: r[0].update(bound="7"), "must be an integer"),
    "a huge bound": (lambda r, d: r[0].update(bound=2**70), "must be an integer"),
    "few points": (lambda r, d: r[0].update(points=r[0]["points"][: r[0]["bound"]]), "proves"),
}


@pytest.mark.parametrize("change", HOSTILE)
def test_changed_rank_rows_are_refused(recorded, change):
    result, data = recorded
    how, message = HOSTILE[change]
    with pytest.raises(CertificateError, match=message):
        verify_certificate(spoiled(result.certificate, how), *data)


@pytest.fixture(params=["threads", "an unreliable crew"])
def together(request, monkeypatch, eager):
    """Rank rows are sought while others work on the trees; returns how many were found so."""
    monkeypatch.setattr(engine, "_RANK_SLICE", 0.05)
    monkeypatch.setattr(rank_blocks, "_TURNS", 1)
    monkeypatch.setattr(engine, "_GLANCE", 0.02)
    monkeypatch.setattr(engine, "_NODES_PER_WORKER", 1)
    if request.param == "an unreliable crew":
        monkeypatch.setattr(exact, "Threads", Unreliable)
        monkeypatch.setattr(team, "_USUAL", 0.02)
    count, work = itertools.count(), RankSearches.work
    inside = []

    def meanwhile(self):
        inside.append(True)
        rank_meanwhile(self)
        inside.pop()

    def counting(self, trees, proceed):
        before = sum(map(len, self.rows))
        work(self, trees, proceed)
        for _ in range(sum(map(len, self.rows)) - before if inside else 0):
            next(count)

    rank_meanwhile = engine._Work._rank_meanwhile
    monkeypatch.setattr(engine._Work, "_rank_meanwhile", meanwhile)
    monkeypatch.setattr(RankSearches, "work", counting)
    return lambda: next(copy.copy(count))


def test_rank_rows_are_found_and_used_while_others_work(together):
    data = hard(60, 6)
    expected = eager_run(*data)
    result = eager_run(*data, threads=2)
    assert result.status == expected.status == Status.OPTIMAL
    assert result.objective == result.bound == expected.objective
    assert together() > 0


def test_certificates_hold_the_rank_rows_that_others_used(together):
    X, y, weight = hard(60, 6)
    document = json.loads(json.dumps(eager_run(X, y, weight, threads=2, certificate=True).certificate))
    assert verify_certificate(document, X, y, weight).optimal
    assert any(proof.get("ranks") for tree in document["trees"] for proof in tree["proofs"]) and together() > 0


def recorded_proof():
    """Data, a run and its proof, of one tree that is recorded."""
    X, y, weight = hard(50)
    run = Run(Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=()), Budget(seconds=60).start(), None)
    submit_starts(run, None)
    return (X, y, weight), run, Proof(run, record=True)


def test_rank_rows_have_the_names_of_who_sent_them():
    data, run, proof = recorded_proof()
    (tree,), crew = proof.trees, Scripted()
    for points in (np.arange(10), np.arange(45), np.arange(3, 48)):
        found = SubsetTree(tree.ranks, points, record=True)
        found.raise_bound(10_000, lambda: True)
        if found.proven:
            tree.ranks.add(points, found.proven, found.row_record)
    assert len(tree.ranks) >= 2
    some, site = Team(crew, proof.cuts, proof.submit), Site(run.reduced, 0)
    some._ranks_sent["a", 0] = 1  # the site has lost the first
    while tree.open:
        some.hand_out(lambda: (0, tree) if tree.n_waiting else None, 60.0, None, True)
        number = max(crew.jobs)
        crew.back = [Returned(number, crew.jobs[number].do(site, lambda: False))]
        some.collect(0.0)
    assert tree.closed and 1 <= tree.record.last_rank < len(tree.ranks)
    document = json.loads(json.dumps(proof.certificate(run.incumbent.network)))
    assert any(proof.get("ranks") for proof in document["trees"][0]["proofs"])
    assert verify_certificate(document, *data).optimal


def test_a_rank_row_that_nobody_knows_is_refused():
    _, run, proof = recorded_proof()
    (tree,), crew = proof.trees, Scripted()
    some = Team(crew, proof.cuts, proof.submit)
    some.hand_out(lambda: (0, tree), 60.0, None, True)
    ((number, job),) = crew.jobs.items()
    honest = job.do(Site(run.reduced, 0), lambda: False)
    record = Record(1)
    record.close(0, record.proof([(-6, RANK)], np.array([1])))
    crew.back = [Returned(number, dataclasses.replace(honest, record=record.to_arrays(), nodes=Nodes.of([])))]
    with pytest.raises(BDNNError, match="a rank row that is not known"):
        some.collect(0.0)


def test_trees_begin_anew_from_roots_that_prove_more(eager):
    X, y, weight = hard(60)
    run = Run(Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=()), Budget(seconds=60).start(), None)
    submit_starts(run, None)
    proof = Proof(run, record=False, separators=separators)
    (tree,) = proof.trees
    tree.run(lambda: not tree.nodes)
    assert not proof.ranks.renew(proof.trees, lambda: True)
    proof.ranks.work(proof.trees, lambda: True)
    asked = itertools.count()
    rounds = 0
    while proof.ranks.renew(proof.trees, lambda: next(asked) % 3 == 0):
        rounds += 1
    assert rounds > 1 and not proof.ranks.renewing
    (renewed,) = proof.trees
    assert renewed is not tree and renewed.bound > tree.bound and renewed.nodes == tree.nodes + 1


def test_rank_rows_are_stored(eager):
    X, y, weight = hard(50)
    (ranks,) = ranks_of(X, y, weight)
    work = rank_work.RankWork(ranks, [0], separators, record=True)
    work.work(lambda: not len(ranks))
    arrays = ranks_to_arrays(ranks, "0")
    (again,) = ranks_of(X, y, weight)
    for support in ranks.cuts.supports[again.cuts.n_given :]:
        again.cuts.add(support)
    restore_ranks(arrays, "0", again, record=True)
    assert [(row.bound, row.points.tolist()) for row in again.rows] == [
        (row.bound, row.points.tolist()) for row in ranks.rows
    ]
    assert [row.record.nodes for row in again.rows] == [row.record.nodes for row in ranks.rows]
    restore_ranks({}, "0", again, record=True)  # of earlier versions
    for name in ("rank points 0", "rank bounds 0"):
        damaged = {**arrays, name: arrays[name][:-1]}
        with pytest.raises(ValueError):
            restore_ranks(damaged, "0", ranks_of(X, y, weight)[0], record=True)


def test_halves_are_chosen_against_known_networks():
    (ranks,) = ranks_of(*hard(90))
    n = len(ranks.program.points)
    patterns = rank_blocks.Patterns(ranks.program, np.random.default_rng(0), separators)
    dealt, target = np.arange(n) % 2, ranks.program.points.target
    chosen = list(rank_blocks.blocks(patterns, dealt, target, np.random.default_rng(0)))[-1]
    assert np.bincount(chosen).tolist() == np.bincount(dealt).tolist()

    def promise(block):
        return sum(int((patterns.losses @ (block == half)).min()) for half in (0, 1))

    assert promise(chosen) > promise(dealt)


def test_proofs_go_on_with_stored_rank_rows(eager):
    X, y, weight = hard(50)

    run = Run(Problem(X=X, y=y, sample_weight=weight), Budget(seconds=60), None)
    submit_starts(run, None)
    proof = Proof(run, record=False, separators=separators)
    proof.ranks.work(proof.trees, lambda: len(proof.ranks.rows[0]) < 2)
    state = proof.state()
    again = Proof(run, record=False, separators=separators)
    again.restore(state)
    assert [row.bound for row in again.ranks.rows[0].rows] == [row.bound for row in proof.ranks.rows[0].rows] != []
