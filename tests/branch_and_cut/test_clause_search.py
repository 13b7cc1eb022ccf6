"""Bounds by clauses, as they come in default settings: against brute force, in certificates, in checkpoints."""

import copy
import functools

import numpy as np
import pytest

import bdnn
from bdnn import Budget, Problem, Status
from bdnn.branch_and_cut import clause_search
from bdnn.branch_and_cut.clause_search import ClauseSearch, Verdict
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.lemmas import Lemmas
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.rank_rows import RankRows
from bdnn.branch_and_cut.tree import Tree
from bdnn.errors import CertificateError
from bdnn.methods.exact import ExactTraining
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from branch_and_cut.test_engine import check, optimum, problem_of

plain = functools.partial(ExactTraining, formulation="activation", incumbents="none")


def data(seed, rows=16, features=2, classes=2):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 6, (rows, features)).astype(float)
    return X, np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]


@pytest.fixture
def clauses_alone(monkeypatch):
    """Trees that solve nothing."""
    monkeypatch.setattr(Tree, "run", lambda self, proceed: None)


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_that_of_all_networks(seed, clauses_alone):
    rng = np.random.default_rng(100 + seed)
    X, y = data(seed, rows=14)
    weight = rng.integers(1, 4, len(y)).astype(float) if seed % 2 else np.ones(len(y))
    case = X, y, weight, 2 + (seed % 3 == 0)
    problem = problem_of(*case)
    check(plain()(problem, Budget(seconds=60, seed=seed)), optimum(*case), problem)


@pytest.mark.parametrize("seed", range(4))
def test_several_classes(seed, monkeypatch):
    X, y = data(seed, 12, 2, 3)
    X = X + np.random.default_rng(seed).normal(size=X.shape)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    found = plain()(problem, Budget(seconds=60))
    monkeypatch.setattr(clause_search.ClauseSearches, "promise", lambda self, trees: False)
    assert (found.status, found.objective) == (Status.OPTIMAL, plain()(problem, Budget(seconds=60)).objective)


def searches(X, y, hidden=2, record=True):
    """Return a maker of a search for each program of a problem, and the rank rows these fill."""
    reduced = presolve(Problem(X=X, y=y, hidden_layer_sizes=(hidden,)))
    each = programs(reduced)
    cuts = Cuts(each[0].points, np.random.default_rng(0))

    def made(program):
        ranks = RankRows(program, cuts)

        def evaluate(weights):
            network = program.network(weights)
            return program.points.units(audit(network, reduced.problem).loss)

        return lambda most: (ClauseSearch(ranks, most, evaluate, np.random.default_rng(1), record=record), ranks)

    return [made(program) for program in each]


@pytest.mark.parametrize("seed", range(6))
def test_each_output_function_has_its_own_least_cost(seed):
    """What is refuted up to a cost and found from there on is what a tree of its own finds."""
    X, y = data(seed, 18, 3)
    reduced = presolve(Problem(X=X, y=y, hidden_layer_sizes=(2,)))
    for number, program in enumerate(programs(reduced)):
        costs = [float(program.points.weight.sum())]
        tree = Tree(program, Cuts(program.points, np.random.default_rng(2)), costs[0], lambda network: np.inf)
        tree.evaluate = lambda weights, program=program, costs=costs: costs[-1]
        make = searches(X, y)[number]
        verdicts = []
        for most in range(int(costs[0])):
            search, ranks = make(most)
            verdicts.append(search.work(lambda: True))
            if verdicts[-1] is Verdict.FOUND:
                break
            assert verdicts[-1] is Verdict.REFUTED
            assert ranks.rows[ranks.floor].bound == most + 1
        # a tree that aims no higher proves the same
        tree.best = float(len(verdicts) - 1)
        tree.run(lambda: True)
        assert tree.closed


def test_a_search_is_gone_on_with(monkeypatch):
    monkeypatch.setattr(clause_search, "_CONFLICTS", 1)
    X, y = data(3, 60, 4)
    asked, interruptions = iter(range(10**6)), 0
    search, ranks = searches(X, y)[0](3)
    while (verdict := search.work(lambda: next(asked) % 3 != 2)) is Verdict.INTERRUPTED:
        interruptions += 1
        assert interruptions < 10_000
    assert verdict is Verdict.REFUTED and interruptions > 0 and ranks.floor == 0


def test_sets_that_cannot_be_proven_are_not_believed(monkeypatch):
    """With a set that is none, it would be refuted what is possible."""
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 1, 0])
    search, ranks = searches(X, y)[0](0)
    cuts = ranks.cuts
    wrong = [cuts.put(np.array([row])) for row in range(4)]
    verdicts = {search.work(lambda: True)}
    assert verdicts <= {Verdict.FOUND, Verdict.REFUTED}
    honest, _ = searches(X, y)[0](0)
    assert honest.work(lambda: True) in verdicts
    assert all(not cuts.proven({number})[number] for number in wrong)


# certificates


@functools.cache
def certified():
    X, y = data(7, 24, 3)
    result = ExactTraining(certificate=True)(Problem(X=X, y=y, hidden_layer_sizes=(2,)), Budget(seconds=60))
    assert result.status == Status.OPTIMAL and result.objective > 0
    return result, X, y


def refutations(certificate):
    return [rank for tree in certificate["trees"] for rank in tree["ranks"] if "lemmas" in rank]


def test_certificates_hold_refutations(tmp_path):
    result, X, y = certified()
    assert result.certificate["version"] == 5 and refutations(result.certificate)
    verified = bdnn.verify_certificate(result.certificate, X, y)
    assert verified.optimal and verified.bound == result.objective
    assert verified.n_lemmas == sum(len(rank["lemmas"]) for rank in refutations(result.certificate)) > 0
    path = tmp_path / "certificate.json"
    bdnn.save_certificate(result.certificate, path)
    assert bdnn.verify_certificate(path, X, y).optimal
    order = np.random.default_rng(0).permutation(len(y))
    assert bdnn.verify_certificate(path, X[order], y[order]).optimal


def test_changed_refutations_are_refused():
    result, X, y = certified()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(150):
        document = copy.deepcopy(result.certificate)
        rank = refutations(document)[rng.integers(len(refutations(document)))]
        kind = ["bound", "cuts", "links", "lemmas", "reasons"][rng.integers(5)]
        if kind == "bound":
            rank["bound"] += 1
        elif kind == "lemmas":
            k = rng.integers(len(rank["lemmas"]))
            rank["lemmas"][k] = rank["lemmas"][k][:-1] if rank["lemmas"][k] else [0]
        elif kind == "reasons":
            rank["reasons"][rng.integers(len(rank["reasons"]))][-1] = int(rng.integers(-1, 50))
        elif rank[kind]:
            rank[kind].pop(rng.integers(len(rank[kind])))
        try:
            verified = bdnn.verify_certificate(document, X, y)
        except CertificateError:
            refused += 1
        else:  # a change may leave a proof, but not of what is wrong
            assert verified.bound <= result.objective
    assert refused > 60


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("lemmas", [], "must be 0, one list for each lemma"),
        ("lemmas", [[1]] * 10**3, "one list for each lemma"),
        ("lemmas", [["a"]], "must hold integers only"),
        ("lemmas", [[True]], "must hold integers only"),
        ("lemmas", 3, "must be a list, got 3"),
        ("lemmas", [3], "must hold lists of integers"),
        ("cuts", [[0]], "must hold lists of 2 integers"),
        ("cuts", [[0, 10**6]], "there is no cut"),
        ("cuts", [[-1, 0]], "from 0 to below"),
        ("links", [[10**6, 0]], "there is no link"),
        ("reasons", [[-2]], "from -1 to below"),
        ("reasons", [[2**40]], "from -1 to below"),
        ("points", [10**6], "point"),
        ("nodes", [], "unknown name 'nodes'"),
    ],
)
def test_odd_values_of_refutations(kind, value, said):
    result, X, y = certified()
    document = copy.deepcopy(result.certificate)
    refutations(document)[0][kind] = value
    with pytest.raises(CertificateError, match=said):
        bdnn.verify_certificate(document, X, y)


def test_older_versions_know_no_refutations():
    result, X, y = certified()
    with pytest.raises(CertificateError, match=r"missing|unknown name"):
        bdnn.verify_certificate(result.certificate | {"version": 4}, X, y)


# checkpoints


@pytest.mark.parametrize("certificate", [False, True])
def test_what_was_refuted_is_kept(certificate, tmp_path, monkeypatch):
    """In default settings, one run is stopped as soon as it has a bound, and the other goes on from it."""
    X, y = data(11, 60, 4)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    monkeypatch.setattr("bdnn.branch_and_cut.engine._REPORT", -1.0)

    def stop(progress):
        if progress.bound >= 2:
            raise KeyboardInterrupt

    method = ExactTraining(checkpoint=tmp_path / "state", certificate=certificate)
    first = method(problem, Budget(seconds=60), None, stop)
    assert first.interrupted and first.bound >= 2
    told = []
    second = method(problem, Budget(seconds=1.5), None, told.append)
    assert told[0].bound >= first.bound
    assert second.bound >= first.bound and second.objective <= first.objective
    if certificate:
        verified = bdnn.verify_certificate(second.certificate, X, y)
        assert float(verified.bound) == second.bound


def test_damaged_lemmas_are_refused():
    good = {f"lemmas {name}": np.array(value) for name, value in (
        ("rows", [[0, 1]]), ("literals", [2]), ("literal_ends", [0, 1, 1]), ("reasons", [0, 1]),
        ("reason_ends", [0, 1, 2]),
    )}  # fmt: skip
    lemmas = Lemmas.from_arrays(good, 1)
    assert {name: values.tolist() for name, values in lemmas.to_arrays().items()} == {
        name: values.tolist() for name, values in good.items()
    }
    for name, value in (
        ("rows", [[1, 1]]),
        ("rows", [0]),
        ("literal_ends", [0, 2]),
        ("reason_ends", [1, 2]),
        ("reason_ends", []),
    ):
        with pytest.raises(ValueError, match="lemmas"):
            Lemmas.from_arrays(good | {f"lemmas {name}": np.array(value)}, 1)


@pytest.mark.parametrize("certificate", [False, True])
def test_several_threads_find_the_same(certificate):
    X, y = data(7, 24, 3)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,))
    result = ExactTraining(certificate=certificate)(problem, Budget(seconds=60, threads=2))
    assert (result.status, result.objective) == (Status.OPTIMAL, certified()[0].objective)
    if certificate:
        assert bdnn.verify_certificate(result.certificate, X, y).optimal


def test_a_limit_on_nodes_leaves_nothing_to_the_clock(monkeypatch):
    """What is done within a number of nodes must not depend on how fast clauses are."""
    monkeypatch.setattr(clause_search.ClauseSearch, "work", lambda self, proceed: pytest.fail("searched"))
    X, y = data(7, 24, 3)
    result = ExactTraining()(Problem(X=X, y=y, hidden_layer_sizes=(2,)), Budget(nodes=20))
    assert result.nodes <= 20
