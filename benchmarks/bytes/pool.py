"""Candidates of one method, their judgment on rows they were not trained on, and the choice within the bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from coding import Constant, Packed
from packed_trees import Trees
from sklearn.model_selection import StratifiedKFold
from sources import Split

Rows = tuple[np.ndarray, np.ndarray]

BUDGETS = (32, 128, 512, 2048, 8192)
FEW = 1000
"""Up to so many training and validation rows, candidates are judged by cross-validation in four folds."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to make a model.

    Attributes
    ----------
    size : int
        Bytes, about: of the model that was judged.
    validation : float
        Accuracy on rows that were not trained on.
    final : callable
        Returns the model to be tested, trained on training and validation rows.
    note : str
        How it is made.
    """

    size: int
    validation: float
    final: Callable[[], Packed]
    note: str = ""


class Path:
    """Models that come out of one training, from small to large."""

    def __init__(self, models: Sequence[Packed]) -> None:
        self._models = models

    def predictions(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what each of the models predicts."""
        yield from (model.predict(X) for model in self._models)

    def sizes(self) -> list[int]:
        """Return the bytes of each model."""
        return [model.size for model in self._models]

    def model(self, number: int) -> Packed:
        """Return one of the models."""
        return self._models[number]


class Beginnings(Path):
    """The beginnings of a forest or of a sum of trees."""

    def __init__(self, whole: Trees) -> None:
        self._whole = whole

    def predictions(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what each of the models predicts."""
        yield from self._whole.staged(X)

    def sizes(self) -> list[int]:
        """Return the bytes of each model."""
        return self._whole.staged_sizes()

    def model(self, number: int) -> Packed:
        """Return one of the models."""
        return self._whole.beginning(number)


@lru_cache(maxsize=2)
def everything(split: Split) -> Rows:
    """Return training and validation rows."""
    return tuple(np.concatenate([part["train"], part["validation"]]) for part in (split.X, split.y))


@lru_cache(maxsize=2)
def halves(split: Split) -> list[tuple[Rows, Rows]]:
    """Return the split itself: training rows and validation rows."""
    return [((split.X["train"], split.y["train"]), (split.X["validation"], split.y["validation"]))]


@lru_cache(maxsize=2)
def folds(split: Split) -> list[tuple[Rows, Rows]]:
    """Return pairs of rows to train on and rows to judge by: four, of large tables one."""
    X, y = everything(split)
    if len(y) > FEW:
        return halves(split)
    dealt = StratifiedKFold(4, shuffle=True, random_state=0).split(X, y)
    return [((X[some], y[some]), (X[rest], y[rest])) for some, rest in dealt]


def judged(
    split: Split,
    train: Callable[[Rows], Path],
    notes: Callable[[int], str],
    parts: Sequence[tuple[Rows, Rows]] | None = None,
) -> list[Candidate]:
    """Train on each part, count what is right on the rest, and return a candidate for each model of the path."""
    parts = folds(split) if parts is None else parts
    totals: list[int] = []
    for number, (rows, (X, y)) in enumerate(parts):
        path = train(rows)
        if number == 0:
            sizes = path.sizes()
        counts = [int(np.sum(predicted == y)) for predicted in path.predictions(X)]
        totals = counts if number == 0 else [a + b for a, b in zip(totals, counts, strict=False)]
    rows = sum(len(y) for _, (_, y) in parts)

    @cache
    def final() -> Path:
        return train(everything(split))

    return [
        Candidate(size, right / rows, lambda number=number: final().model(number), notes(number))
        for number, (size, right) in enumerate(zip(sizes, totals, strict=False))
        if size <= max(BUDGETS)
    ]


def constant(split: Split) -> Candidate:
    """Return the classifier that says the most frequent class; it is there for every method."""
    counts = np.bincount(everything(split)[1])
    model = Constant(split.columns, split.classes, int(counts.argmax()))
    return Candidate(model.size, counts.max() / counts.sum(), lambda: model, "constant")


def best(candidates: Sequence[Candidate], budget: int) -> tuple[Candidate, Packed]:
    """Return the candidate that was judged best within the budget, of equal ones the smallest, and its final model.

    Where that model is too large the next candidate is taken.
    """
    fitting = [each for each in candidates if each.size <= budget]
    for candidate in sorted(fitting, key=lambda each: (-each.validation, each.size)):
        if (model := candidate.final()).size <= budget:
            return candidate, model
    raise ValueError(f"no candidate of {len(candidates)} fits into {budget} bytes")


def chosen(candidates: Sequence[Candidate], split: Split) -> dict[str, dict[str, Any]]:
    """Return, by budget, what was chosen: bytes, accuracies, and how it was made.

    Test accuracy is that of the model decoded from its bytes.
    """
    found = {}
    for budget in BUDGETS:
        candidate, model = best([constant(split), *candidates], budget)
        data = model.encode()
        predicted = model.decoded(data).predict(split.X["test"])
        if len(data) > budget or not np.array_equal(predicted, model.predict(split.X["test"])):
            raise AssertionError("a model changes by being encoded and decoded, or is too large")
        test = float(np.mean(predicted == split.y["test"]))
        found[str(budget)] = {
            "bytes": len(data),
            "validation": candidate.validation,
            "test": test,
            "model": candidate.note,
        }
    return found
