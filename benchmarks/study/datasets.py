"""Reading, splitting and scaling the data of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from common import load
from registry import DataSet
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Raw and scaled inputs and labels of the parts train, validation and test."""

    raw: dict[str, np.ndarray]
    scaled: dict[str, np.ndarray]
    y: dict[str, np.ndarray]


@lru_cache(maxsize=4)
def read(folder: Path, source: str, binary_at_median: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels."""
    if source.startswith("sklearn:"):
        return {"digits": load_digits, "iris": load_iris}[source.removeprefix("sklearn:")](return_X_y=True)
    X, y = load(folder, source)
    if binary_at_median:
        y = y.astype(float)
        y = (y > np.median(y)).astype(int)
    return X, y


def split(folder: Path, data: DataSet, seed: int, subset: int | None = None) -> Split:
    """Return the split 50/25/25 of a seed, stratified; `subset`: of that many rows, also drawn by the seed."""
    X, y = read(folder, data.source.format(seed % data.instances), data.binary_at_median)
    rows = stratified(y, subset, seed)
    train, rest = train_test_split(rows, test_size=0.5, random_state=seed, stratify=y[rows])
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=y[rest])
    chosen = dict(zip(PARTS, (train, validation, test), strict=True))
    raw = {part: X[index] for part, index in chosen.items()}
    low, high = raw["train"].min(axis=0), raw["train"].max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    scaled = {part: (values - low) / width for part, values in raw.items()}
    return Split(raw, scaled, {part: y[index] for part, index in chosen.items()})


def stratified(y: np.ndarray, rows: int | None, seed: int) -> np.ndarray:
    """Return the indices of that many rows, stratified; of all if there are no more."""
    index = np.arange(len(y))
    if rows is None or rows >= len(y):
        return index
    return train_test_split(index, train_size=rows, random_state=seed, stratify=y)[0]
