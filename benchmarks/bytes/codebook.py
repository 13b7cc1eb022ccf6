"""Sums of trees whose leaves are real numbers, rounded to a few shared integers: candidates of many sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from packed_shared import Shared, decided
from packed_trees import Tree
from pool import Path, Rows
from sources import Split

ENTRIES = (4, 8, 16, 32)
"""Of the codebook."""
LARGEST = 127
"""Of the integers: 8 bits each."""
CLOSE = 24
"""Up to so many rounds, two codebooks are compared on the training rows."""
EXACT = 96
"""Up to so many leaves, the best codebook is found, not only a locally best one."""
PASSES = 20
"""Of the one-dimensional k-means; it seldom moves after ten."""


@dataclass(frozen=True, eq=False)
class Sum:
    """Trees with real values: leaves (leaves, width) of each tree and where the sums begin."""

    trees: list[Tree]
    values: list[np.ndarray]
    baseline: np.ndarray

    def places(self, X: np.ndarray) -> np.ndarray:
        """Return the leaf of each row in each tree, counted over all trees."""
        starts = np.cumsum([0, *(len(each) for each in self.values)])[:-1]
        return np.column_stack([tree.leaves(X) + start for tree, start in zip(self.trees, starts, strict=True)])


class Codebooks(Path):
    """Beginnings of one sum, each with codebooks of all sizes."""

    def __init__(self, split: Split, whole: Sum, rows: Rows, stages: list[int]) -> None:
        self._split, self._whole = split, whole
        self._outputs = len(whole.baseline)
        self._models: list[Shared] = []
        """As many for every stage, so that numbers mean the same for other rows; some are the same."""
        places, leaves = whole.places(rows[0]), sum(map(len, whole.values))
        counts = np.bincount(places.ravel(), minlength=leaves)
        done: dict[int, list[Shared]] = {}
        for stage in stages:
            number = min(stage, len(whole.trees))
            if number not in done:
                distinct = len(np.unique(np.concatenate(whole.values[:number])))
                made = done[number] = []
                for k, entries in enumerate(ENTRIES):
                    enough = k > 0 and ENTRIES[k - 1] >= distinct
                    made.append(made[-1] if enough else self._best(number, entries, counts, places, rows[1]))
            self._models += done[number]

    def _best(self, number: int, entries: int, counts: np.ndarray, places: np.ndarray, y: np.ndarray) -> Shared:
        """Return the first trees with a codebook; of few trees that of two which is right about more training rows."""
        found = [self._rounded(number, entries, counts, len(y), True)]
        if number > CLOSE * self._outputs:
            return found[0]
        found.append(self._rounded(number, entries, counts, len(y), False))
        return max(found, key=lambda model: int((self._decided(model, places) == y).sum()))

    def _rounded(self, number: int, entries: int, counts: np.ndarray, rows: int, weighted: bool) -> Shared:
        """Return the first trees with a codebook, and with sums of the same means over the training rows.

        Leaves count in it as often as they have rows, or all alike.
        """
        whole = self._whole
        values = np.concatenate(whole.values[:number])
        weights = np.repeat(counts[: len(values)] if weighted else np.ones(len(values)), values.shape[1])
        centers = _means(values.ravel(), weights, entries)
        scale = max(np.abs(centers).max(), 1e-12) / LARGEST
        codebook = np.unique(np.rint(centers / scale).astype(np.int64))
        taken = np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values / scale)
        errors = values - codebook[taken] * scale
        each = errors * counts[: len(values), None] / rows  # of the mean over the rows
        if values.shape[1] == 1 < self._outputs:
            owner = np.repeat(np.arange(number) % self._outputs, list(map(len, whole.values[:number])))
            lost = np.bincount(owner, each[:, 0], self._outputs)
        else:
            lost = each.sum(axis=0)
        baseline = np.rint((whole.baseline + lost) / scale).astype(np.int64)
        cuts = np.cumsum([len(each) for each in whole.values[:number]])[:-1]
        split = self._split
        return Shared(
            split.columns, split.classes, whole.trees[:number], np.split(taken, cuts), codebook, _from_zero(baseline)
        )

    def predictions(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what each of the models predicts."""
        places, before, predicted = self._whole.places(X), None, np.zeros(0, dtype=np.int64)
        for model in self._models:
            if model is before:
                yield predicted
                continue
            before, predicted = model, self._decided(model, places)
            yield predicted

    def _decided(self, model: Shared, places: np.ndarray) -> np.ndarray:
        """Return class indices from the leaves of the rows."""
        values = model.codebook[np.concatenate(model.entries)]
        found = values[places[:, : len(model.trees)]]
        if model.width > 1:
            sums = found.sum(axis=1)
        else:
            sums = np.column_stack([found[:, k :: self._outputs, 0].sum(axis=1) for k in range(self._outputs)])
        return decided(sums + model.baseline)

    def note(self, number: int) -> str:
        """Say how many trees and entries a model has."""
        model = self._models[number]
        return f"{len(model.trees)} trees, {len(model.codebook)} leaf values"

    def __len__(self) -> int:
        return len(self._models)


def _from_zero(baseline: np.ndarray) -> np.ndarray:
    """Return what decides alike: of several outputs the least is 0."""
    return baseline if len(baseline) == 1 else baseline - baseline.min()


def _means(values: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Return centers of weighted k-means in one dimension, ascending."""
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order] + 1e-9  # leaves that no row reaches count a little
    if len(np.unique(values)) <= number:
        return np.unique(values)
    if len(values) <= EXACT:
        return _exact_means(values, weights, number)
    centers = np.unique(np.quantile(values, (np.arange(number) + 0.5) / number))
    for _ in range(PASSES):
        of = np.searchsorted((centers[1:] + centers[:-1]) / 2, values)
        total = np.bincount(of, weights, len(centers))
        sums = np.bincount(of, weights * values, len(centers))
        moved = np.where(total > 0, sums / np.maximum(total, 1e-300), centers)
        if np.array_equal(moved, centers):
            break
        centers = np.sort(moved)
    return centers


def _exact_means(values: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Return the centers of least weighted squared error, by dynamic programming over ascending values."""
    m = len(values)
    total, first, second = (np.concatenate([[0.0], np.cumsum(weights * values**p)]) for p in (0, 1, 2))
    start, stop = np.arange(m)[:, None], np.arange(1, m + 1)[None, :]
    mass = np.where(start < stop, total[stop] - total[start], 1.0)
    error = second[stop] - second[start] - (first[stop] - first[start]) ** 2 / mass
    error = np.where(start < stop, np.maximum(error, 0.0), np.inf)  # of one center for values[start:stop]
    best, cuts = error[0], []
    for _ in range(number - 1):
        sums = np.concatenate([[np.inf], best[:-1]])[:, None] + error
        cuts.append(sums.argmin(axis=0))
        best = sums.min(axis=0)
    edges = [m]
    for cut in reversed(cuts):
        edges.append(int(cut[edges[-1] - 1]))
    edges = sorted({0, *edges})
    return np.array([np.average(values[a:b], weights=weights[a:b]) for a, b in pairwise(edges)])
