"""Probabilities of classes from the pre-activations of a network: what a model file keeps, and how it is applied."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import row_blocks
from bdnn.errors import InputError
from bdnn.exact import signs

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Floats

RULES = ("cross_fit", "held_out")
"""Which rows probabilities are calibrated on: all, by networks trained without them, or rows that are held out."""

FRACTION = 0.25
"""Of the rows, where no `validation_fraction` says how many: the least that the paper takes."""


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """A map from pre-activations to probabilities.

    Attributes
    ----------
    rule : {"cross_fit", "held_out"}
        Which rows it was calibrated on.
    weights : ndarray of shape (k, n_values)
        Of the log-odds of the second of two classes (k = 1), or of the logits of each class.
    bias : ndarray of shape (k,)
        Likewise.
    low, high : ndarray of shape (n_values,)
        Ends of the values that were met; those beyond count as the ends, so that nothing is extrapolated.
    rows : int
        How many rows it was calibrated on.
    log_loss, brier : float
        Of these rows; see `bdnn.reports.metrics.measures`.
    """

    rule: str
    weights: Floats
    bias: Floats
    low: Floats
    high: Floats
    rows: int
    log_loss: float
    brier: float

    def probabilities(self, values: Floats) -> Floats:
        """Return the probabilities of the classes, of shape (m, n_classes), for values of shape (m, n_values)."""
        return probabilities(np.clip(values, self.low, self.high) @ self.weights.T + self.bias)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        arrays = {name: getattr(self, name).tolist() for name in ("weights", "bias", "low", "high")}
        return {"rule": self.rule, **arrays, "rows": self.rows, "log_loss": self.log_loss, "brier": self.brier}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], n_values: int, n_classes: int) -> Calibration:
        """Return the calibration that plain values stand for.

        Parameters
        ----------
        data : mapping
            From a file, which may hold anything.
        n_values, n_classes : int
            What the model has.

        Returns
        -------
        Calibration
            Checked.

        Raises
        ------
        InputError
            If the values are not as `to_json` returns them, or do not fit the model.
        """
        k = 1 if n_classes == 2 else n_classes
        shapes = {"weights": (k, n_values), "bias": (k,), "low": (n_values,), "high": (n_values,)}
        arrays = {name: _finite(data.get(name), shape, name) for name, shape in shapes.items()}
        rule, rows = data.get("rule"), data.get("rows")
        figures = {name: float(_finite(data.get(name), (), name)) for name in ("log_loss", "brier")}
        if not isinstance(rule, str) or rule not in RULES:
            raise InputError(f"the rule of the calibration must be one of {', '.join(RULES)}")
        if type(rows) is not int or not 0 < rows < 2**53 or min(figures.values()) < 0:
            raise InputError("the calibration must have a positive number of rows, and figures that are not negative")
        if np.any(arrays["low"] > arrays["high"]):
            raise InputError("the calibration's low must not be above its high")
        return cls(
            rule, arrays["weights"], arrays["bias"], arrays["low"], arrays["high"], rows,
            figures["log_loss"], figures["brier"],
        )  # fmt: skip


def probability_rule(probability: object) -> str | None:
    """Return the rule of the calibration that `probability` stands for, None for none, or raise InputError."""
    if isinstance(probability, bool | np.bool_):
        return RULES[0] if probability else None
    if not isinstance(probability, str) or probability not in RULES:
        raise InputError(f"probability must be False, True, {' or '.join(map(repr, RULES))}, got {probability!r}")
    return probability


def held_out_fraction(settings: Mapping[str, Any]) -> float:
    """Return the part of the rows that a fit with some settings holds out."""
    fraction = settings.get("validation_fraction", 0.0)
    if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 <= float(fraction) < 1:
        raise InputError(f"validation_fraction must be a number from 0 to below 1, got {fraction!r}")
    held_out = probability_rule(settings.get("probability", False)) == "held_out"
    if fraction == 0 and (held_out or settings.get("decision_threshold") is not None):
        return FRACTION
    return float(fraction)


def probabilities(logits: Floats) -> Floats:
    """Return the probabilities of classes, of shape (m, n_classes).

    Parameters
    ----------
    logits : ndarray of shape (m, 1) or (m, n_classes)
        Log-odds of the second of two classes, or logits of each class.
    """
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def pre_activations(network: Network, X: ArrayLike) -> Floats:
    """Return the pre-activations of all neurons, those of the first layer first, of shape (m, sum of widths)."""
    inputs = network.check_inputs(X)
    values = np.empty((len(inputs), sum(network.widths)))
    for rows in row_blocks(len(inputs), max(network.n_features, *network.widths)):
        signal = inputs[rows].astype(np.float64, copy=False)
        signal = signal if network.grid is None else network.grid.quantise(signal)
        start = 0
        for weights, bias in network.layers:
            layer = signs.affine(signal, weights.astype(np.float64), bias.astype(np.float64)).values
            values[rows, start : start + len(bias)] = layer
            start, signal = start + len(bias), (layer >= 0).astype(np.float64)
    return values


def _finite(value: Any, shape: tuple[int, ...], name: str) -> Floats:
    """Return nested lists of numbers as an array, or raise InputError."""
    expected = f"the calibration's {name} must be numbers of shape {shape}"
    rows = value if len(shape) == 2 and isinstance(value, list) else [value] if len(shape) == 1 else [[value]]
    if not all(isinstance(row, list) for row in rows):
        raise InputError(expected)
    if any(type(entry) not in (int, float) or abs(entry) > sys.float_info.max for row in rows for entry in row):
        raise InputError(expected)
    if len({len(row) for row in rows}) > 1:
        raise InputError(expected)
    array = np.array(value, dtype=np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise InputError(expected)
    return array
