"""The tables of the benchmark: reading, one encoding of text for everybody, splits, and the formats of the columns."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

PARTS = ("train", "validation", "test")
MISSING = ("", "?")
MOST_ROWS = {"train": 6000, "validation": 2000}
"""Larger parts are cut to so many rows, the same for all methods; the test part is never cut."""

_SKLEARN = {"digits": load_digits, "iris": load_iris, "wine": load_wine, "breast cancer diagnostic": load_breast_cancer}
SOURCES = {
    "iris": "sklearn",
    "wine": "sklearn",
    "sonar": "sonar.csv",
    "uniform N100 m200": "uniform/Uniform_N100_m200_0.csv.gz",
    "heart": "heart_cleveland.csv",
    "ionosphere": "ionosphere.csv",
    "breast cancer diagnostic": "sklearn",
    "breast cancer original": "breast_cancer_wisconsin_bdnn.csv",
    "pima": "pima_diabetes.csv",
    "uniform N10 m1000": "uniform/Uniform_N10_m1000_0.csv.gz",
    "banknote": "banknote.csv",
    "wine quality red": "wine_quality_red.csv",
    "digits": "sklearn",
    "spambase": "spambase.csv",
    "wine quality white": "wine_quality_white.csv",
    "mushroom": "mushroom.csv",
    "covertype": "covertype_15120.csv.gz",
    "credit card": "default_credit_card.csv.gz",
    "bank marketing": "bank_marketing_full.csv.gz",
    "adult": "adult_train.csv.gz",
}
"""File in the data folder by the name in the tables, smallest first."""
QUICK = ("iris", "heart", "banknote")
RARE = 0.005
"""A category of fewer rows than this share becomes one with all others that are as rare."""


@dataclass(frozen=True)
class Columns:
    """What a device knows of its inputs without any model: which are integers, and from where to where.

    Attributes
    ----------
    bits : ndarray of shape (n,)
        Bits of an integer column's values, counted from `low`; 0 for columns of real numbers, and of integers of more
        than 16 bits.
    low : ndarray of shape (n,)
        Least value of an integer column.
    """

    bits: np.ndarray
    low: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> Columns:
        """Return the formats of the columns of X."""
        low, high = X.min(axis=0), X.max(axis=0)
        whole = np.all(np.rint(X) == X, axis=0) & (high - low < 2**16)
        bits = np.ceil(np.log2(np.maximum(high - low, 1) + 1)).astype(int)
        return cls(np.where(whole, bits, 0), np.where(whole, low, 0.0))

    def __len__(self) -> int:
        return len(self.bits)


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and class indices of each part, the number of classes and the formats of the columns."""

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    classes: int
    columns: Columns


def split(folder: Path, name: str, seed: int) -> Split:
    """Return the split 60/20/20 of a seed, stratified; large training and validation parts are cut."""
    X, y, columns = read(folder, name)
    rows, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed, stratify=y)
    train, validation = train_test_split(rows, test_size=0.25, random_state=seed, stratify=y[rows])
    parts = {"train": train, "validation": validation, "test": test}
    for part, most in MOST_ROWS.items():
        if len(parts[part]) > most:
            parts[part] = train_test_split(parts[part], train_size=most, random_state=seed, stratify=y[parts[part]])[0]
    # a missing number becomes the lower median of the training rows, so that integer columns stay integer
    known = [np.sort(column[~np.isnan(column)]) for column in X[train].T]
    X = np.where(np.isnan(X), [column[(len(column) - 1) // 2] for column in known], X)
    return Split({p: X[i] for p, i in parts.items()}, {p: y[i] for p, i in parts.items()}, int(y.max()) + 1, columns)


@lru_cache(maxsize=2)
def read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, Columns]:
    """Return inputs (NaN where a number is missing), class indices and formats of the columns.

    A text column becomes one 0/1 column per category, one in all for two categories; a missing text is a category.
    """
    if SOURCES[name] == "sklearn":
        X, y = _SKLEARN[name](return_X_y=True)
        return X.astype(float), y, Columns.of(X)
    path = folder / SOURCES[name]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = []
    for title, column in zip(header[:-1], np.array(rows)[:, :-1].T, strict=True):
        if not title.startswith("_"):
            columns += _numbers(np.char.strip(column))
    _, y = np.unique(np.array([float(row[-1]) for row in rows]), return_inverse=True)
    X = np.column_stack(columns)
    return X, y, Columns.of(np.where(np.isnan(X), np.nanmin(X, axis=0), X))


def _numbers(column: np.ndarray) -> list[np.ndarray]:
    missing = np.isin(column, MISSING)
    try:
        values = np.full(len(column), np.nan)
        values[~missing] = column[~missing].astype(float)
    except ValueError:
        names, counts = np.unique(column, return_counts=True)
        common = names[counts >= RARE * len(column)]
        found = [column == name for name in common]
        if len(common) < len(names):
            found.append(~np.isin(column, common))
        found = found[:1] if len(found) == 2 else found
        return [which.astype(float) for which in found]
    return [values]
