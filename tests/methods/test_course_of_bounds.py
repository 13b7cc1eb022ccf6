"""The course of bounds that a run records."""

import dataclasses
import itertools

import numpy as np
import pytest

from bdnn import BDNNClassifier, Budget, Problem
from bdnn.methods.run import Run


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a budget shows, set by hand."""
    now = [0.0]
    monkeypatch.setattr(Budget, "elapsed", property(lambda self: now[0]))
    return now


@pytest.fixture
def run(clock):
    X = np.arange(6.0)[:, None]
    return Run(Problem(X=X, y=[0, 1, 0, 1, 0, 1], hidden_layer_sizes=()), Budget().start(), None)


def course(run):
    return [dataclasses.astuple(step) for step in run.bounds]


def test_only_better_bounds_are_recorded_with_their_time(run, clock):
    for clock[0], bound in ((1.0, 0.2), (2.0, 1.5), (3.0, 1.5), (4.0, 0.5), (5.0, -np.inf)):
        run.raise_bound(bound)
    # losses are whole numbers of rows
    assert course(run) == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]


def test_steps_of_nearly_the_same_time_are_one(run, clock):
    run._step = 0.0  # losses are real numbers
    for k in range(10_000):
        clock[0] = 1.0 + k * 1e-4
        run.raise_bound(1 + k * 1e-4)
    seconds = [step.seconds for step in run.bounds]
    assert len(seconds) < 1000
    assert all(b - a > 1e-3 * a for a, b in itertools.pairwise(seconds[:-1]))
    assert run.bounds[-1].bound == run.bound == pytest.approx(1.9999, abs=1e-5)


def test_the_course_ends_with_the_bound_of_the_result():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    result = BDNNClassifier((), method="exact", time_limit=30, random_state=0).fit(X, y).result_
    seconds, bounds = zip(*(dataclasses.astuple(step) for step in result.bounds), strict=True)
    assert list(bounds) == sorted(set(bounds)) and list(seconds) == sorted(seconds)
    assert bounds[0] == result.irreducible and bounds[-1] == result.bound > 0
    assert seconds[-1] <= result.timings["total"]
