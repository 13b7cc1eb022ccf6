"""Subtrees as jobs: the same optimum with several workers, whatever becomes of the jobs."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest

import bdnn
from bdnn import Budget, Status
from bdnn.branch_and_cut import team
from bdnn.branch_and_cut.crew import Returned, Threads
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.engine import Proof
from bdnn.branch_and_cut.frontier import Node
from bdnn.branch_and_cut.program import Points
from bdnn.branch_and_cut.proof_log import Record
from bdnn.branch_and_cut.subtree import Nodes, NumberedSets, PseudoCosts, Site
from bdnn.branch_and_cut.team import Team
from bdnn.errors import BDNNError
from bdnn.methods import exact
from bdnn.methods.exact import ExactTraining
from bdnn.methods.incumbents import submit_starts
from bdnn.methods.run import Run
from branch_and_cut import test_engine
from branch_and_cut.crews import Scripted, Unreliable
from branch_and_cut.resuming import CASES, kept_at_every_report, killed_until_done, problem_of, undisturbed
from branch_and_cut.test_engine import check, hard, optimum, random_case

plain = functools.partial(ExactTraining, formulation="activation", incumbents="none")


@pytest.fixture
def crews(monkeypatch):
    """Unreliable crews in the place of threads; returns those that were made."""
    made = []

    def crew(reduced, seed, size, make_descend):
        made.append(Unreliable(reduced, seed, size, make_descend))
        return made[-1]

    monkeypatch.setattr(exact, "Threads", crew)
    monkeypatch.setattr(team, "_USUAL", 0.02)
    monkeypatch.setattr("bdnn.branch_and_cut.engine._REPORT", -1.0)  # the bound is looked at after every step
    return made


def seen(crews):
    return {name: sum(crew.seen[name] for crew in crews) for name in Unreliable(None, 0, 1).seen}


# threads


def test_the_optimum_is_that_of_all_networks():
    for seed in range(100, 120):
        case = random_case(seed)
        problem = test_engine.problem_of(*case)
        check(plain()(problem, Budget(seconds=60, threads=2 + seed % 2)), optimum(*case), problem)


@pytest.mark.parametrize("case", ["one tree", "several trees", "three classes behind two neurons", "some nodes"])
def test_threads_find_what_one_finds(case, trees_alone):
    result = plain()(problem_of(case), Budget(seconds=60, threads=2))
    assert (result.status, result.objective) == (Status.OPTIMAL, undisturbed(case).objective)
    assert result.bound == result.objective == result.audit.loss and result.nodes > 0


@pytest.mark.parametrize(("case", "threads"), [("certificate", 2), ("certificate of several trees", 3)])
def test_certificates_of_several_threads_hold(case, threads):
    problem = problem_of(case)
    result = plain(certificate=True)(problem, Budget(seconds=60, threads=threads))
    verified = bdnn.verify_certificate(result.certificate, problem.X, problem.y)
    assert verified.optimal and verified.loss == result.objective == undisturbed(case).objective


@pytest.mark.parametrize("nodes", [1, 2, 7, 30])
def test_a_node_limit_holds_for_all_threads_together(nodes):
    case = hard(0)
    result = plain()(test_engine.problem_of(*case), Budget(nodes=nodes, seconds=60, threads=3))
    assert result.nodes <= nodes and result.bound <= optimum(*case) <= result.objective
    problem = problem_of("many nodes")
    result = plain()(problem, Budget(nodes=nodes, seconds=60, threads=2))
    assert (result.nodes, result.message) == (nodes, "node limit reached")
    assert 0 <= result.bound <= undisturbed("many nodes").objective


def test_an_interruption_leaves_a_valid_bound_and_threads_that_end(monkeypatch):
    monkeypatch.setattr("bdnn.branch_and_cut.engine._REPORT", -1.0)
    made = []

    def crew(*args, **settings):
        made.append(Threads(*args, **settings))
        return made[-1]

    monkeypatch.setattr(exact, "Threads", crew)
    interrupted = 0
    for moment in (5, 8, 11, 30):
        counter = itertools.count()

        def stop(progress, counter=counter, moment=moment):
            assert progress.bound <= undisturbed("many nodes").objective
            if next(counter) == moment:
                raise KeyboardInterrupt

        result = plain()(problem_of("many nodes"), Budget(seconds=60, threads=2), on_progress=stop)
        assert result.bound <= undisturbed("many nodes").objective <= result.objective
        interrupted += result.interrupted
    assert interrupted >= 2
    assert made and not any(thread.is_alive() for crew in made for thread in crew._threads)


def test_an_error_in_a_thread_is_raised_where_the_work_was_asked_for(monkeypatch):
    def broken(self, job, stopped):
        raise ZeroDivisionError("of this test")

    monkeypatch.setattr("bdnn.branch_and_cut.subtree._Bench.work", broken)
    with pytest.raises(BDNNError) as caught:
        plain()(problem_of("many nodes"), Budget(seconds=60, threads=2))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# jobs that are lost, come late, or come twice


@pytest.mark.parametrize("case", ["one tree", "several trees", "three classes behind two neurons", "some nodes"])
def test_lost_late_and_repeated_jobs_do_no_harm(case, crews, trees_alone):
    told = []
    result = plain()(problem_of(case), Budget(seconds=60, threads=3), on_progress=told.append)
    best = undisturbed(case).objective
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, best, best)
    assert all(progress.bound <= best for progress in told)
    assert seen(crews)["done"] > 0


@pytest.mark.parametrize("case", ["certificate", "certificate of several trees"])
def test_certificates_are_complete_in_spite_of_them(case, crews, trees_alone):
    problem = problem_of(case)
    result = plain(certificate=True)(problem, Budget(seconds=60, threads=3))
    verified = bdnn.verify_certificate(result.certificate, problem.X, problem.y)
    assert verified.optimal and verified.loss == result.objective == undisturbed(case).objective
    assert seen(crews)["done"] > 0


def test_all_of_that_happens(crews, monkeypatch, trees_alone):
    monkeypatch.setattr(Unreliable.__init__, "__defaults__", (None, 0.6))
    for seed in range(3):
        plain()(problem_of("several trees"), Budget(seconds=60, threads=3, seed=seed))
        if min(seen(crews).values()) > 0:
            return
    pytest.fail(f"not all of it: {seen(crews)}")


def test_nodes_that_are_out_count_and_what_comes_late_does_not():
    run = Run(problem_of("one tree"), Budget(seconds=60).start(), None)
    submit_starts(run, None)
    proof, crew, site = Proof(run, record=False), Scripted(), Site(run.reduced, 0)
    (tree,) = proof.trees

    def handed_out():
        some = Team(crew, proof.cuts, proof.submit)
        some.hand_out(lambda: (0, tree) if tree.n_waiting else None, 60.0, None, False)
        return some, max(crew.jobs)

    def outcome(number):
        return Returned(number, crew.jobs[number].do(site, lambda: False))

    first, before = handed_out()
    assert (tree.bound, tree.n_waiting, tree.open, len(tree.open_nodes())) == (0, 0, True, 1)
    first.close(orderly=False)
    assert (tree.bound, tree.n_waiting, first.n_out) == (0, 1, 0)
    second, after = handed_out()
    crew.back = [outcome(before)]
    second.collect(0.0)
    assert (tree.nodes, tree.n_waiting, second.n_out) == (0, 0, 1)
    crew.back = [outcome(after)]
    second.collect(0.0)
    solved, waiting, bound = tree.nodes, tree.n_waiting, tree.bound
    assert solved > 0 and waiting > 0 and 0 < bound <= undisturbed("one tree").objective and second.n_out == 0
    crew.back = [outcome(after)]
    second.collect(0.0)
    assert (tree.nodes, tree.n_waiting, tree.bound) == (solved, waiting, bound)


def test_nodes_closed_for_a_network_that_is_worse_than_was_said_are_open_again():
    run = Run(problem_of("one tree"), Budget(seconds=60).start(), None)
    submit_starts(run, None)
    proof, crew, site = Proof(run, record=False), Scripted(), Site(run.reduced, 0)
    (tree,) = proof.trees
    some = Team(crew, proof.cuts, proof.submit)
    some.hand_out(lambda: (0, tree), 60.0, None, False)
    ((number, job),) = crew.jobs.items()
    honest = job.do(site, lambda: False)
    network = run.incumbent.network
    claim = dataclasses.replace(honest, best=0.0, networks=[network], nodes=Nodes.of([]))
    crew.back = [Returned(number, claim)]
    some.collect(0.0)
    assert (tree.n_waiting, tree.bound, tree.nodes, some.lost, some.n_out) == (1, 0, 0, 1, 0)


def test_what_is_proven_elsewhere_holds_for_nodes_that_are_out():
    run = Run(problem_of("one tree"), Budget(seconds=60).start(), None)
    submit_starts(run, None)
    (tree,) = Proof(run, record=False).trees
    (root,) = tree.hand_out(7, 5)
    tree.lift(3)
    assert tree.bound == 3
    tree.graft(7, [Node(1, -1, 0, root.lower, root.upper)], 2, None, {})
    assert (tree.bound, tree.least, tree.doubtful) == (3, 3, 3)


def test_with_a_crew_that_loses_everything_the_work_goes_on_here(monkeypatch):
    monkeypatch.setattr(exact, "Threads", functools.partial(Unreliable, trouble=1e9))
    result = plain()(problem_of("several trees"), Budget(seconds=60, threads=2))
    assert (result.status, result.objective) == (Status.OPTIMAL, undisturbed("several trees").objective)


# checkpoints


@pytest.mark.parametrize("case", ["several trees", "certificate of several trees"])
def test_a_run_that_is_killed_goes_on_with_any_number_of_threads(case, tmp_path, monkeypatch, crews):
    kept_at_every_report(monkeypatch)
    rng = np.random.default_rng(0)
    method, problem = ExactTraining(checkpoint=tmp_path / "state", **CASES[case][1]), problem_of(case)

    def any_threads(problem, budget, start, listener):
        return method(problem, Budget(seconds=60, threads=int(rng.integers(1, 4))), start, listener)

    result, _, _, kills = killed_until_done(any_threads, problem, 0, 15)
    assert kills >= 1
    assert (result.status, result.objective) == (Status.OPTIMAL, undisturbed(case).objective)
    if "certificate" in case:
        assert bdnn.verify_certificate(result.certificate, problem.X, problem.y).optimal


# the parts


def test_a_graft_keeps_numbers_apart():
    ours, theirs = Record(), Record(2)
    low, high = ours.branch(0, 7)
    inherited = ours.proof([(3, 0)], np.array([5]))
    unused, used = theirs.proof([(0, 1)], np.array([1])), theirs.proof([(1, 0), (-2, -1)], np.array([2, 4]))
    children = theirs.branch(0, 4)
    theirs.close(children[0], used)
    theirs.close(1, -2)  # by what is proven of the second root
    assert unused == 1 and theirs.drop_unused([0, -1]) == [0, -1]
    assert len(theirs.proofs) == 2 and theirs.cuts == {1}
    more_nodes, more_proofs = ours.graft(theirs, [(high, 0), (low, inherited)], {1: 9})
    assert ours.nodes[high] == (4, children[0] + more_nodes, children[1] + more_nodes)
    assert ours.nodes[low] == inherited
    assert ours.nodes[children[0] + more_nodes] == 1 + more_proofs and ours.nodes[children[1] + more_nodes] is None
    rows, multipliers = ours.proofs[1 + more_proofs]
    assert rows == [(9, 0), (-2, -1)] and multipliers.tolist() == [2, 4]
    assert ours.cuts == {3, 9}
    with pytest.raises(BDNNError, match="branched or closed before"):
        ours.graft(theirs, [(high, 0), (low, inherited)], {1: 9})


def test_nodes_sets_and_pseudo_costs_survive_their_packing():
    rng = np.random.default_rng(0)
    boxes = [np.sort(rng.integers(0, 2, (2, 13)), axis=0).astype(np.int8) for _ in range(5)]
    nodes = [Node(k, -k, 100 + k, *box, 3 * k, 2 * k) for k, box in enumerate(boxes)]
    back = Nodes.of(nodes).unpacked(13)
    assert [(n.bound, n.minus_depth, n.record_id, n.proof) for n in back] == [(k, -k, 3 * k, 2 * k) for k in range(5)]
    for node, box in zip(back, boxes, strict=True):
        assert np.array_equal([node.lower, node.upper], box) and node.lower.dtype == np.int8
    assert Nodes.of([]).unpacked(13) == []
    gain, tried = np.zeros((2, 9)), np.zeros((2, 9))
    gain[0, 4], tried[0, 4], tried[1, 7] = 2.5, 3, 1
    again = PseudoCosts.of(gain, tried)
    assert again.columns.tolist() == [4, 7]
    assert np.array_equal(again.unpacked(9), (gain, tried))


def test_sets_survive_their_packing():
    run = Run(problem_of("one tree"), Budget(seconds=60).start(), None)
    points = Points.of(run.reduced)
    cuts = Cuts(points, np.random.default_rng(0))
    for members in ([1, 5, 9], [0, 2], [3, 4, 8, 11]):
        cuts.add(np.array(members))
    packed = NumberedSets.of(cuts, [2, 0])
    assert [(number, support.tolist()) for number, support in packed] == [(2, [3, 4, 8, 11]), (0, [1, 5, 9])]
    assert list(NumberedSets.of(cuts, [])) == []
    assert [cuts.put(np.array(members)) for members in ([0, 2], [6, 7])] == [1, 3]


def test_a_record_that_names_an_unknown_set_is_refused():
    record = Record()
    record.proof([(4, 0)], np.array([1]))
    with pytest.raises(ValueError, match="proofs"):
        Record().from_arrays(record.to_arrays(), 4)
