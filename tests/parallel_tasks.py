"""Tasks for tests of independent work; a module, so that other processes find them."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from threadpoolctl import threadpool_info

from bdnn.errors import NotCoveredError


def sums(shared, task, stop):
    """The sum of a row, and where that was done."""
    return float(shared["X"][task].sum()), os.getpid()


def spawned(shared, seed, stop):
    """Random numbers of a seed."""
    return np.random.default_rng(seed).random(3).tolist()


def threads_of_libraries(shared, task, stop):
    """Threads that libraries use in a task, at most."""
    import sklearn.utils._openmp_helpers  # loads OpenMP

    assert sklearn
    return max(each["num_threads"] for each in threadpool_info())


def left(shared, budget, stop):
    """Seconds that are left in a task."""
    return budget.remaining, budget.elapsed


def fails(shared, task, stop):
    """An error with more than a message."""
    if task:
        raise NotCoveredError("not that", "reason")


def waits(shared, task, stop):
    """Work without end that stops when it is asked to; the first task ends at once. Its clock ends a hang."""
    end = time.monotonic() + 60
    while task and time.monotonic() < end:
        if stop.requested:
            return "stopped"
        time.sleep(0.01)
    return "done"


def nested(shared, task, stop):
    """How many workers tasks of a task have."""
    from bdnn.parallel import Workers

    with Workers(2, None) as workers:
        return workers.count


def dies(shared, task, stop):
    """A process that a request to stop ends, as Ctrl-C in a terminal does to workers of Dask."""
    if waits(shared, task, stop) == "stopped":
        os._exit(1)
    return "done"


def fragile(shared, task, stop):
    marker, parent = shared
    if task == 2 and os.getpid() != parent and not os.path.exists(marker):
        with open(marker, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    return task * task
