"""Rows that are held out: stratified, and never equal to a row that is trained on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdnn.arrays import row_blocks, runs
from bdnn.errors import InputError
from bdnn.labels import listed
from bdnn.types import Bools, Indices

SPLIT_VERSION = 3
"""The rule by which rows are held out today; model files say by which rule theirs were."""

SPLIT_VERSIONS = (1, 2, 3)
"""Rule 1 draws rows, and equal ones may come to both sides. Rule 2 keeps equal rows together. Rule 3 does so for rows
that differ by minutes and seconds of dates only, too, which no input tells."""

Rows = Indices


def split(
    X: NDArray[Any], labels: NDArray[Any], fraction: float, seed: int, version: int = SPLIT_VERSION
) -> tuple[Rows, Rows]:
    """Return the rows for training and those that are held out, stratified by label.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Inputs; NaN, for a missing value, is equal to NaN.
    labels : ndarray of shape (m,)
        Their labels.
    fraction : float
        Part of the rows to hold out, above 0 and below 1.
    seed : int
        Of the draw.
    version : int
        Rule, one of `SPLIT_VERSIONS`. Where all rows differ the rules agree.

    Returns
    -------
    training, held_out : ndarray of int
        Sorted. By rules 2 and 3 rows of equal inputs are on one side, whatever their labels, every class is among the
        training rows, and the number of held-out rows of each class is near its part.

    Raises
    ------
    InputError
        If there are too few rows, of a class or at all.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [0.0], [2.0], [1.0], [3.0], [4.0], [5.0]])
    >>> training, held_out = split(X, np.array([0, 1, 0, 1, 1, 0, 1, 0]), 0.25, 0)
    >>> set(X[training, 0]) & set(X[held_out, 0])
    set()
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    m, n_held_out = len(labels), math.ceil(fraction * len(labels))
    if np.any(counts < 2):
        rare = classes[counts < 2].tolist()
        raise InputError(
            f"{len(rare)} of {len(classes)} classes ha{'s' if len(rare) == 1 else 've'} only one row "
            f"({listed(rare)}), but a class needs one row on either side"
        )
    if min(n_held_out, m - n_held_out) < len(classes):
        raise InputError(
            f"{m} rows in parts of {m - n_held_out} and {n_held_out} cannot both hold all {len(classes)} classes"
        )
    groups = None if version == 1 else equal_rows(X)
    if groups is not None:
        held_out = _held_out(groups, codes.ravel(), _wanted(counts, n_held_out), seed)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)
    from sklearn.model_selection import train_test_split

    try:
        training, chosen = train_test_split(np.arange(m), test_size=float(fraction), random_state=seed, stratify=labels)
    except ValueError as error:
        raise InputError(str(error)[:200]) from None
    return np.sort(training), np.sort(chosen)


def drawn_seed(generator: np.random.RandomState) -> int:
    """Return the seed of a fit, of its validation rows as of its search, drawn from what `random_state` stands for."""
    return int(generator.randint(2**31 - 1))


def equal_rows(X: NDArray[Any]) -> Rows | None:
    """Return a number for each row, the same for equal rows, counted by their first; None if all rows differ."""
    if not X.shape[1]:
        return np.zeros(len(X), dtype=np.intp)
    values = np.add(X, 0, order="C")  # no negative zeros
    for rows in row_blocks(*values.shape) if values.dtype.kind == "f" else ():
        values[rows][np.isnan(values[rows])] = np.nan  # one NaN
    keys = values.view(np.dtype((np.void, values.itemsize * values.shape[1]))).ravel()
    order, differs = runs(values.view(f"u{values.itemsize}"), keys)
    if differs.all():
        return None
    first = order[differs]
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    groups = np.empty(len(X), dtype=np.intp)
    groups[order] = rank[np.cumsum(differs) - 1]
    return groups


def _held_out(groups: Rows, codes: Rows, wanted: list[int], seed: int) -> Bools:
    """Return which rows are held out.

    Groups of equal rows are taken in random order, first those that are no more than what is still wanted of their
    classes, then those that bring the classes nearer to it.
    """
    n_groups, n_classes = int(groups.max()) + 1, len(wanted)
    if n_groups < 2:
        raise InputError("all rows have the same inputs, and equal rows stay together")
    cells, count = np.unique(groups * n_classes + codes, return_counts=True)
    members: list[list[tuple[int, int]]] = [[] for _ in range(n_groups)]
    for cell, number in zip(cells.tolist(), count.tolist(), strict=True):
        members[cell // n_classes].append((cell % n_classes, number))
    left = np.bincount(cells % n_classes, minlength=n_classes).tolist()  # groups of each class among the training rows
    missing = list(wanted)  # rows of each class that are still to be held out
    chosen = np.zeros(n_groups, dtype=bool)

    def fits(group: int) -> bool:
        return all(number <= missing[code] for code, number in members[group])

    def spared(group: int) -> bool:
        """Whether training keeps every class without a group."""
        return all(left[code] > 1 for code, _ in members[group])

    def change(group: int) -> int:
        """How much farther the classes and their total are from what is wanted with a group held out."""
        total, size = sum(missing), sum(number for _, number in members[group])
        classes = sum(abs(missing[code] - number) - abs(missing[code]) for code, number in members[group])
        return classes + abs(total - size) - abs(total)

    order = np.random.RandomState(seed).permutation(n_groups).tolist()
    for accepts in (fits, lambda group: change(group) < 0):
        for group in order:
            if not chosen[group] and accepts(group) and spared(group):
                chosen[group] = True
                for code, number in members[group]:
                    missing[code] -= number
                    left[code] -= 1
    if not chosen.any():
        nearest = min(filter(spared, order), key=change, default=None)
        if nearest is None:
            raise InputError(
                f"the rows have only {n_groups} different inputs, and without any of them training would lose a class"
            )
        chosen[nearest] = True
    return chosen[groups]


def _wanted(counts: Indices, n_held_out: int) -> list[int]:
    """Return how many rows of each class to hold out, in proportion, rounded to the right sum."""
    exact = counts * (n_held_out / counts.sum())
    wanted = np.floor(exact).astype(int)
    wanted[np.argsort(wanted - exact, kind="stable")[: n_held_out - wanted.sum()]] += 1
    return [int(number) for number in wanted]
