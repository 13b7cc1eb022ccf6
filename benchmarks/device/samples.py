"""The data sets of the device benchmark: the splits of `benchmarks/bytes`, and images, as integers of 16 bits for all.

A device measures integers. A column of real numbers is multiplied by the power of ten that makes it integers, or by
the largest one with which it fits into 16 bits; a column that is too long for them is divided by one. All methods are
trained on these integers, and get them on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from common import images
from sklearn.model_selection import train_test_split
from sources import PARTS, split

SETS = {
    "breast cancer": "breast cancer original",
    "heart": "heart",
    "spambase": "spambase",
    "adult": "adult",
    "bank": "bank marketing",
    "digits": "digits",
    "MNIST": None,
}
"""Names in `benchmarks/bytes/sources.py`, by those in the tables; images have a split of their own."""
LARGEST = 2**15 - 1
"""What 16 bits with a sign hold."""
MOST_DIGITS = 3
"""Decimals that are kept at most: no column of these tables has more that tell rows apart."""
VALIDATION = 10_000
"""Images that are held out, as many as in the test."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Integers and class indices of each part, and the number of classes."""

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    classes: int

    @cached_property
    def whole(self) -> np.ndarray:
        """All rows: what says which integers occur in a column."""
        return np.concatenate([self.X[part] for part in PARTS])

    @cached_property
    def is_bytes(self) -> bool:
        """Whether all integers are between 0 and 255."""
        return bool(self.whole.min() >= 0 and self.whole.max() <= 255)


def sample(folder: Path, name: str, seed: int) -> Sample:
    """Return a data set as integers, split into training, validation and test part."""
    if SETS[name] is None:
        X, y, X_test, y_test = images(folder, "mnist")
        train, validation = train_test_split(np.arange(len(y)), test_size=VALIDATION, random_state=seed, stratify=y)
        parts = {"train": X[train], "validation": X[validation], "test": X_test}
        labels = {"train": y[train], "validation": y[validation], "test": y_test}
        return Sample({part: rows.astype(np.int16) for part, rows in parts.items()}, labels, int(y.max()) + 1)
    found = split(folder, SETS[name], seed)
    factors = [power_of_ten(column) for column in np.concatenate([found.X[part] for part in PARTS]).T]
    return Sample({p: np.rint(found.X[p] * factors).astype(np.int16) for p in PARTS}, found.y, found.classes)


def power_of_ten(column: np.ndarray) -> float:
    """Return the power of ten by which a column is multiplied to be integers of 16 bits."""
    largest = float(np.abs(column).max())
    fitting = [digits for digits in range(-9, MOST_DIGITS + 1) if largest * 10.0**digits <= LARGEST]
    exact = [digits for digits in fitting if digits >= 0 and np.array_equal(np.round(column, digits), column)]
    return 10.0 ** (exact[0] if exact else fitting[-1])
