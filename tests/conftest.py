"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bdnn import Budget
from bdnn.search.ready import ready


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's handler of SIGINT, which a shell makes the processes in its background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def kernels() -> None:
    """The kernels of the local search, compiled, for tests whose time limits are shorter than that takes."""
    assert ready("float64", False, Budget().start())
