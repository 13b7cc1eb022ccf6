"""The operating point of a network of two classes: held-out rows decide how the bias of its output is shifted.

The shifted network is a network like any other, so that predictions, certification and exports agree.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.errors import InputError
from bdnn.estimators.class_weights import code_of
from bdnn.network.network import Layer
from bdnn.problem.audit import audit
from bdnn.result import MEASURES, OperatingPoint
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem
    from bdnn.result import Result
    from bdnn.types import Array, Bools, Floats, Integers, Reals

_SAME = 2.0**-40  # relative distance of decision values up to which they count as one: a thousand roundings
_MOST_LISTED = 8  # values in a message


class Wanted(NamedTuple):
    """A wanted value of a measure, and the code of the positive class."""

    measure: str
    value: float
    positive: int


class _Rates(NamedTuple):
    """Measures, one for each way to decide some rows; a precision of no rows is 0."""

    recall: Floats
    precision: Floats
    specificity: Floats


def wanted_point(decision_threshold: object, classes: Array) -> Wanted:
    """Return what a `decision_threshold` asks for.

    Parameters
    ----------
    decision_threshold : mapping
        Such as {"recall": 0.9} or {"precision": 0.8, "positive": "yes"}.
    classes : ndarray of shape (n_classes,)
        Labels.

    Raises
    ------
    InputError
        If it is not as described, or there are more than two classes.
    """
    expected = "decision_threshold must be None or a dict such as {'recall': 0.9} or {'precision': 0.8, 'positive': 1}"
    if not isinstance(decision_threshold, Mapping):
        raise InputError(f"{expected}, got {decision_threshold!r}"[:300])
    chosen = [(name, value) for name, value in decision_threshold.items() if name != "positive"]
    if len(chosen) != 1 or chosen[0][0] not in MEASURES:
        raise InputError(f"{expected}, with one of {', '.join(MEASURES)}, got {dict(decision_threshold)!r}"[:300])
    ((measure, value),) = chosen
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise InputError(f"the {measure} of decision_threshold must be above 0 and at most 1, got {value!r}")
    if len(classes) != 2:
        raise InputError(f"decision_threshold is for two classes, and y has {len(classes)}")
    positive = 1
    if "positive" in decision_threshold:
        positive = code_of(decision_threshold["positive"], classes, "the positive class of decision_threshold")
    return Wanted(measure, float(value), positive)


def moved(
    result: Result, problem: Problem, wanted: Wanted, rows: tuple[Reals, Array, Floats | None], *, warns: bool = True
) -> Result:
    """Return a result whose network reaches a wanted value on held-out rows, audited again.

    Of the thresholds that reach it, the one with the best counterpart is taken: the precision for a recall or a
    specificity, the recall for a precision. Answers that are the same for all rows do not count as reaching anything.

    Parameters
    ----------
    result : Result
        Of the training.
    problem : Problem
        The problem that was trained on.
    wanted : Wanted
        From `wanted_point`.
    rows : tuple
        Held-out inputs and labels, and weights or None.
    warns : bool
        Whether there is a warning if the value is not reached.

    Returns
    -------
    Result
        Optimal only if it was, and the loss is the same. The bound is for the same networks.
    """
    inputs, labels, weight = rows
    network = result.network
    positive = np.asarray(labels == network.classes[wanted.positive])
    counts = np.ones(len(labels)) if weight is None else weight
    second = network.decision_function(inputs)
    if second.ndim == 2:
        second = second[:, 1] - second[:, 0]
    values = np.unique(second)
    # values that differ by their rounding only are the same, or else a rounded bias could not come between them
    largest = max(np.abs(values).max(), np.abs(network.layers[-1].bias).max())
    values = values[np.diff(values, prepend=-np.inf) > _SAME * largest]
    # every way to split the different values into two non-empty parts, the upper part being the second class
    upper = np.searchsorted(values, second, side="right") - 1
    rates = _rates_of_cuts(upper, len(values), positive, counts, wanted.positive == 1)
    reached, other = _measures(rates, wanted.measure)
    best = _best(reached, other, wanted.value)
    shift: float = 0
    if best is not None:
        shift = _shift(network, values[best], values[best + 1])
        network = _shifted(network, shift)
    audited = audit(network, problem)
    answer = network.predict_index(inputs) == wanted.positive
    found = _rates(answer, positive, counts)
    point = OperatingPoint(
        measure=wanted.measure, wanted=wanted.value, positive=network.classes[wanted.positive].item(),
        recall=float(found.recall[0]), precision=float(found.precision[0]), specificity=float(found.specificity[0]),
        rows=len(labels), shift=float(shift), reachable=tuple(np.unique(reached).tolist()) if len(values) > 1 else (),
    )  # fmt: skip
    if warns and not point.met:
        warnings.warn(_missed(point), UserWarning, stacklevel=3)
    objective = audited.loss + problem.penalty_factor * result.penalty
    proven = result.status == Status.OPTIMAL and objective == result.objective
    return replace(
        result,
        network=network,
        audit=replace(audited, n_mismatched=result.audit.n_mismatched),
        objective=objective,
        bound=min(result.bound, objective),
        status=result.status if proven else Status.FEASIBLE,
        message=f"{result.message}; {point.purpose}",
        operating_point=point,
    )


def _rates_of_cuts(upper: Integers, n_values: int, positive: Bools, weight: Floats, second: bool) -> _Rates:
    """Return the rates if values 0..k are one side and those above k the other, for each k but the last."""
    sides: list[Floats] = []
    for some in (positive, ~positive):
        below = np.cumsum(np.bincount(upper[some], weights=weight[some], minlength=n_values))
        sides.append(np.asarray(below[-1] - below if second else below, dtype=np.float64)[:-1])
    return _rates_from(sides[0], sides[1], float(weight[positive].sum()), float(weight[~positive].sum()))


def _rates(answer: Bools, positive: Bools, weight: Floats) -> _Rates:
    """Return the rates of one way to decide the rows, each of shape (1,)."""
    sides = np.array([weight[chosen].sum() for chosen in (answer & positive, answer & ~positive, positive, ~positive)])
    return _rates_from(sides[:1], sides[1:2], float(sides[2]), float(sides[3]))


def _rates_from(true: Floats, false: Floats, positives: float, negatives: float) -> _Rates:
    """Return the rates where rows of such weight are called positive rightly and wrongly."""
    called = true + false
    precision = np.divide(true, called, out=np.zeros(len(true)), where=called > 0)
    recall = true / positives if positives else np.zeros(len(true))
    return _Rates(recall, precision, 1 - false / negatives if negatives else np.zeros(len(true)))


def _measures(rates: _Rates, measure: str) -> tuple[Floats, Floats]:
    """Return a measure and its counterpart."""
    value: Floats = getattr(rates, measure)
    return value, rates.precision if measure == "recall" else rates.recall


def _best(reached: Floats, other: Floats, wanted: float) -> int | None:
    """Return the best cut: the best counterpart among those that reach the wanted value, else the best measure."""
    if not len(reached):
        return None
    if np.any(reached >= wanted):
        return int(np.lexsort((reached, other, reached >= wanted))[-1])
    return int(np.lexsort((other, reached))[-1])


def _shift(network: Network, low: float, high: float) -> float:
    """Return what is added to the bias so that the second class begins midway between two decision values."""
    middle = low + (high - low) / 2
    if not network.is_integer:
        return -middle
    # the least integer that is the second class; with two outputs that wins only if it is larger
    least = math.ceil(middle)
    return 1 - least if network.head == "argmax" else -least


def _shifted(network: Network, shift: float) -> Network:
    """Return a network with a shifted bias of the output of the second class."""
    weights, bias = network.layers[-1]
    bias = bias.copy()
    bias[-1] += int(shift) if network.is_integer else shift
    return replace(network, layers=(*network.layers[:-1], Layer(weights, bias)))


def _missed(point: OperatingPoint) -> str:
    """Return a text that says which values can be reached."""
    listed = ", ".join(f"{value:.3g}" for value in point.reachable[:_MOST_LISTED])
    more = ", …" if len(point.reachable) > _MOST_LISTED else ""
    can = (
        f"its {len(point.reachable) + 1} decision values on them reach {listed}{more} without calling all rows the same"
        if point.reachable
        else "it has only one decision value on them"
    )
    return (
        f"a {point.measure} of {point.wanted:g} for class {point.positive!r} is not reached on the {point.rows} "
        f"held-out rows: {can}. The network with {getattr(point, point.measure):.3g} is kept; networks without hidden "
        f"layer, or with more hidden neurons, have more decision values"
    )
