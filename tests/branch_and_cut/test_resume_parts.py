"""Checkpoints of data that are dealt into parts, and of the command in fresh processes."""

import json
import re
import signal

import numpy as np
import pytest

from bdnn import Budget, Status, cli
from bdnn.branch_and_cut import parts
from bdnn.methods import exact, exact_activation
from bdnn.methods.exact import ExactTraining
from branch_and_cut.crews import Unreliable
from branch_and_cut.resuming import CASES, kept_at_every_report, killed_until_done, problem_of, undisturbed
from processes import bdnn_done, code_done

# data that are dealt into parts


@pytest.fixture
def dealt(monkeypatch):
    """Small parts, and problems that count as large."""
    monkeypatch.setattr(exact_activation, "_MAX_COLUMNS", 10)
    monkeypatch.setattr(parts, "_MIN_POINTS", 15)
    monkeypatch.setattr(parts, "_POINTS_PER_WEIGHT", 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", ["one tree", "several trees", "three classes behind two neurons"])
def test_parts_go_on_where_they_were(case, seed, tmp_path, monkeypatch, dealt):
    kept_at_every_report(monkeypatch)
    method, problem = ExactTraining(checkpoint=tmp_path / "state"), problem_of(case)
    result, told, phases, kills = killed_until_done(method, problem, seed, 40)
    assert kills >= 1 and phases
    assert result.objective >= undisturbed(case).objective >= result.bound >= told[-1].bound
    if result.status == Status.OPTIMAL:
        assert result.objective == undisturbed(case).objective
    again = method(problem, Budget(seconds=60))
    assert (again.bound, again.nodes) == (result.bound, result.nodes)


@pytest.mark.parametrize(("case", "seed"), [("one tree", 0), ("several trees", 1)])
def test_parts_done_by_several_threads_go_on_where_they_were(case, seed, tmp_path, monkeypatch, dealt):
    kept_at_every_report(monkeypatch)
    rng, problem = np.random.default_rng(seed), problem_of(case)
    method = ExactTraining(checkpoint=tmp_path / "state")

    def any_threads(problem, budget, start, listener):
        return method(problem, Budget(seconds=60, threads=int(rng.integers(1, 4))), start, listener)

    result, told, _, kills = killed_until_done(any_threads, problem, seed, 20)
    assert kills >= 1
    assert result.objective >= undisturbed(case).objective >= result.bound >= told[-1].bound > 0


@pytest.mark.parametrize("seed", range(3))
def test_lost_late_and_repeated_parts_do_no_harm(seed, monkeypatch, dealt):
    crews = []

    def crew(reduced, seed, size, make_descend):
        crews.append(Unreliable(reduced, seed, size, make_descend, trouble=0.5))
        return crews[-1]

    monkeypatch.setattr(exact, "Threads", crew)
    told, problem = [], problem_of("no search")
    method = ExactTraining(formulation="activation")  # it has few features
    result = method(problem, Budget(seconds=60, threads=3, seed=seed), on_progress=told.append)
    best = undisturbed("no search").objective
    assert result.objective >= best >= result.bound and all(progress.bound <= best for progress in told)
    alone = method(problem, Budget(seconds=60, seed=seed))
    assert result.bound == alone.bound > 0
    assert crews[0].seen["done"] > 0


def test_parts_that_are_done_are_not_done_again(tmp_path, monkeypatch, dealt):
    kept_at_every_report(monkeypatch)
    made, init = [], parts._Part.__init__

    def noted(part, reduced, rng):
        made.append(len(reduced.class_weight))
        init(part, reduced, rng)

    monkeypatch.setattr(parts._Part, "__init__", noted)
    problem = problem_of("one tree")
    ExactTraining(checkpoint=tmp_path / "whole")(problem, Budget(seconds=60))
    whole, made[:] = list(made), []
    _, _, _, kills = killed_until_done(ExactTraining(checkpoint=tmp_path / "state"), problem, 0, 20)
    # only the part that was being worked on is made again
    assert len(whole) <= len(made) <= len(whole) + kills
    assert kills >= 2


def test_a_node_limit_holds_for_all_parts_together(tmp_path, dealt):
    method, nodes = ExactTraining(checkpoint=tmp_path / "state"), 0
    for more in (1, 3, 7):
        result = method(problem_of("one tree"), Budget(nodes=more))
        assert result.nodes == nodes + more
        nodes = result.nodes


# through the command, from processes of its own

KILLER = """
import os, signal, sys
from bdnn import cli
from bdnn.methods.run import Run
phase, left, report = sys.argv[1], int(sys.argv[2]), Run.report

def killing(run):
    global left
    report(run)
    if run.current_phase == phase and run.best is not None:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

Run.report = killing
cli.main(sys.argv[3:])
"""
TOLD = re.compile(r"incumbent (\S+)  bound (\S+)  gap .*(?:nodes|rounds) (\d+)")


def table(path, X, y):
    rows = [",".join(map(str, [*row, label])) for row, label in zip(X.tolist(), y.tolist(), strict=True)]
    names = [f"x{j}" for j in range(X.shape[1])]
    path.write_text("\n".join([",".join([*names, "target"]), *rows]) + "\n")
    return str(path)


def started(words, kill=None):
    """Run a command in a process of its own; return the report, None if it was killed, and what was told on the way."""
    done = bdnn_done(*words, text=True) if kill is None else code_done(KILLER, *kill, *words, text=True)
    told = [tuple(map(float, found.groups())) for found in map(TOLD.search, done.stderr.splitlines()) if found]
    if kill is not None:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return None, told
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), told


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("extra", [[], ["--certificate"]])
def test_the_command_goes_on_after_sigkill_until_it_is_closed(extra, tmp_path, capsys):
    case = "one tree" if extra else "many nodes"
    X, y, hidden = CASES[case][0]
    data, state = table(tmp_path / "table.csv", X, y), tmp_path / "state"
    words = ["train", data, "--target", "target", "--hidden", ",".join(map(str, hidden)) or "none", "--method", "exact"]
    words += ["--test-fraction", "0", "--time-limit", "60", "--checkpoint", str(state), "--json"]
    words += ["--certificate", str(tmp_path / "proof.json")] if extra else []
    _, before = started(words, ("solve", 2))
    with np.load(state) as file:
        kept = json.loads(str(file["run"]))["bound"]
    report, after = started(words)
    expected = undisturbed(case)
    known = "optimal", expected.objective, expected.bound
    assert (report["status"], report["training_loss"], report["bound"]) == known
    for told in (before, [(0.0, kept, 0.0), *after]):
        bounds = [bound for _, bound, _ in told]
        assert bounds == sorted(bounds) and len(bounds) > 1
    if extra:
        with pytest.raises(SystemExit) as stop:
            cli.main(["verify", str(tmp_path / "proof.json"), data, "--target", "target", "--test-fraction", "0"])
        assert stop.value.code == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_bounds_of_much_data_go_on_after_sigkill(tmp_path):
    rng, state = np.random.default_rng(0), tmp_path / "state"
    X = rng.random((2600, 2)).round(4)
    data = table(tmp_path / "table.csv", X, (X.sum(axis=1) + rng.normal(0, 0.4, 2600) > 1).astype(int))
    words = ["bound", data, "--target", "target", "--test-fraction", "0", "--checkpoint", str(state), "--json"]
    _, before = started([*words, "--time-limit", "60"], ("solve", 12))
    with np.load(state) as file:
        assert "parts" in file.files
        kept = json.loads(str(file["run"]))["bound"]
    report, after = started([*words, "--time-limit", "0.5"])
    bounds = [kept, *(bound for _, bound, _ in after), report["bound"]]
    assert kept > 0 and bounds == sorted(bounds)
    assert before[-1][1] >= kept
