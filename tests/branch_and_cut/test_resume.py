"""Runs that are killed and go on from their checkpoint, as often as it takes, in every phase."""

import math
import re

import numpy as np
import pytest

from bdnn import Budget, Network, Problem, Status, clock, verify_certificate
from bdnn.branch_and_cut import checkpoint, engine
from bdnn.errors import InputError
from bdnn.methods import autosave, exact_activation
from bdnn.methods.exact import ExactTraining
from branch_and_cut.resuming import (
    CASES,
    Killed,
    kept_at_every_report,
    killed_until_done,
    noisy,
    problem_of,
    undisturbed,
)
from clocks import Hand


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith(" nodes")])
def test_a_run_that_is_killed_again_and_again_ends_like_an_undisturbed_one(case, tmp_path, monkeypatch):
    kept_at_every_report(monkeypatch)
    monkeypatch.setattr(exact_activation, "_FIRST_NODES", 20)  # so that the second search is met, too
    path, problem = tmp_path / "state", problem_of(case)
    method = ExactTraining(checkpoint=path, **CASES[case][1])
    result, _, _, kills = killed_until_done(method, problem, 0, 4)
    expected = undisturbed(case)
    assert kills >= 2
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, expected.objective, expected.bound)
    if result.certificate is not None:
        assert verify_certificate(result.certificate, problem.X, problem.y).optimal
    assert (result.certificate is None) == (expected.certificate is None)
    assert list(tmp_path.iterdir()) == [path]
    again = method(problem, Budget(seconds=60))
    assert (again.status, again.objective, again.nodes) == (Status.OPTIMAL, result.objective, result.nodes)


def test_kills_meet_every_phase(tmp_path, monkeypatch):
    kept_at_every_report(monkeypatch)
    monkeypatch.setattr(exact_activation, "_FIRST_NODES", 5)
    met, seed = set(), 0
    while not met >= {"start", "search", "solve"}:
        assert seed < 10, met
        method = ExactTraining(checkpoint=tmp_path / f"{seed}")
        met |= killed_until_done(method, problem_of("several trees"), seed, 3)[2]
        seed += 1


def test_probing_trees_are_kept(tmp_path, monkeypatch, trees_alone):
    """Probing trees work from the first moment, in slices of a few nodes: otherwise the next start begins them anew."""
    kept_at_every_report(monkeypatch, -1.0)
    monkeypatch.setattr(engine, "_ALONE", -1.0)
    monkeypatch.setattr(engine, "_MANY", float("inf"))  # no rank rows, which would close the gap
    case, stored = "some nodes", []
    write = checkpoint.write

    def noted(path, title, arrays):
        if "scouts" in arrays:
            stored.append(arrays["scouts"].tolist())
        write(path, title, arrays)

    monkeypatch.setattr(checkpoint, "write", noted)
    method = ExactTraining(checkpoint=tmp_path / "state", incumbents="none")
    result, _, _, kills = killed_until_done(method, problem_of(case), 0, 10)
    assert (result.status, result.objective) == (Status.OPTIMAL, undisturbed(case).objective)
    assert kills >= 3
    assert any(any(there) for _, *there in stored), "no probing tree was met at work"
    nodes = [nodes for nodes, *_ in stored]
    assert nodes == sorted(nodes) and nodes[-1] > 0


def test_more_nodes_than_the_first_phase_has_are_no_end(tmp_path, trees_alone):
    """Which phase a run is in is not to be read off the number of nodes in the checkpoint."""
    case = "many nodes"
    method = ExactTraining(checkpoint=tmp_path / "state")
    first = method(problem_of(case), Budget(nodes=exact_activation._FIRST_NODES + 50))
    assert (first.status, first.message) == (Status.FEASIBLE, "node limit reached")
    assert first.nodes == exact_activation._FIRST_NODES + 50
    second = method(problem_of(case), Budget(nodes=30))
    assert (second.nodes, second.message) == (first.nodes + 30, "node limit reached")
    last = method(problem_of(case), Budget(seconds=60))
    assert (last.status, last.objective) == (Status.OPTIMAL, undisturbed(case).objective)
    assert last.nodes > second.nodes


def searches_of(monkeypatch):
    """Return a list of the searches that are begun."""
    begun, enter = [], exact_activation.submit_incumbents

    def noted(run, start, *args, **settings):
        begun.append("second" if "max_seconds" in settings else "first")
        return enter(run, start, *args, **settings)

    monkeypatch.setattr(exact_activation, "submit_incumbents", noted)
    return begun


def test_searches_are_done_once_over_all_starts(tmp_path, monkeypatch):
    begun = searches_of(monkeypatch)
    monkeypatch.setattr(exact_activation, "_FIRST_NODES", 20)
    method = ExactTraining(checkpoint=tmp_path / "state")
    problem = problem_of("many nodes")
    for nodes, expected in ((10, ["first"]), (5, ["first"]), (30, ["first", "second"]), (30, ["first", "second"])):
        result = method(problem, Budget(nodes=nodes))
        assert begun == expected, nodes
    assert result.nodes == 75
    assert method(problem, Budget(seconds=60)).status == Status.OPTIMAL
    assert begun == ["first", "second"]


@pytest.mark.parametrize(("phase", "which"), [("first", 1), ("second", 2)])
def test_a_search_that_was_killed_is_done_again(phase, which, tmp_path, monkeypatch, trees_alone):
    kept_at_every_report(monkeypatch)
    monkeypatch.setattr(exact_activation, "_FIRST_NODES", 20)
    begun = searches_of(monkeypatch)
    method, problem = ExactTraining(checkpoint=tmp_path / "state"), problem_of("several trees")
    best = math.inf

    def listener(progress):
        nonlocal best
        best = progress.objective
        if len(begun) == which and progress.phase == "search":
            raise Killed

    with pytest.raises(Killed):
        method(problem, Budget(seconds=60), None, listener)
    assert begun[-1] == phase
    seen = []
    result = method(problem, Budget(seconds=60), None, seen.append)
    assert begun[which:] == ["first", "second"][which - 1 :]
    # what the killed search had found is not lost
    assert seen[0].objective <= best
    assert result.status == Status.OPTIMAL


def test_ctrl_c_keeps_all_that_is_known(tmp_path, monkeypatch, trees_alone):
    method, problem = ExactTraining(checkpoint=tmp_path / "state"), problem_of("many nodes")
    monkeypatch.setattr(engine, "_REPORT", -1.0)

    def listener(progress):
        if progress.nodes >= 60:
            raise KeyboardInterrupt

    first = method(problem, Budget(seconds=60), None, listener)
    assert first.interrupted and first.nodes >= 60
    seen = []
    second = method(problem, Budget(seconds=60), None, seen.append)
    assert seen[0].nodes >= 60 and seen[0].bound >= first.bound
    assert second.status == Status.OPTIMAL


def test_ctrl_c_within_a_recorded_node_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    case = "certificate"
    method, problem = ExactTraining(checkpoint=tmp_path / "state", **CASES[case][1]), problem_of(case)
    monkeypatch.setattr(engine, "_REPORT", -1.0)
    branch, count = engine.Tree._choose, 0

    def interrupted(tree, *args):
        nonlocal count
        count += 1
        if count == 10:
            raise KeyboardInterrupt
        return branch(tree, *args)

    monkeypatch.setattr(engine.Tree, "_choose", interrupted)
    assert method(problem, Budget(seconds=60)).interrupted
    result = method(problem, Budget(seconds=60))
    assert result.status == Status.OPTIMAL
    assert verify_certificate(result.certificate, problem.X, problem.y).optimal


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "kept nowhere"])
def test_a_limit_that_passes_while_the_certificate_is_written(tmp_path, monkeypatch, kept):
    """A proof in a checkpoint is not lost, so the limit holds; otherwise the certificate is worth the time."""
    case, hand = "certificate", Hand()
    settings = {"checkpoint": tmp_path / "state"} if kept else {}
    method, problem = ExactTraining(**settings, **CASES[case][1]), problem_of(case)
    monkeypatch.setattr(engine, "_REPORT", -1.0)

    def listener(progress):
        if progress.phase == "certificate":
            hand.now = 100.0

    with clock.replaced(hand):
        first = method(problem, Budget(seconds=60), None, listener)
    assert hand.now == 100.0 and first.status == Status.OPTIMAL
    if not kept:
        assert verify_certificate(first.certificate, problem.X, problem.y).optimal and first.shortfalls == ()
        return
    assert first.certificate is None and "the certificate is not written" in first.message
    assert len(first.shortfalls) == 1
    second = method(problem, Budget(seconds=60))
    assert second.nodes == first.nodes and verify_certificate(second.certificate, problem.X, problem.y).optimal


# when checkpoints are written, by a clock of our own


class Known:
    """What is known of a run."""

    def __init__(self, best):
        self.problem, self.best, self.chosen = problem_of("one tree"), best, best
        self.bound, self.nodes = 0.0, 0

    def save_with(self, save):
        self.save = save


def test_the_first_checkpoint_is_there_when_the_first_network_is_and_no_minute_is_lost(tmp_path, monkeypatch):
    written, now = [], 0.0
    monkeypatch.setattr(checkpoint, "write", lambda path, title, arrays: written.append(now))
    run = Known(None)
    kept = autosave.Autosave(run, tmp_path / "state", False)
    with clock.replaced(lambda: now):
        kept.begin()
        kept.save_if_due()
        assert written == []  # nothing to be kept
        run.best = run.chosen = undisturbed("one tree")
        for tenth in range(6000):
            now = tenth / 10
            run.save()
    assert written[0] == 0.0 and written[1] <= 1.5 and written[4] <= 20.0
    pauses = np.diff([*written, now])
    assert pauses.max() <= 20.5
    assert len(written) <= 3 + 600 / 15


def test_a_checkpoint_that_takes_long_to_write_is_written_every_minute_all_the_same(tmp_path, monkeypatch):
    written, now = [], 0.0

    def write(path, title, arrays):
        nonlocal now
        now += 9.0
        written.append(now)

    monkeypatch.setattr(checkpoint, "write", write)
    known = undisturbed("one tree")
    run = Known(known)
    kept = autosave.Autosave(run, tmp_path / "state", False)
    with clock.replaced(lambda: now):
        kept.begin()
        while now < 600:
            now += 0.1
            kept.save_if_due()
    assert np.diff(written).max() <= 60.0


def test_a_checkpoint_that_cannot_be_written_is_said_and_costs_nothing(tmp_path, monkeypatch):
    kept_at_every_report(monkeypatch)
    problem, write, count = problem_of("one tree"), checkpoint.write, 0

    def full(path, title, arrays):
        nonlocal count
        count += 1
        if count > most:
            raise OSError(28, "No space left on device")
        write(path, title, arrays)

    monkeypatch.setattr(checkpoint, "write", full)
    for most in (0, 3):
        count = 0
        with pytest.warns(RuntimeWarning, match=r"checkpoint .*state is not up to date: .*No space left") as warned:
            result = ExactTraining(checkpoint=tmp_path / "state")(problem, Budget(seconds=60))
        assert len(warned) == 1 and count > most + 1
        assert result.status == Status.OPTIMAL
        assert re.search(r"optimal; the checkpoint .*state is not up to date: .*No space left", result.message)


def test_news_are_written_before_they_are_told(tmp_path, monkeypatch):
    """A bound that was shown is not to fall when the process is killed in that moment."""
    written, now = [], 0.0

    def write(path, title, arrays):
        nonlocal now
        now += 0.01
        written.append(checkpoint.course_of(arrays).bound)

    monkeypatch.setattr(checkpoint, "write", write)
    known = undisturbed("one tree")
    run = Known(known)
    kept = autosave.Autosave(run, tmp_path / "state", False)
    with clock.replaced(lambda: now):
        kept.begin()
        for run.bound in (0.0, 0.0, 1.0, 1.0, 4.0, 4.0, 4.0):
            now += 0.1
            run.save()
    assert written == [0.0, 1.0, 4.0]


# what is in a checkpoint


def test_names_of_columns_and_the_network_chosen_on_held_out_data_come_back(tmp_path):
    X, y = noisy(90, 1, 4)
    # held-out labels are the wrong way round: the start is best there, and nothing else that will be met
    problem = Problem(
        X=X[:70], y=y[:70], hidden_layer_sizes=(), feature_names=list("abcd"), validation=(X[70:], 1 - y[70:])
    )
    start = Network([(-np.ones((1, 4)), [-0.5])], head="threshold", classes=[0, 1], feature_names=list("abcd"))
    method = ExactTraining(checkpoint=tmp_path / "state")
    first = method(problem, Budget(nodes=2), start)
    assert first.validation_accuracy == np.mean(start.predict(X[70:]) != y[70:]) > 0.6
    second = method(problem, Budget(nodes=2))
    assert second.network.feature_names == ("a", "b", "c", "d")
    assert second.validation_accuracy == first.validation_accuracy


def as_version_1(path):
    """Take out of a checkpoint what the first version did not have."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name not in ("run", "seconds", "scouts")}
    arrays["title"] = np.array(str(arrays["title"]).replace('"version": 2', '"version": 1'))
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


@pytest.mark.parametrize("case", ["one tree", "certificate", "many nodes"])
def test_checkpoints_of_the_first_version_are_read(case, tmp_path, trees_alone):
    path, problem = tmp_path / "state", problem_of(case)
    method = ExactTraining(checkpoint=path, **CASES[case][1])
    first = method(problem, Budget(nodes=40))
    as_version_1(path)
    seen = []
    last = method(problem, Budget(seconds=60), None, seen.append)
    assert seen[0].nodes == first.nodes == 40
    assert (last.status, last.objective) == (Status.OPTIMAL, undisturbed(case).objective)
    assert last.nodes > 40
    if last.certificate is not None:
        assert verify_certificate(last.certificate, problem.X, problem.y).optimal


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("run", '{"searched": true}', "damaged"),
        ("run", '{"searched": true, "searched_again": false, "nodes": 5, "bound": NaN}', "damaged"),
        ("run", '{"searched": true, "searched_again": false, "nodes": 5, "bound": 60.0}', "bound 60 is above the loss"),
        ("run", '{"searched": true, "searched_again": false, "nodes": -5, "bound": 1.0}', "damaged"),
        ("weights 0", np.zeros((1, 2)), "damaged"),
        ("title", '{"version": 3}', "has version 3"),
        ("title", "[]", "not a checkpoint"),
        ("sets", np.zeros(3, dtype=np.int64), "damaged"),
        ("seconds", -1.0, "damaged"),
        ("scouts", np.array([-1, 0]), "damaged"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(name, value, said, tmp_path):
    path, problem = tmp_path / "state", problem_of("one tree")
    ExactTraining(checkpoint=path)(problem, Budget(nodes=2))
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = np.array(value)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    with pytest.raises(InputError, match=f"{said}.*remove it to start over"):
        ExactTraining(checkpoint=path)(problem, Budget(nodes=2))


@pytest.mark.parametrize("first", [True, False])
def test_a_certificate_is_asked_for_from_the_beginning(tmp_path, first):
    given = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 0])
    state = tmp_path / "state"
    settings = {"formulation": "activation", "checkpoint": state}
    ExactTraining(**settings, certificate=first)(given, Budget(seconds=60))
    was = "with" if first else "without"
    with pytest.raises(InputError, match=rf"of a run {was} a certificate.* go on {was} a certificate"):
        ExactTraining(**settings, certificate=not first)(given, Budget(seconds=60))
