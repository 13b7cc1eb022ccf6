"""Work beside the caller."""

from __future__ import annotations

import threading
import time

import pytest

from bdnn import background
from bdnn.budget import Budget


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
    began = time.monotonic()
    assert not background.done(key, Budget(seconds=0.1).start())
    assert 0.05 < time.monotonic() - began < 5
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
