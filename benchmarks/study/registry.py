"""The cases of the study: data sets, methods, rivals and all their settings. Nothing here runs anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

SEEDS = 10
RADII = (0.0, 0.05, 0.1, 0.2)
NOISE_DRAWS = 10

SECONDS = {"exact": 60.0, "alternating": 60.0, "data_splitting": 60.0, "local_search": 10.0}
MAX_SPLITS = 20

QUICK_SEEDS = 2
QUICK_SECONDS = {"exact": 1.5, "alternating": 1.5, "data_splitting": 3.0, "local_search": 1.0}
QUICK_MAX_SPLITS = 10
QUICK_WIDE = 8
QUICK_ROBUST_SECONDS = 2.0


@dataclass(frozen=True)
class DataSet:
    """A data set and the sizes used on it.

    Attributes
    ----------
    name, source : str
        Name in the tables; file in the data folder (``{}``: instance number), or ``sklearn:NAME``.
    narrow, wide : int
        Hidden neurons of the exact and alternating methods, and of data splitting (the paper's widths).
    batch : int or None
        Points per program of data splitting.
    exact_rows : int or None
        Most training rows given to the exact and alternating methods.
    quick_rows : int
        Rows of the quick study.
    instances : int
        Number of instances; seed s takes instance s modulo this.
    binary_at_median : bool
        Whether the target is a number, to be split at its median.
    """

    name: str
    source: str
    narrow: int = 2
    wide: int = 25
    batch: int | None = 64
    exact_rows: int | None = None
    quick_rows: int = 160
    instances: int = 1
    binary_at_median: bool = False


DATA_SETS = (
    DataSet("breast cancer", "breast_cancer_wisconsin_bdnn.csv"),
    DataSet("credit card", "default_credit_card.csv.gz", wide=50, exact_rows=1000, quick_rows=600),
    DataSet("digits", "sklearn:digits", narrow=10, wide=50, quick_rows=300),
    DataSet("iris", "sklearn:iris"),
    DataSet("Boston", "boston_housing.csv", binary_at_median=True),
    DataSet("uniform N10 m1000", "uniform/Uniform_N10_m1000_{}.csv.gz", instances=5),
    DataSet("uniform N100 m200", "uniform/Uniform_N100_m200_{}.csv.gz", instances=5, quick_rows=100),
)
ROBUST_DATA_SETS = ("breast cancer", "iris")
BY_NAME = {data.name: data for data in DATA_SETS}


@dataclass(frozen=True)
class Cell:
    """One run: a data set, a method, a seed and everything else that can change its result."""

    data: str
    method: str
    seed: int
    settings: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """Data set, method, seed and a hash of the settings."""
        text = json.dumps(self.settings, sort_keys=True)
        return f"{self.data}/{self.method}/{self.seed}/{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def cells(quick: bool = False) -> list[Cell]:
    """Return all cells of the study, seed by seed, so that an unfinished study is balanced."""
    return [
        Cell(data.name, method, seed, settings | ({"subset": data.quick_rows} if quick else {}))
        for seed in range(QUICK_SEEDS if quick else SEEDS)
        for data in (replace(each, wide=QUICK_WIDE) if quick else each for each in DATA_SETS)
        for method, settings in (*_ours(data, quick), *_rivals(data), *_robust(data, quick))
    ]


def _ours(data: DataSet, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    seconds = QUICK_SECONDS if quick else SECONDS
    splitting = {"max_splits": QUICK_MAX_SPLITS if quick else MAX_SPLITS, "batch_size": data.batch}
    for weights in ("integer", "continuous"):
        shown = {"integer": "ternary", "continuous": "continuous"}[weights]
        for method in ("exact", "alternating"):
            settings = {"options": {}, "hidden": [data.narrow], "rows": data.exact_rows, "validation": False}
            yield f"{method}, {shown}", settings | _common(method, weights, seconds[method])
        settings = {"options": splitting, "hidden": [data.wide], "rows": None, "validation": True}
        yield f"data splitting, {shown}", settings | _common("data_splitting", weights, seconds["data_splitting"])
        search = {"options": {}, "rows": None} | _common("local_search", weights, seconds["local_search"])
        yield f"local search, narrow, {shown}", search | {"hidden": [data.narrow], "validation": False}
        yield f"local search, {shown}", search | {"hidden": [data.wide], "validation": True}


def _common(method: str, weights: str, seconds: float) -> dict[str, Any]:
    return {"kind": "bdnn", "method": method, "weights": weights, "seconds": seconds}


def _rivals(data: DataSet) -> Iterator[tuple[str, dict[str, Any]]]:
    adam = {"kind": "relu", "rate": 1e-3, "epochs": 30, "batch": 64}
    yield "ReLU network", adam | {"hidden": [data.wide]}
    yield "ReLU network, narrow", adam | {"hidden": [data.narrow]}
    yield "scikit-learn MLP", {"kind": "mlp", "hidden": [data.wide], "iterations": 500}
    yield "logistic regression", {"kind": "logistic", "hidden": [], "iterations": 1000}
    yield "decision tree", {"kind": "tree"}
    yield "random forest", {"kind": "forest", "trees": 100}


def _robust(data: DataSet, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    if data.name not in ROBUST_DATA_SETS:
        return
    seconds = QUICK_ROBUST_SECONDS if quick else SECONDS["exact"]
    common = {"options": {}, "hidden": [data.narrow], "rows": None, "validation": False}
    common |= _common("exact", "continuous", seconds) | {"attacks": list(RADII), "draws": NOISE_DRAWS}
    common |= {"verification": "cells"}
    yield "robust, radius 0", common | {"radius": 0.0, "model": "interval"}
    for radius in RADII[1:]:
        for model in ("interval", "pattern"):
            yield f"robust, radius {radius:g}, {model}", common | {"radius": radius, "model": model}
