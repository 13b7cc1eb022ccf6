"""Backends of joblib for tests: threads, processes, and a cluster of Dask where `distributed` is installed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec

import joblib
import pytest

BACKENDS = ("none", "sequential", "threading", "loky", "dask")
AWAY = ("loky", "dask")


@pytest.fixture(scope="module")
def cluster():
    """Two processes of Dask, one for all tests of a module."""
    if find_spec("distributed") is None:
        yield None
        return
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made,
        Client(made) as client,
    ):
        yield client


@contextmanager
def configured(backend, client=None):
    """Inside, joblib has a backend with two workers."""
    if backend == "dask" and client is None:
        pytest.skip("distributed is not installed")
    if backend == "none":
        yield
    elif backend == "dask":
        with joblib.parallel_config("dask", client=client):
            yield
    else:
        with joblib.parallel_config(backend, n_jobs=2):
            yield


def is_away(pid):
    """Whether something was done in another process."""
    return pid != os.getpid()
