"""Limits on memory: how they are written, and what a table takes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path

from bdnn.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
# of the memory of the machine, where no limit is given: other programs need some, too
_DEFAULT_SHARE = 0.5
# bytes of the program itself, where the system does not say
_PROGRAM = 3 * 10**8
# least bytes besides the program: blocks of a pass, and a sample of some ten thousand rows
_LEAST = 2 * 10**8
# by what the program may grow until it is asked for room: what is imported at first use
_GROWTH = 1.3
# bytes of a number while a table trains in memory: its columns, inputs, the problem and its points (measured: 30 to 40)
_NUMBER_BYTES = 40
# bytes of a row in the search: what sixteen neurons do, losses and gains (measured: 100 to 150)
_ROW_BYTES = 150
_DATE_PARTS = 5  # inputs of a date
_LEVELS = 20  # bits of a categorical column, where there is no cap


def bytes_of(limit: object) -> int:
    """Return a limit on memory in bytes.

    Parameters
    ----------
    limit : int, str or None
        Bytes, or text such as ``"4GB"``, ``"500 MB"`` or ``"2GiB"``; None for half of the memory of the machine.

    Raises
    ------
    InputError
        If it is none of these, or too little for the program.

    Examples
    --------
    >>> bytes_of("4GB"), bytes_of("1.5 GiB")
    (4000000000, 1610612736)
    """
    if limit is None:
        try:
            return int(_DEFAULT_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        except (AttributeError, OSError, ValueError):  # a system that does not say
            return 2 * (_PROGRAM + _LEAST)
    size: float = math.nan
    if isinstance(limit, Integral) and not isinstance(limit, bool):
        size = int(limit)
    elif isinstance(limit, str) and (match := _SIZE.fullmatch(limit.strip())):
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if not size > 0:
        raise InputError(
            f"memory_limit must be a number of bytes, or text such as '4GB' or '500MB', or None for half of the "
            f"memory, got {limit!r}"
        )
    return int(size)


def room(limit: object) -> float:
    """Return how many bytes a limit on memory leaves for rows, beside the program itself.

    Raises
    ------
    InputError
        If that is too little.
    """
    size, program = bytes_of(limit), _program()
    if size - program < _LEAST:
        raise InputError(
            f"memory_limit={limit!r} leaves no room for rows: the program itself takes {program / 1e6:.0f} MB; give at "
            f"least {math.ceil((_GROWTH * program + _LEAST) / 1e8) * 100}MB"
        )
    return float(size - program)


def row_bytes(kinds: Iterable[str], thresholds: int | None, max_categories: int | None) -> int:
    """Return about how many bytes a row takes while it trains in memory, given what its columns hold."""
    inputs = {"numeric": thresholds or 1, "categorical": max_categories or _LEVELS, "date": _DATE_PARTS}
    return _ROW_BYTES + _NUMBER_BYTES * sum(inputs.get(kind, 1) for kind in kinds)


def _program() -> int:
    """Return the memory of the program now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return _PROGRAM
