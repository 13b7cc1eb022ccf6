"""Runs that are killed and go on from their checkpoints."""

import functools
import os

import numpy as np
import pytest

from bdnn import Budget, Problem, Status
from bdnn.branch_and_cut import checkpoint, engine, parts
from bdnn.methods import autosave, exact_activation
from bdnn.methods.exact import ExactTraining


class Killed(BaseException):
    """The end of a process: nothing that catches errors or Ctrl-C catches this."""


def noisy(rows, seed, features):
    rng = np.random.default_rng(seed)
    X = rng.integers(-9, 10, (rows, features)).astype(float)
    return X, (X.sum(axis=1) + rng.normal(0, 8 + 2 * features, rows) > 0).astype(int)


def three_classes(rows, seed):
    rng = np.random.default_rng(seed)
    cells = rng.permutation(100)[:rows]
    X = np.column_stack([cells // 10, cells % 10]).astype(float)
    return X, np.clip((X.sum(axis=1) + rng.normal(0, 3, rows)) // 6, 0, 2).astype(int)


CASES = {
    "one tree": ((*noisy(60, 0, 5), ()), {}),
    "several trees": ((*noisy(40, 0, 3), (2,)), {}),
    "certificate": ((*noisy(60, 0, 5), ()), {"certificate": True}),
    "certificate of several trees": ((*noisy(40, 1, 3), (2,)), {"certificate": True}),
    "three classes": ((*three_classes(40, 0), ()), {}),
    "three classes behind two neurons": ((*three_classes(18, 2), (2,)), {}),
    "no search": ((*noisy(80, 1, 3), ()), {"incumbents": "none"}),
    "many nodes": ((*noisy(30, 1, 2), (3,)), {}),
    "some nodes": ((*noisy(23, 1, 2), (3,)), {}),
}


def problem_of(case):
    X, y, hidden = CASES[case][0]
    return Problem(X=X, y=y, hidden_layer_sizes=hidden)


def kept_at_every_report(monkeypatch, seconds=-1.0):
    """Let trees report more often, as a rule at every node, so that runs are killed wherever they can be kept.

    Of the checkpoints that nobody reads only the first is written to the disk, since that is what takes the time: the
    others are copied, and the last one is written when the next start wants to read it.
    """
    monkeypatch.setattr(os, "fsync", lambda file: None)  # which is for machines that fail
    write, read, waiting = checkpoint.write, checkpoint.read, {}

    def written_later(path, title, arrays):
        if path.exists():
            waiting[path] = title, {name: np.array(values) for name, values in arrays.items()}
        else:
            write(path, title, arrays)

    def written_and_read(path, *args):
        if path in waiting:
            write(path, *waiting.pop(path))
        return read(path, *args)

    monkeypatch.setattr(checkpoint, "write", written_later)
    monkeypatch.setattr(checkpoint, "read", written_and_read)
    monkeypatch.setattr(autosave, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(autosave, "_PAUSE", 0.0)
    monkeypatch.setattr(autosave, "_MAX_PAUSE", 0.0)
    monkeypatch.setattr(engine, "_REPORT", seconds)
    monkeypatch.setattr(parts, "_REPORT", seconds)


def killed_until_done(method, problem, seed, longest, budget=None):
    """Kill at random reports, later and later, until a run ends; return its result, all that was told, and the phases.

    Asserts that neither bound nor loss ever gets worse, over all starts.
    """
    rng, phases, told, kills = np.random.default_rng(seed), set(), [], 0

    def listener(progress):
        nonlocal left
        assert told == [] or progress.bound >= told[-1].bound, "the bound fell"
        assert told == [] or progress.objective <= told[-1].objective, "the best network was lost"
        told.append(progress)
        left -= 1
        if left <= 0:
            phases.add(progress.phase)
            raise Killed

    while True:
        left = int(rng.integers(1, longest * 1.5**kills))
        try:
            result = method(problem, budget or Budget(seconds=60), None, listener)
            assert result.bound >= told[-1].bound
            return result, told, phases, kills
        except Killed:
            kills += 1


@functools.cache
def undisturbed(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_activation, "_MAX_COLUMNS", 2500)  # of `dealt`
        result = ExactTraining(**CASES[case][1])(problem_of(case), Budget(seconds=60))
    assert result.status == Status.OPTIMAL
    return result
