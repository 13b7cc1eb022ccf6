"""Thresholds of a packed network: on the scale of their column, by the first bits of floats, or as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import PackedError
from bdnn.network.packing_numbers import Writer

if TYPE_CHECKING:
    from bdnn.network.column_format import Layout
    from bdnn.network.packing_numbers import Reader
    from bdnn.types import Floats, Indices

_SIGN = 31
"""Bits of a single-precision number without its sign."""

LEAST_DROPPED, MOST_DROPPED = 8, 23
"""Last bits that are 0, of thresholds that are written by their first ones."""


def write_thresholds(out: Writer, column: Indices, threshold: Floats, layout: Layout, short: bool) -> None:
    """Append thresholds of columns: as integers on a scale, in few bits, or as numbers; `short` allows few bits."""
    scale, low = layout.scale[column], layout.low[column]
    whole = ~np.isnan(low)
    k = _on_scale(threshold, scale)
    inside = (k > low) & (k <= layout.high[column])
    same = (np.diff(column, prepend=-1) == 0) & (np.diff(k, prepend=np.nan) == 0)
    if whole.any():
        fit = bool(np.all(inside[whole]) and not same[whole].any())
        out.digit(fit, 2)
        whole &= fit
    for c in np.unique(column[whole]).tolist():
        out.choice((k - low - 1)[column == c].astype(np.int64).tolist(), int(layout.high[c] - layout.low[c]))
    ways = [(0, Writer())]
    ways[0][1].reals(threshold[~whole])
    if not short or whole.all():
        out.append(ways[0][1])
        return
    if (by_column := _short(column[~whole], threshold[~whole])) is not None:
        ways.append((1, by_column))
    out.shortest(ways, 2)


def read_thresholds(data: Reader, column: Indices, layout: Layout, short: bool) -> Floats:
    """Read as `write_thresholds`."""
    found = np.zeros(len(column))
    whole = ~np.isnan(layout.low[column])
    if whole.any():
        whole &= bool(data.digit(2))
    for c in np.unique(column[whole]).tolist():
        mine = column == c
        n = int(layout.high[c] - layout.low[c])
        if mine.sum() > n:
            raise PackedError(f"they have more thresholds of a column than its {n + 1} values can have")
        found[mine] = (np.array(data.choice(int(mine.sum()), n)) + layout.low[c] + 1) / layout.scale[c]
    if short and not whole.all() and data.digit(2):
        found[~whole] = _read_short(data, column[~whole])
    else:
        found[~whole] = data.reals(int(np.sum(~whole)))
    if np.any((np.diff(found) <= 0) & (np.diff(column) == 0)):
        raise PackedError("they have thresholds of a column that do not ascend")
    return found


def _short(column: Indices, threshold: Floats) -> Writer | None:
    """Return thresholds by the first bits of single-precision numbers, column by column; None if they have more."""
    with np.errstate(over="ignore"):
        single = threshold.astype(np.float32)
    if not np.array_equal(single, threshold) or np.any((np.diff(threshold) <= 0) & (np.diff(column) == 0)):
        return None
    size = (single.view(np.uint32) & 0x7FFFFFFF).astype(np.int64)
    way = Writer()
    for c in np.unique(column).tolist():
        mine = column == c
        zeros = min((value & -value).bit_length() - 1 if value else MOST_DROPPED for value in size[mine].tolist())
        dropped = min(zeros, MOST_DROPPED)
        if dropped < LEAST_DROPPED:
            return None
        most = 1 << (_SIGN - dropped)
        numbers = np.where(threshold[mine] < 0, -size[mine], size[mine]) >> dropped
        way.digit(dropped - LEAST_DROPPED, MOST_DROPPED - LEAST_DROPPED + 1)
        way.digit(int(numbers[0]) + most - 1, 2 * most - 1)
        if len(numbers) > 1:
            span = int(numbers[-1] - numbers[0])
            width = span.bit_length()
            way.digit(width - 1, _SIGN + 1 - dropped)
            way.digit(span - (1 << width >> 1), 1 << width >> 1)
            way.choice((numbers[1:-1] - numbers[0] - 1).tolist(), span - 1)
    return way


def _read_short(data: Reader, column: Indices) -> Floats:
    """Read as `_short`."""
    found = np.zeros(len(column))
    for c in np.unique(column).tolist():
        mine = column == c
        dropped = LEAST_DROPPED + data.digit(MOST_DROPPED - LEAST_DROPPED + 1)
        most = 1 << (_SIGN - dropped)
        numbers = [data.digit(2 * most - 1) - most + 1]
        if (n := int(mine.sum())) > 1:
            width = 1 + data.digit(_SIGN + 1 - dropped)
            span = (1 << width >> 1) + data.digit(1 << width >> 1)
            if n - 1 > span or numbers[0] + span >= most:
                raise PackedError("they have more thresholds of a column than its values can have")
            numbers += [numbers[0] + 1 + place for place in data.choice(n - 2, span - 1)]
            numbers.append(numbers[0] + span)
        size = (np.abs(numbers) << dropped).astype(np.uint32)
        with np.errstate(invalid="ignore"):
            values = size.view(np.float32).astype(np.float64)
        found[mine] = np.where(np.array(numbers) < 0, -values, values)
    if not np.all(np.isfinite(found)):
        raise PackedError("they hold NaN or infinity")
    return found


def _on_scale(threshold: Floats, scale: Floats) -> Floats:
    """Return the least integers k with ``k / scale >= threshold``."""
    k = np.ceil(threshold * scale)
    k = np.where((k - 1) / scale >= threshold, k - 1, k)
    return np.where(k / scale < threshold, k + 1, k)
