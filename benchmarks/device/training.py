"""The grids of the rivals: trees, forests, logistic regression and perceptrons of scikit-learn, from small to large."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from samples import Sample
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

MANY = 20_000
"""From so many training rows on, grids are coarse, as each model takes long."""
LEAVES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
TREES = (3, 5, 7, 10, 15, 25, 40)
FOREST_LEAVES = (3, 4, 6, 8, 12, 16, 32, 64)
STRENGTHS = (0.01, 0.1, 1.0, 30.0)
"""Of logistic regression: C."""
WIDTHS = (1, 2, 3, 4, 6, 8, 16, 32)
FEATURES = (3, 5, 8, 12, 20, 32, 64)
COARSE = {"leaves": (256, 2048), "trees": (5, 10, 15, 20, 30), "forest": (128, 384, 1024)}
"""For images."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, how it was trained, its nodes or weights, and the columns and factors that make its inputs."""

    model: object
    setting: str
    weight: int
    columns: np.ndarray | None = None
    factors: np.ndarray | None = None

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Return what the model sees of rows."""
        seen = X if self.columns is None else X[:, self.columns]
        return seen if self.factors is None else seen * self.factors


def _is_large(sample: Sample) -> bool:
    return len(sample.y["train"]) > MANY


@lru_cache(maxsize=1)
def trees(sample: Sample) -> list[Trained]:
    """Train single trees."""
    grid = COARSE["leaves"] if _is_large(sample) else LEAVES
    rows = sample.X["train"], sample.y["train"]
    made = []
    for criterion in ("gini",) if _is_large(sample) else ("gini", "entropy"):
        for least in (1,) if _is_large(sample) else (1, 5):
            for leaves in grid:
                model = DecisionTreeClassifier(
                    max_leaf_nodes=leaves, criterion=criterion, min_samples_leaf=least, random_state=0
                ).fit(*rows)
                setting = f"{leaves} leaves, {criterion}" + (f", {least} rows a leaf" if least > 1 else "")
                made.append(Trained(model, setting, model.tree_.node_count))
    return _different(made)


@lru_cache(maxsize=1)
def forests(sample: Sample) -> list[Trained]:
    """Train random forests, and forests of extremely randomized trees; those of fewer trees are their beginnings."""
    large = _is_large(sample)
    kinds = {"random forest": RandomForestClassifier}
    if not large:
        kinds["extra trees"] = ExtraTreesClassifier
    counts = COARSE["trees"] if large else TREES
    made = []
    for name, kind in kinds.items():
        for leaves in COARSE["forest"] if large else FOREST_LEAVES:
            whole = kind(max(counts), max_leaf_nodes=leaves, random_state=0).fit(sample.X["train"], sample.y["train"])
            for count in counts:
                model = copy(whole).set_params(n_estimators=count)
                model.estimators_ = whole.estimators_[:count]
                nodes = sum(tree.tree_.node_count for tree in model.estimators_)
                made.append(Trained(model, f"{name}, {count} trees of {leaves} leaves", nodes))
    return _different(made)


def _different(made: list[Trained]) -> list[Trained]:
    """Leave out settings that give the trees of an earlier one."""
    seen = {}
    for each in made:
        parts = getattr(each.model, "estimators_", [each.model])
        key = tuple((tree.tree_.feature.tobytes(), tree.tree_.threshold.tobytes()) for tree in parts)
        seen.setdefault((type(each.model), key), each)
    return list(seen.values())


def of_integers(model: object) -> object:
    """Return a copy whose thresholds are t = floor(threshold) + 1, for code that asks x < t of integers x."""
    copied = deepcopy(model)
    for tree in getattr(copied, "estimators_", [copied]):
        inner = tree.tree_.children_left >= 0
        tree.tree_.threshold[inner] = np.floor(tree.tree_.threshold[inner]) + 1
    return copied


@lru_cache(maxsize=1)
def logistics(sample: Sample) -> list[Trained]:
    """Train logistic regression on ever fewer columns, dropping those of the smallest weights."""
    X, y = sample.X["train"], sample.y["train"]
    n, large = X.shape[1], _is_large(sample)
    numbers = [n]
    while numbers[-1] > 1 and not (large and numbers[-1] < n):
        numbers.append(numbers[-1] - 1 if numbers[-1] <= 8 else int(0.7 * numbers[-1]))
    made = []
    for strength in (1.0,) if large else STRENGTHS:
        chosen = np.arange(n)
        for following in [*numbers[1:], 0]:
            seen = X[:, chosen].astype(float)
            mean, spread = _scaling(seen)
            model = LogisticRegression(C=strength, max_iter=30 if large else 200)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it need not converge
                model.fit((seen - mean) / spread, y)
            weight = np.abs(model.coef_).max(axis=0)
            model.coef_ = model.coef_ / spread
            model.intercept_ = model.intercept_ - model.coef_ @ mean
            setting = f"{len(chosen)} columns, C {strength:g}"
            made.append(Trained(model, setting, model.coef_.size, chosen))
            chosen = np.sort(chosen[np.argsort(-weight, kind="stable")[:following]])
    return made


@lru_cache(maxsize=1)
def perceptrons(sample: Sample) -> list[Trained]:
    """Train perceptrons of one hidden layer on the columns that a forest finds most important.

    Columns are given in units (powers of two) in which they spread by about 1, so that nothing has to be scaled on the
    device and weights survive being written with six decimals.
    """
    X, y, large = sample.X["train"], sample.y["train"], _is_large(sample)
    forest = RandomForestClassifier(10 if large else 50, min_samples_leaf=3, random_state=0).fit(X, y)
    order = np.argsort(-forest.feature_importances_, kind="stable")
    numbers = sorted({min(number, X.shape[1]) for number in ((100, 300) if large else (*FEATURES, X.shape[1]))})
    made = []
    for some in numbers:
        chosen = np.sort(order[:some])
        factors = 2.0 ** -np.rint(np.log2(np.maximum(X[:, chosen].std(axis=0), 2.0**-10)))
        seen = X[:, chosen] * factors
        for width in (16, 32) if large else _widths(sample, some):
            made.append(Trained(*_perceptron(seen, y, width, some), chosen, factors))
    return made


def _widths(sample: Sample, some: int) -> Iterator[int]:
    """Yield widths; of many columns only some, as they take long."""
    widest = 32 if sample.classes > 2 else 8
    yield from (width for width in WIDTHS if width <= widest and (some <= 20 or width in (2, 4, 8, 32)))


def _perceptron(seen: np.ndarray, y: np.ndarray, width: int, some: int) -> tuple[MLPClassifier, str, int]:
    mean, spread = _scaling(seen)
    epochs, batch = (8, 256) if len(y) > MANY else (30, 256) if len(y) > 2000 else (120, 64)
    model = MLPClassifier((width,), learning_rate_init=0.01, max_iter=epochs, batch_size=batch, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        model.fit((seen - mean) / spread, y)
    first = model.coefs_[0] / spread[:, None]
    model.intercepts_[0] = model.intercepts_[0] - mean @ first
    model.coefs_[0] = first
    return model, f"{some} columns, {width} hidden", sum(W.size for W in model.coefs_)


def _scaling(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of columns."""
    spread = X.std(axis=0)
    return X.mean(axis=0), np.where(spread > 0, spread, 1.0)
