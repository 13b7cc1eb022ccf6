"""What a score card holds, and how it decides: points are added, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bdnn.encoding.raw import RawTable
from bdnn.network.network import Network
from bdnn.reports.risks import Risk

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.types import Array, Floats, Reals

Unit = Literal["yes", "unit", "step"]

Columns = Callable[[Any], "Reals | RawTable"]
"""A function that checks rows as a model predicts them; it returns an array if they are inputs, else their table."""

# integers up to here are doubles, and so are their sums
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one input.

    Attributes
    ----------
    name : str
        Of the input.
    points : int
        Points for what `unit` says.
    unit : {"yes", "unit", "step"}
        Whether the points are given if the input is 1, for each unit of it, or for each step of the grid.
    index : int
        Of the input.
    offset, step : float
        Of the grid, in units of the feature; 0 and 1 without.
    last : int
        Last point of the grid.
    """

    name: str
    points: int
    unit: Unit
    index: int
    offset: float = 0.0
    step: float = 1.0
    last: int = 0

    @property
    def given(self) -> str:
        """What the points are given for, in words."""
        if self.unit == "yes":
            return "if so"
        if self.unit == "unit":
            return "for each unit"
        return f"for each step of {self.step!r} above {self.offset!r}, rounded, from 0 to {self.last} steps"

    def amounts(self, values: Floats) -> Floats:
        """Return how often the points are given for each value of the input."""
        if self.unit != "step":
            return values
        # the grid rounds in double arithmetic, too
        with np.errstate(over="ignore"):
            return np.clip(np.rint((values - self.offset) / self.step), 0, self.last)

    def of(self, value: float) -> int | Fraction:
        """Return the exact points of one value of the input."""
        return whole(self.points * Fraction(float(self.amounts(np.array([value]))[0])))


@dataclass(frozen=True, slots=True)
class Scale:
    """The score of one class.

    Attributes
    ----------
    label : str
        The class that a high score is evidence for.
    start : int
        Points that every row starts with.
    points : tuple of Points
        Of the inputs that have some.
    """

    label: str
    start: int
    points: tuple[Points, ...]

    def scores(self, inputs: Floats) -> list[int | Fraction]:
        """Return the scores of rows of inputs, exactly."""
        used = np.array([each.amounts(inputs[:, each.index]) for each in self.points])
        if not len(used):
            return [self.start] * len(inputs)
        points = np.array([each.points for each in self.points], dtype=np.float64)
        reach = abs(self.start) + float(np.abs(points) @ np.abs(used).max(axis=1, initial=0.0))
        if reach >= _EXACT or np.any(used != np.rint(used)):
            return [self._sum(row) for row in used.T.tolist()]
        return [int(value) for value in (self.start + points @ used).tolist()]

    def _sum(self, amounts: list[float]) -> int | Fraction:
        total = Fraction(self.start)
        for each, amount in zip(self.points, amounts, strict=True):
            total += each.points * Fraction(amount)
        return whole(total)


@dataclass(frozen=True, slots=True)
class Cells:
    """The points of cells that are not numbers, or that are levels without a line of their own.

    Attributes
    ----------
    column : str
        Name of the column.
    cells : str
        Description of these cells.
    points : str
        Total points of the column.
    """

    column: str
    cells: str
    points: str


@dataclass(frozen=True, slots=True)
class Example:
    """The score of one row.

    Attributes
    ----------
    lines : tuple of (str, str, str)
        Input, value and points of each input that has points.
    left_out : int
        Number of inputs with 0 points.
    score : str
        Their sum.
    label : str
        The label that is decided.
    """

    lines: tuple[tuple[str, str, str], ...]
    left_out: int
    score: str
    label: str


@dataclass(frozen=True, eq=False, slots=True)
class ScoreCard:
    """A card.

    Attributes
    ----------
    network : Network
        The network with integer weights that the card shows.
    scales : tuple of Scale
        One for two classes, else one per class.
    threshold : int or None
        Least score of the second of two classes; None for more classes.
    facts : tuple of (str, str)
        What is known about it: accuracy, loss, bound.
    risks : tuple of Risk
        Risks by score; empty without data, and for more than two classes.
    risk_rule : str
        Where the risks come from, or why there are none.
    example : Example or None
        One row.
    cells : tuple of tuple of Cells
        For each scale, the points of missing values and of levels without a line of their own.
    shares : tuple of (str, str, str)
        For more than two classes with a calibration: label, logit, and the probability of the example or nothing.
    encoder : Encoder or None
        How columns become inputs; None if rows are inputs.
    columns : callable or None
        Checks rows as the model predicts them; None if rows are inputs.
    """

    network: Network
    scales: tuple[Scale, ...]
    threshold: int | None
    facts: tuple[tuple[str, str], ...] = ()
    risks: tuple[Risk, ...] = ()
    risk_rule: str = ""
    example: Example | None = None
    cells: tuple[tuple[Cells, ...], ...] = ()
    shares: tuple[tuple[str, str, str], ...] = ()
    encoder: Encoder | None = None
    columns: Columns | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(str(label) for label in self.network.classes.tolist())

    @property
    def rule(self) -> str:
        """How the score decides, in words."""
        if self.threshold is None:
            return (
                f"The class of the highest score is decided; of equal scores, the first of {', '.join(self.classes)}."
            )
        return f"A score of {self.threshold} or more means {self.classes[1]}, a lower one {self.classes[0]}."

    @property
    def intercept(self) -> int | None:
        """The bias of the two-class rule "intercept + score >= 0"."""
        return None if self.threshold is None else -self.threshold

    def inputs(self, X: Any) -> tuple[Floats, RawTable | None]:
        """Return the inputs of rows as the model predicts them, and the columns they come from if these differ.

        Numbers are taken to be inputs if a row has as many of them as the network has inputs, and the table has a
        different number of columns.
        """
        if self.encoder is None or self.columns is None or self._are_inputs(X):
            return self.network.check_inputs(X).astype(np.float64, copy=False), None
        given = self.columns(X)
        if isinstance(given, RawTable):
            given = self.encoder.matched(given)
            return self.encoder.transform(given), given
        return given.astype(np.float64, copy=False), None

    def _are_inputs(self, X: Any) -> bool:
        assert self.encoder is not None
        if not isinstance(X, np.ndarray) or X.dtype.kind not in "iufb" or X.ndim != 2:
            return False
        return bool(X.shape[1] == self.network.n_features != len(self.encoder.columns))

    def scores(self, X: Any) -> list[tuple[int | Fraction, ...]]:
        """Return the scores of rows, exactly, by adding up the points that the card gives."""
        return self.scores_of_inputs(self.inputs(X)[0])

    def scores_of_inputs(self, inputs: Floats) -> list[tuple[int | Fraction, ...]]:
        """Return the scores of rows of inputs, exactly."""
        return list(zip(*(scale.scores(inputs) for scale in self.scales), strict=True))

    def decide(self, X: Any) -> Array:
        """Return the label that the card decides for each row; rows are given as the model predicts them."""
        codes = [self.code(row) for row in self.scores(X)]
        decided: Array = self.network.classes[np.array(codes, dtype=np.intp)]
        return decided

    def code(self, scores: tuple[int | Fraction, ...]) -> int:
        """Return the index of the class that the scores of a row lead to."""
        return scores.index(max(scores)) if self.threshold is None else int(scores[0] >= self.threshold)


def whole(value: Fraction) -> int | Fraction:
    """Return a fraction, as an integer if it is one."""
    return int(value) if value.denominator == 1 else value


def signed(value: int | Fraction) -> str:
    """Return points as text with their sign."""
    return f"{value:+d}" if isinstance(value, int) else f"{float(value):+.10g}"


def plain(value: int | Fraction) -> str:
    """Return a score as text."""
    return str(value) if isinstance(value, int) else f"{float(value):.10g}"
