"""Emulators, and the line in which a program that decides rows reports."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0
"""For an emulator: classifiers of hundreds of trees decide hundreds of rows in less."""

_REPORT = re.compile(rb"bdnn ((?:[0-9a-f]{8} ){6})end")


@dataclass(frozen=True, slots=True)
class Found:
    """What a program reported: wrong rows and the first one, sum and most of what decisions took, bytes of stack."""

    wrong: int
    first: int
    sum: int
    most: int
    stack: int


def emulated(emulator: Sequence[str], program: Path) -> Found | None:
    """Run a program and return what it reported; None if that was nothing in time, or there is no such emulator."""
    try:
        process = subprocess.Popen(
            [*emulator, program.name], cwd=program.parent,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError:
        return None
    with process:
        assert process.stdout is not None
        clock = threading.Timer(SECONDS, process.kill)
        clock.start()
        try:
            # not all emulators end with the program
            report = next(filter(None, map(_REPORT.search, process.stdout)), None)
        finally:
            clock.cancel()
            process.kill()
    if report is None:
        return None
    wrong, first, high, low, most, stack = (int(word, 16) for word in report[1].split())
    return Found(wrong, first, (high << 32) + low, most, stack)
