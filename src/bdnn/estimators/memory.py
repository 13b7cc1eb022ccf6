"""Limits on memory: how they are written, and what a table takes."""

from __future__ import annotations

import bisect
import math
import os
import re
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from bdnn.checks import thread_count
from bdnn.errors import InputError
from bdnn.estimators.shape_trials import MOST_ROWS
from bdnn.partitions.store import BLOCK_ROWS
from bdnn.problem.shapes import THRESHOLDS, has_thresholds, most_with_thresholds

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
# by how many bytes it grows besides: what is imported later, and what is free and not given back (measured: 60 MB)
_LATER = 7 * 10**7
# bytes of a cell of a table and of its training rows, by what it holds: a double, or the code of a level
_CELL_BYTES, _CODE_BYTES = 16, 8
# bytes of a row: what 32 neurons do, losses, gains, order (measured: 160), and how often there is its label as text
_ROW_BYTES, _LABELS = 200, 4
# bytes of a row for each class beyond two: weights, and what labels cost; more labels are those of a regression, which
# is refused when they are read
_CLASS_BYTES, _MOST_CLASSES = 24, 100
# bytes of an input of a training row: once encoded; in the search, or in the polish after it, or where few rows are
# trained on to choose a shape, with their copies (measured: 12 to 16, and 20 to 28)
_INPUT_BYTES, _SEARCH_BYTES, _TRIAL_BYTES = 8, 16, 28
# share of the memory for blocks of rows that are worked on, their least rows, and bytes of a row for each input, which
# is a double for a moment, and each neuron
_BLOCK_SHARE, _LEAST_BLOCK, _BLOCK_BYTES, _NEURON_BYTES = 0.25, 2**10, 24, 32
# share of the memory for rows that are read at a time, and bytes of a cell of these
_READ_SHARE, _READ_BYTES = 0.15, 20
_DATE_PARTS = 5  # inputs of a date
_LEVELS = 20  # bits of a categorical column, where there is no cap


class LabelSize(NamedTuple):
    """How many different labels there are, and how many bytes the longest takes as text."""

    n_classes: int
    n_bytes: int


TWO_LABELS = LabelSize(2, 0)


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
    return float(size - program - _LATER)


def training_bytes(
    settings: Any, n_rows: int, kinds: Sequence[str], held_out: float = 0.0, labels: LabelSize = TWO_LABELS
) -> float:
    """Return about how many bytes a table takes while it trains in memory, beside the program.

    Parameters
    ----------
    settings : BDNNClassifier
        What trains.
    n_rows : int
        Of the table.
    kinds : sequence of str
        What the columns of the inputs hold.
    held_out : float
        Part of the rows that does not train.
    labels : LabelSize
        How many there are, and bytes of the longest as text.
    """
    n_numbers, n_training = sum(kind == "numeric" for kind in kinds), n_rows * (1.0 - held_out)
    inputs = {"numeric": settings.thresholds or 1, "date": _DATE_PARTS, "boolean": 1}
    n_inputs = sum(inputs.get(kind, settings.max_categories or _LEVELS) for kind in kinds)
    is_open, n_bits, trial = isinstance(settings.hidden_layer_sizes, str), 0, 0.0
    if is_open and settings.thresholds is None and has_thresholds(int(n_training), n_numbers):
        n_bits = n_inputs + (THRESHOLDS - 1) * n_numbers
    widest = max(n_inputs, n_bits)
    if is_open:
        trial = _TRIAL_BYTES * widest * min(n_training, MOST_ROWS) * thread_count(settings.n_jobs)
    row = _ROW_BYTES + sum(_CODE_BYTES if kind == "categorical" else _CELL_BYTES for kind in kinds)
    row += _LABELS * labels.n_bytes
    row += _CLASS_BYTES * max(labels.n_classes - 2, 0) * (labels.n_classes <= _MOST_CLASSES)
    inputs_kept = n_inputs + n_bits
    if settings.probability or settings.validation_fraction or settings.decision_threshold:
        inputs_kept += widest  # a copy without the rows that are held out
    search = max(trial, _SEARCH_BYTES * widest * n_training)
    return n_rows * row + _INPUT_BYTES * inputs_kept * n_training + search


def cell_bytes(n_rows: int, n_columns: int) -> float:
    """Return about how many bytes the cells of a table take at least, and those of its training rows."""
    return float(n_rows) * (_ROW_BYTES + _CODE_BYTES * n_columns)


def rows_within(memory: float, settings: Any, kinds: Sequence[str], most: int, labels: LabelSize = TWO_LABELS) -> int:
    """Return how many rows can be trained on within so many bytes: one at least, and so many at most."""
    # without thresholds in the place of numbers, which are tried on few rows, more rows may take less
    tried = most_with_thresholds(sum(kind == "numeric" for kind in kinds))
    found = 1
    for rows in (range(1, min(tried, most) + 1), range(tried + 1, most + 1)):
        count = bisect.bisect_right(rows, memory, key=lambda m: training_bytes(settings, m, kinds, 0.0, labels))
        found = rows[count - 1] if count else found
    return found


def rows_of_a_block(memory: float, threads: int, n_inputs: int, widths: Sequence[int]) -> int:
    """Return how many rows may be encoded and searched at a time, by each of some threads and one more."""
    row = _BLOCK_BYTES * n_inputs + _NEURON_BYTES * sum(widths) + _ROW_BYTES
    return int(min(max(_BLOCK_SHARE * memory / ((threads + 1) * row), _LEAST_BLOCK), BLOCK_ROWS))


def rows_to_read(memory: float, n_columns: int) -> int:
    """Return how many rows may be read at a time."""
    row = _READ_BYTES * n_columns + _ROW_BYTES
    return int(min(max(_READ_SHARE * memory / row, _LEAST_BLOCK), BLOCK_ROWS))


def _program() -> int:
    """Return the memory of the program now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return _PROGRAM
