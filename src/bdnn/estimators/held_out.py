"""Rows held out from the training of a network: to choose it, to move its threshold, or to calibrate it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.calibration import held_out_fraction, probability_rule
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.splitting import equal_rows, split

if TYPE_CHECKING:
    from bdnn.types import Array, Indices, Reals

FOLDS = 4
"""Parts of the rows in cross-fitting, so that the networks of the folds are trained on as many as `FRACTION` leaves."""


def held_out_rows(
    columns: Reals | RawTable, labels: Array, settings: Mapping[str, Any], seed: int
) -> tuple[slice | Indices, Indices | None]:
    """Return the rows for training (a slice if all) and those that are held out (None if none).

    Raises
    ------
    InputError
        If there are too few rows for that, or to calibrate probabilities if they are asked for.
    """
    fraction, rule = held_out_fraction(settings), probability_rule(settings.get("probability", False))
    if rule == "cross_fit" and np.unique(labels, return_counts=True)[1].min() < 2:
        raise InputError("probabilities need at least two rows of each class: one to train and one to calibrate on")
    if fraction == 0:
        return slice(None), None
    try:
        training, held_out = split(_numbers(columns), labels, fraction, seed)
    except InputError as error:
        given = "validation_fraction" if settings.get("validation_fraction") else "a fraction"
        raise InputError(f"cannot hold out {given}={fraction!r}, stratified: {error}") from None
    if rule == "held_out":
        found, counts = np.unique(labels[held_out], return_counts=True)
        if len(found) < len(np.unique(labels)) or counts.max() < 2:
            raise InputError(
                "probability='held_out' needs held-out rows of every class, and two of some class: give more rows or a "
                "larger validation_fraction, or set probability='cross_fit'"
            )
    return training, held_out


def drawn(rows: Indices, codes: Indices, most: int, generator: np.random.Generator) -> Indices:
    """Return so many of some rows at most, ascending if some are left out, and more only so that no class is lost.

    Parameters
    ----------
    rows : ndarray of int
        Rows to draw from.
    codes : ndarray of int
        Classes of all rows.
    most : int
        How many.
    generator : numpy.random.Generator
        It draws if there are more.

    Returns
    -------
    ndarray of int
    """
    if len(rows) <= most:
        return rows
    first = rows[np.unique(codes[rows], return_index=True)[1]]
    return np.union1d(generator.choice(rows, most, replace=False), first)


def _numbers(columns: Reals | RawTable) -> Reals:
    return columns.numbers() if isinstance(columns, RawTable) else columns


def folds(columns: Reals | RawTable, codes: Indices, seed: int, together: bool = True) -> list[tuple[Indices, Indices]]:
    """Return the rows of `FOLDS` folds, stratified: those for training, with every class, and the others.

    Equal rows are on one side, unless that would leave a class out of the training, or they need not be `together`.
    Every class has two rows or more.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.bincount(codes)
    number, rows = int(min(FOLDS, counts.min())), np.arange(len(codes))
    groups = equal_rows(_numbers(columns)) if together else None
    if groups is not None:
        grouped = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
        found = list(grouped.split(rows, codes, groups)) if groups.max() + 1 >= number else []
        if found and all(len(other) and len(np.unique(codes[some])) == len(counts) for some, other in found):
            return found
    return list(StratifiedKFold(number, shuffle=True, random_state=seed).split(rows, codes))


def folds_of_some(
    columns: Reals | RawTable, codes: Indices, seed: int, together: bool = True
) -> list[tuple[Indices, Indices]]:
    """Return `folds` of the rows of classes that have two rows or more; the others are always in the training."""
    several = np.flatnonzero(np.bincount(codes)[codes] > 1)
    single = np.setdiff1d(np.arange(len(codes)), several)
    taken = columns.take(several) if isinstance(columns, RawTable) else columns[several]
    found = folds(taken, np.unique(codes[several], return_inverse=True)[1], seed, together)
    return [(np.concatenate([several[training], single]), several[others]) for training, others in found]
