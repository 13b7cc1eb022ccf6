"""Measurements in words, for the command line and for reports."""

from __future__ import annotations

from collections.abc import Iterable

from bdnn.devices.code import Measured
from bdnn.devices.registry import DEVICES

HEAD = ("device", "flash", "RAM", "stack", "mean", "most", "of what", "rows equal")
"""Of the columns of `cells`."""


def cells(measured: Measured) -> tuple[str, ...]:
    """Return the cells of a row of a table: bytes, cycles or instructions of a decision, rows that are equal."""
    m = measured
    counted = ("-", "-", "-") if m.cycles_mean is None else (f"{m.cycles_mean:.1f}", str(m.cycles_most), str(m.unit))
    equal = f"{m.rows - m.wrong_rows} of {m.rows}" if m.rows else "-"
    return m.device, str(m.flash), str(m.ram), "-" if m.stack is None else str(m.stack), *counted, equal


def remarks(measured: Iterable[Measured]) -> list[str]:
    """Return what must be said besides: why something was not run, floating point, emulators, compilers."""
    every = list(measured)
    lines = [f"{m.device}: not run, {m.why_not_run}" for m in every if m.why_not_run]
    lines += [f"{m.device}: {m.remark}" for m in every if m.remark]
    lines += [f"{m.device}: row {m.first_wrong} is the first wrong one" for m in every if m.wrong_rows]
    lines += [f"{m.device}: floating point by {', '.join(m.float_functions)}" for m in every if m.float_functions]
    by: dict[str, list[str]] = {}
    for m in every:
        emulator = f", run by {DEVICES[m.device].emulator[0]}" if m.rows else ""
        by.setdefault(f"{m.compiler}{emulator}", []).append(m.device)
    return [*lines, *(f"{', '.join(names)}: compiled by {how}" for how, names in by.items())]


def lines_of(measured: Iterable[Measured]) -> list[str]:
    """Return an aligned table and remarks, line by line."""
    every = list(measured)
    rows = [HEAD, *map(cells, every)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = (0, HEAD.index("of what"))
    table = [
        "  ".join(
            cell.ljust(w) if k in left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [*table, *remarks(every)]
