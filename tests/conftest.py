"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bdnn import cli


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's handler of SIGINT, which a shell makes the processes in its background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(capsys):
    """Run a command line and return (exit code, stdout, stderr)."""

    def runner(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return runner


@pytest.fixture(autouse=True)
def no_devices(monkeypatch):
    """Keep reports from measuring devices unless they are told which: that takes seconds."""
    monkeypatch.setattr("bdnn.reports.on_device.installed", tuple)
