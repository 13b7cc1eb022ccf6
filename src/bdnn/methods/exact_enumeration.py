"""Exact training of one neuron of small integers on few inputs: all weights, each with the best bias.

For given weights the best bias comes from the sorted sums; most weights are done with after a look at sums in buckets,
see `native/search/integer_neurons.hpp`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.search import integer_neurons
from bdnn.network.network import Layer

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Indices, Integers

# sums that the compiled core takes
_LARGEST_SUM = 2**30
# seconds for weights, whatever the points, and for each of these
_PER_WEIGHTS, _PER_POINT = 1e-7, 8e-10
# weights between looks at the clock: less than a tenth of a second
_AT_ONCE = 100_000
# weights that are more than a processor sees in a year
_TOO_MANY = 1e15


def covers(reduced: Presolved) -> str:
    """Return why the weights of a problem cannot be gone through one by one, or an empty string."""
    problem = reduced.problem
    refused = {
        "continuous weights": problem.weights != "integer",
        "hidden layers": bool(problem.hidden_layer_sizes),
        "several outputs": problem.n_outputs > 1,
        "no biases": not problem.fit_intercept,
        "a regularizer": problem.regularizer is not None,
        "a robust radius": problem.robust,
        "sample weights without a common unit": not reduced.loss_step,
    }
    for what, given in refused.items():
        if given:
            return what
    reach = float(np.abs(reduced.X).max(axis=0, initial=0.0).sum()) * problem.weight_bound
    if max(reach, float(reduced.class_weight.sum()) / reduced.loss_step) >= _LARGEST_SUM:
        return "numbers that are so large"
    return ""


def seconds_of_weights(reduced: Presolved) -> float:
    """Return about how many seconds all weights of all inputs take."""
    count = float(np.log(_n_values(reduced, np.arange(len(reduced.kept)))).sum())
    return math.inf if count > math.log(_TOO_MANY) else math.exp(count) * _seconds_each(reduced)


def seconds_of_choices(reduced: Presolved, columns: list[Indices], most: int, *, nonzero: bool) -> float:
    """Return about how many seconds all weights of all choices of so many columns take.

    Parameters
    ----------
    reduced : Presolved
        The problem.
    columns : list of ndarray
        Places among the used inputs of the inputs of each column.
    most : int
        Columns of a choice.
    nonzero : bool
        Whether weights of 0 are left out, and choices of fewer columns gone through as well.
    """
    # logarithms, as products may be too large: of the sum over the choices of the product over their columns
    total = [0.0, *[-math.inf] * most]
    for inputs in columns:
        count = float(np.log(_n_values(reduced, inputs) - nonzero).sum())
        for k in range(most, 0, -1):
            total[k] = float(np.logaddexp(total[k], total[k - 1] + count))
    count = float(np.logaddexp.reduce(total)) if nonzero else total[most]
    return math.inf if count > math.log(_TOO_MANY) else math.exp(count) * _seconds_each(reduced)


def best_integers(
    reduced: Presolved, best: float, proceed: Callable[[], bool], *, nonzero: bool = False
) -> tuple[bool, float, Network | None]:
    """Go through all weights of a problem.

    Parameters
    ----------
    reduced : Presolved
        One that `covers` has nothing against.
    best : float
        Loss to be beaten, a multiple of the loss step.
    proceed : callable
        Asked several times a second whether to go on.
    nonzero : bool, default=False
        Whether weights of 0 are left out.

    Returns
    -------
    finished : bool
        Whether all weights were seen.
    loss : float
        The least loss found, or `best`.
    network : Network or None
        One with less than `best`.
    """
    problem, unit = reduced.problem, reduced.loss_step
    signs, P = problem.limits.signs[reduced.kept], problem.weight_bound
    # of a weight with a sign one end is the least that it may be
    low, high = (np.where(signs * side >= 0, side * P, -side * nonzero).astype(np.int32) for side in (-1, 1))
    on, off = problem.loss.costs(reduced.class_weight)
    gain = np.rint((on - off).ravel() / unit).astype(np.int32)
    X = np.ascontiguousarray(np.rint(reduced.X).astype(np.int32).T)
    base = float(off.sum()) + reduced.constant
    least = target = round((best - base) / unit)
    weights, found = low.copy(), np.zeros(len(low) + 1, dtype=np.int64)
    more = True
    while more and proceed():
        more, least = integer_neurons(X, gain, low, high, weights, found, least, _AT_ONCE, nonzero)
    if least >= target:
        return not more, best, None
    layer = Layer(found[None, :-1].astype(np.float64), found[-1:].astype(np.float64))
    return not more, base + least * unit, reduced.to_network([layer])


def _n_values(reduced: Presolved, inputs: Indices) -> Integers:
    """Return how many values the weight of each of some inputs may have."""
    signed = reduced.problem.limits.signs[reduced.kept[inputs]] != 0
    return np.where(signed, 1, 2) * reduced.problem.weight_bound + 1


def _seconds_each(reduced: Presolved) -> float:
    return _PER_WEIGHTS + _PER_POINT * reduced.n_points
