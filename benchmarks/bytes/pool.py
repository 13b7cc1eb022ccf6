"""Candidates of one method, and the choice among them: best on the validation part within the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from coding import Constant, Packed, accuracy
from sources import Split

BUDGETS = (32, 128, 512, 2048, 8192)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model trained on the training part.

    Attributes
    ----------
    model : Packed
        The model.
    validation : float
        Its accuracy on the validation part.
    note : str
        How it was made.
    again : callable or None
        Trains with the same settings on training and validation rows together.
    """

    model: Packed
    validation: float
    note: str = ""
    again: Callable[[], Packed] | None = None

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return self.model.size

    @cached_property
    def final(self) -> Packed:
        """The model trained again, or this one if there is none."""
        return self.model if self.again is None else self.again()


def judged(model: Packed, split: Split, note: str = "", again: Callable[[], Packed] | None = None) -> Candidate:
    """Return a candidate with its validation accuracy."""
    return Candidate(model, accuracy(model, split.X["validation"], split.y["validation"]), note, again)


def constant(split: Split) -> Candidate:
    """Return the classifier that says the most frequent class; it is there for every method."""
    return judged(
        Constant(split.columns, split.classes, int(np.bincount(split.y["train"]).argmax())), split, "constant"
    )


def best(candidates: Sequence[Candidate], budget: int) -> Candidate:
    """Return the one with the best validation accuracy within the budget, of equal ones the smallest."""
    fitting = [each for each in candidates if each.size <= budget]
    return max(fitting, key=lambda each: (each.validation, -each.size))


def chosen(candidates: Sequence[Candidate], split: Split) -> dict[str, dict[str, Any]]:
    """Return, by budget, what was chosen: bytes, accuracies, and whether it was trained again on more rows.

    Test accuracy is that of the model decoded from its bytes.
    """
    found = {}
    everything = [constant(split), *candidates]
    for budget in BUDGETS:
        candidate = best(everything, budget)
        final = candidate.final if candidate.again and candidate.final.size <= budget else candidate.model
        data = final.encode()
        decoded = type(final).decode(data, split.columns, split.classes)
        predicted = decoded.predict(split.X["test"])
        if not np.array_equal(predicted, final.predict(split.X["test"])) or len(data) > budget:
            raise AssertionError("a model changes by being encoded and decoded, or is too large")
        found[str(budget)] = {
            "bytes": len(data),
            "validation": candidate.validation,
            "test": float(np.mean(predicted == split.y["test"])),
            "again": final is not candidate.model,
            "model": candidate.note,
        }
    return found
