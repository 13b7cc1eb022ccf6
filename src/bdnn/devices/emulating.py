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
_FULL = 1 << 31  # the bit of the bytes of stack by which the program says that it has used all of them


_SKIPS = r"\t(?:cpse|sbrc|sbrs|sbic|sbis)\t.*\n.*\t"  # if a condition holds, the next instruction is skipped

FAULTS: dict[str, tuple[str, str]] = {
    # the lowest four bits of the constant are 12 to 15, and a mask of simavr leaves out a bit that tells it from a jump
    "simavr": (
        _SKIPS + r"(?:adiw|sbiw)\tr\d+, 0x[0-9a-f]?[c-f]\b",
        "simavr 1.6 takes some adiw and sbiw for jumps of two words where they are skipped, as they are here",
    ),
    # after such an instruction QEMU continues where the program counter points to, which was not moved if it is skipped
    "qemu-system-avr": (
        _SKIPS + r"(?:reti?|e?ijmp|e?icall)\b",
        "qemu-system-avr 7.2 goes astray where a ret is skipped, as it is here",
    ),
}
"""What emulators get wrong: how it looks in a disassembly, and what is said of it.

Both were found by executing a program in single steps on both emulators, until their registers differed.
"""


def fault(emulator: Sequence[str], disassembly: str) -> str | None:
    """Return what an emulator is known to get wrong about a program, or None."""
    pattern, text = FAULTS.get(emulator[0], ("", None))
    return text if pattern and re.search(pattern, disassembly) else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a program reported: wrong rows and the first one, sum and most of what decisions took, bytes of stack.

    If the stack is full, these are all the bytes that there are, and whatever else was reported may be wrong.
    """

    wrong: int
    first: int
    sum: int
    most: int
    stack: int
    full: bool


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
    return Found(wrong, first, (high << 32) + low, most, stack & ~_FULL, bool(stack & _FULL))
