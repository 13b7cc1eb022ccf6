"""Threads are counted as joblib counts them, wherever there is an n_jobs."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network, certify, libraries, report
from bdnn.checks import thread_count
from bdnn.errors import InputError
from bdnn.libraries import limited_threads


def test_threads_are_counted_as_joblib_counts(monkeypatch):
    import joblib

    for n_jobs in (1, 5, np.int64(3), -1, -2, -3, -100):
        assert thread_count(n_jobs) == joblib.effective_n_jobs(int(n_jobs))
    for count in (1, 2, 8):
        monkeypatch.setattr(joblib, "cpu_count", lambda count=count: count)
        counted = [thread_count(n_jobs) for n_jobs in (3, -1, -2, -count, -count - 1, -100)]
        assert counted == [3, count, max(1, count - 1), 1, 1, 1]
    assert thread_count(None) == 1
    for wrong in (0, 1.0, True, np.True_, "2", math.nan):
        with pytest.raises(InputError, match="n_jobs must be a positive integer, -1 for all processors"):
            thread_count(wrong)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to processors")
def test_all_processors_are_those_that_the_process_is_bound_to():
    code = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network, certify
from bdnn.checks import thread_count
print(thread_count(-1), thread_count(-2), BDNNClassifier(n_jobs=-1)._budget().threads)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1 1 1\n", "")


def test_n_jobs_is_read_alike_everywhere():
    X, y = [[0.0], [1.0]], [0, 1]
    net = Network([([[1.0]], [-0.5])], head="threshold", classes=[0, 1])
    for n_jobs in (-2, None, 2):
        assert BDNNClassifier((), n_jobs=n_jobs).fit(X, y).score(X, y) == 1
        assert BDNNEnsembleClassifier(BDNNClassifier(()), n_jobs=n_jobs, n_estimators=2).fit(X, y).score(X, y) == 1
        assert certify(net, X, n_jobs=n_jobs).robust.all()
        assert "Certified" in report(net, X, y, points=2, n_jobs=n_jobs)
    for wrong in (0, "all"):
        for call in (
            lambda: BDNNClassifier((), n_jobs=wrong).fit(X, y),  # noqa: B023
            lambda: BDNNEnsembleClassifier(BDNNClassifier(()), n_jobs=wrong).fit(X, y),  # noqa: B023
            lambda: certify(net, X, n_jobs=wrong),  # noqa: B023
        ):
            with pytest.raises(InputError, match="n_jobs must be a positive integer"):
                call()


def test_threads_of_libraries_are_limited_and_come_back(monkeypatch):
    def blas():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    before = blas()
    with limited_threads(2, "blas"):
        assert set(blas()) == {2}
        with limited_threads(1):
            assert set(blas()) == {1}
        # a library that was loaded with a module since then
        known = libraries._controller(len(sys.modules))
        monkeypatch.setitem(sys.modules, "another", sys)
        with limited_threads(1):
            assert libraries._controller(len(sys.modules)) is not known
        assert set(blas()) == {2}
    assert blas() == before
