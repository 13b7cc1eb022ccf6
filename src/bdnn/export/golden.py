"""Rows for self-tests: some of a table or random ones, some at thresholds, some whose decision is close."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bdnn.export.program import IntegerProgram
    from bdnn.types import Integers

GOLDEN_ROWS = 32
"""Rows of a self-test: enough for every class and some thresholds, and few bytes on a device."""

_SEED = 0  # the same program has the same files
_RANDOM = 1_024  # rows of which some are chosen: enough for close decisions


def golden_rows(program: IntegerProgram, rows: Integers | None, n_rows: int = GOLDEN_ROWS) -> Integers:
    """Return rows of device integers for a self-test.

    Parameters
    ----------
    program : IntegerProgram
        What is tested.
    rows : ndarray of shape (m, n_inputs) or None
        Of a table; None for random ones.
    n_rows : int
        How many are wanted.

    Returns
    -------
    ndarray of shape (n_rows, n_inputs)
        A third is spread over the classes, a third lies on thresholds and just below them, and a third is as close to
        a decision as any.
    """
    rng = np.random.default_rng(_SEED)
    drawn = random_rows(program, _RANDOM, rng)
    base = drawn if rows is None or not len(rows) else rows
    n = -(-n_rows // 3)
    answers = program.run(base)
    spread = np.concatenate([np.flatnonzero(answers == c)[:n] for c in range(len(program.classes))])
    spread = spread[rng.permutation(len(spread))][:n]
    at = on_thresholds(program, base[rng.integers(len(base), size=n)], rng)
    chosen = np.concatenate([base[spread], at])
    left = n_rows - len(chosen)
    near = np.argsort(_distance(program, base), kind="stable")[:left]
    chosen = np.concatenate([chosen, base[near]])
    more = rng.integers(len(drawn), size=n_rows - len(chosen))  # of a short table
    return np.concatenate([chosen, drawn[more]])


def random_rows(program: IntegerProgram, m: int, rng: np.random.Generator) -> Integers:
    """Return rows of integers in the ranges of the inputs, with their ends, thresholds and missing values."""
    rows = np.zeros((m, len(program.inputs)), dtype=np.int64)
    for place, each in enumerate(program.inputs):
        cuts = np.array([cut for cut in program.thresholds_of(place) if each.low <= cut <= each.high], dtype=np.int64)
        # where something happens, and a bit beyond
        low, high = (int(cuts[0]), int(cuts[-1])) if len(cuts) else (each.low, each.high)
        reach = max(high - low, 4)
        low, high = max(each.low, low - reach), min(each.high, high + reach)
        rows[:, place] = rng.integers(low, high, size=m, endpoint=True)
        special = [each.low, each.high, *([] if each.missing is None else [each.missing]), *cuts.tolist()]
        special = [value for value in special if each.accepts(np.array(value))]
        where = rng.random(m) < 0.3  # often enough that several inputs are at once
        rows[where, place] = rng.choice(special, size=int(where.sum()))
    return rows


def on_thresholds(program: IntegerProgram, rows: Integers, rng: np.random.Generator) -> Integers:
    """Return rows with one of the integers moved to a threshold, or to the last one below it."""
    moved = rows.copy()
    cuts = [(place, cut) for place in range(len(program.inputs)) for cut in program.thresholds_of(place)]
    for number in range(len(moved)):
        if cuts:
            place, cut = cuts[int(rng.integers(len(cuts)))]
            each = program.inputs[place]
            value = cut - number % 2
            moved[number, place] = value if each.low <= value <= each.high else cut
    return moved


def _distance(program: IntegerProgram, rows: Integers) -> Integers:
    """Return how far each row is from another decision: the least absolute output, or lead of the winner."""
    if program.voting is None:
        outputs = program.members[0].outputs(rows, program.inputs)
    else:
        _, outputs = program.tallies(rows)
    if outputs.shape[1] == 1:
        return np.abs(outputs[:, 0])
    last = np.sort(outputs, axis=1)
    return np.asarray(last[:, -1] - last[:, -2])
