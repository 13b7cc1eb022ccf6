"""Raw tables at random, and what an encoder must make of one cell, said without any array."""

from __future__ import annotations

import datetime
import math

import numpy as np
from hypothesis import strategies as st

from bdnn.encoding.raw import RawColumn, RawTable

LEVELS = ("a", "b", "c", "d", "e f", "1", "true")


@st.composite
def raw_columns(draw, m, name, kind=None):
    kind = draw(st.sampled_from(["numeric", "boolean", "categorical", "date"])) if kind is None else kind
    gaps = np.array(draw(st.lists(st.integers(0, 4), min_size=m, max_size=m))) == 0
    seed = np.random.default_rng(draw(st.integers(0, 2**20)))
    if kind == "categorical":
        levels = LEVELS[: draw(st.integers(1, len(LEVELS)))]
        values = np.minimum(seed.geometric(0.5, m) - 1, len(levels) - 1).astype(np.int32)
        return RawColumn(name, kind, np.where(gaps, -1, values).astype(np.int32), levels)
    if kind == "date":
        hours = seed.integers(-200_000, 500_000, m)
        unit = draw(st.sampled_from([1, 24]))
        values = (hours // unit * unit).astype("datetime64[h]").astype("datetime64[us]")
        return RawColumn(name, kind, np.where(gaps, np.datetime64("NaT", "us"), values))
    values = seed.integers(0, 2, m) if kind == "boolean" else np.round(seed.normal(0, 3, m), draw(st.integers(0, 3)))
    return RawColumn(name, kind, np.where(gaps, np.nan, values))


@st.composite
def raw_tables(draw, most_rows=30, most_columns=4):
    m, n = draw(st.integers(2, most_rows)), draw(st.integers(1, most_columns))
    return RawTable(tuple(draw(raw_columns(m, f"c{j}")) for j in range(n)))


def expected(code, column, row):
    """The inputs of one cell by name, from the definition."""
    if not code.used:
        return {}
    value = None if column.missing[row] else column.values[row]
    if code.kind == "categorical":
        level = code.fill if value is None else column.levels[value]
        groups = [f"{code.name}={known}" for known in code.levels] + [f"{code.name} rare"] * bool(code.rare)
        mine = f"{code.name} rare" if level in code.rare else f"{code.name}={level}"
        kept = groups if len(groups) > 2 else groups[1:]
        found = {group: float(group == mine) for group in kept}
    elif code.kind == "date":
        text = code.fill if value is None else str(value.astype("datetime64[s]"))
        day = datetime.datetime.fromisoformat(text)
        parts = {"year": day.year, "month": day.month, "day": day.day, "weekday": day.weekday(), "hour": day.hour}
        found = {f"{code.name} {part}": float(parts[part]) for part in code.parts}
    else:
        number = code.fill if value is None else float(value)
        assert math.isfinite(number)
        found = {code.name: number}
        if code.thresholds:
            found = {f"{code.name}>={t!r}".removesuffix(".0"): float(number >= t) for t in code.thresholds}
    if code.missing_bit:
        found[f"{code.name} missing"] = float(value is None)
    return found
