"""Work beside the caller."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from bdnn import background
from bdnn.budget import Budget
from clocks import ticking


def test_work_is_done_once() -> None:
    done = []
    key = object()
    for _ in range(3):
        background.begin(key, lambda: done.append(threading.current_thread()))
        assert background.done(key, Budget().start())
    assert len(done) == 1
    assert done[0] is not threading.current_thread()


def test_the_wait_ends_with_the_budget_and_the_work_goes_on() -> None:
    go, done, key = threading.Event(), [], object()

    def work() -> None:
        go.wait(30)
        done.append(1)

    background.begin(key, work)
    with ticking(0.1, most_late=10) as clock:
        assert not background.done(key, Budget(seconds=0.1).start())
    assert clock.late > 0
    assert done == []
    go.set()
    assert background.done(key, Budget(seconds=30).start())
    assert done == [1]
    assert background.done(key, Budget(seconds=1e-6).start())  # what is done needs no time


def test_a_failure_is_raised_at_every_call() -> None:
    key = object()

    def work() -> None:
        raise ZeroDivisionError("no")

    for _ in range(2):
        background.begin(key, work)
        with pytest.raises(ZeroDivisionError, match="no"):
            background.done(key, Budget().start())


def test_keys_are_independent_and_begun_from_any_thread() -> None:
    count, keys = [], [object() for _ in range(3)]

    def call() -> None:
        for key in keys:
            background.begin(key, lambda key=key: count.append(key))  # type: ignore[misc]

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(background.done(key, Budget().start()) for key in keys)
    assert sorted(map(id, count)) == sorted(map(id, keys))


def test_what_was_not_begun() -> None:
    with pytest.raises(KeyError):
        background.done(object(), Budget().start())


FORK = """
import os, threading
from numba import njit
from numba.core.compiler_lock import global_compiler_lock
from bdnn import background
from bdnn.budget import Budget

holds, go, runs = threading.Event(), threading.Event(), []

def work():
    runs.append(os.getpid())
    with global_compiler_lock:
        holds.set()
        go.wait()

background.begin("kernels", work)
holds.wait()
threading.Timer(0.3, go.set).start()
child = os.fork()
if child == 0:
    background.begin("kernels", work)
    ready = background.done("kernels", Budget().start())
    os._exit(0 if ready and len(runs) == 1 and njit(lambda x: x + 1)(1) == 2 else 1)
print("exit code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_waits_for_a_compiler_so_that_the_child_can_compile() -> None:
    """Without the wait the child would inherit a lock that nobody releases; the limit only ends such a test."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("exit code 0\n", 0), done.stderr


def test_what_was_unfinished_at_a_fork_begins_again_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    finished, unfinished = object(), object()
    for name, value in {"_threads": {}, "_failures": {}, "_finished": set()}.items():
        monkeypatch.setattr(background, name, value)
    background.begin(finished, lambda: None)
    assert background.done(finished, Budget().start())
    background._threads[unfinished] = threading.Thread()
    background._forget_unfinished()
    assert set(background._threads) == {finished}
