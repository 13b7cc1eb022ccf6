"""Exact training without hidden layer on few features: all halfspaces of the points, see `native/enumeration`.

A threshold output divides the points by a halfspace. Of m points with n features there are at most
``2 Σ_k C(m - 1, k)`` ways to do so, k from 0 to n (T. M. Cover, doi:10.1109/PGEC.1965.264137). Each comes from a
hyperplane through n independent points, with the points on it divided by a halfspace of it in turn. They are gone
through by hyperplanes that turn about n - 1 points, which takes ``C(m, n - 1) m`` looks at a point, whatever the labels
and the weights. Columns that are affine functions of others add no halfspaces and do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn._native.search import halfspaces
from bdnn.branch_and_cut import alternative
from bdnn.clock import reading
from bdnn.exact.independence import independent_columns
from bdnn.exact.separability import separates
from bdnn.network.network import Layer

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices, Integers

MAX_FEATURES = 4
"""Independent features of points, as the compiled core takes them."""
# columns among which independent ones are sought, and points: dependence is decided in fractions
_MAX_COLUMNS, _MAX_POINTS = 16, 200_000
# bits between the first and the last digit of a column: what the compiled core takes, less some for moved origins
_MAX_BITS = 250
# sums of costs in units: far enough from the 2^52 that the compiled core takes
_LARGEST_SUM = 2.0**50
# relative error of a sum of such costs that are not whole numbers of units
_SUM_ERROR = 1e-12
# seconds for a look at a point, measured with 5,000 points of two features and 700 of three, and for each point
_PER_LOOK, _PER_POINT = 6e-9, 1e-6
# price of residuals, and pivots, of the linear program that finds weights, as in `bdnn.branch_and_cut.cuts`
_RESIDUAL, _PIVOTS = 100.0, 100_000
# seconds between reports
_REPORT = 0.2

UNFINISHED = "the time limit passed before all halfspaces were seen"


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What outputs cost at points, in whole numbers of units.

    Attributes
    ----------
    gain : ndarray of shape (m, n_outputs), int64
        What it costs that an output is on, less what it costs that it is off.
    base : int
        What it costs that all outputs are off.
    unit : float
        Of the loss.
    constant : float
        Loss that all networks have.
    exact : bool
        Whether costs are whole numbers of units; else they are rounded down.
    """

    gain: Integers
    base: int
    unit: float
    constant: float
    exact: bool

    @classmethod
    def of(cls, reduced: Presolved) -> Costs:
        """Return the costs of a problem; whichever the head, one output decides between two classes."""
        loss, weight = reduced.problem.loss, reduced.class_weight
        if len(reduced.problem.classes) == 2:
            missed = loss.label_costs(weight)
            on, off = missed[:, :1], missed[:, 1:]
        else:
            on, off = loss.costs(weight)
        step, total = reduced.loss_step, float(on.sum() + off.sum())
        exact = step > 0 and total / step < _LARGEST_SUM
        unit = step if exact else total / _LARGEST_SUM
        costs_on, costs_off = ((np.rint if exact else np.floor)(cost / unit).astype(np.int64) for cost in (on, off))
        return cls(costs_on - costs_off, int(costs_off.sum()), unit, reduced.constant, exact)

    def target(self, best: float) -> int:
        """Return a loss that is to be beaten, in units."""
        target = (best - self.constant) / self.unit
        return round(target) if self.exact else math.ceil(target)

    def bound(self, cost: int) -> float:
        """Return the loss that a cost in units comes to at least."""
        return self.constant + cost * self.unit * (1.0 if self.exact else 1.0 - _SUM_ERROR)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """All ways in which each output can divide the points of a problem.

    Attributes
    ----------
    reduced : Presolved
        The problem, which `covers` has nothing against.
    columns : ndarray of shape (k,)
        Independent ones among the used columns.
    points : ndarray of shape (k, m)
        Raw inputs by column.
    costs : Costs
        Of the outputs at the points.
    """

    reduced: Presolved
    columns: Indices
    points: Floats
    costs: Costs

    @classmethod
    def of(cls, reduced: Presolved) -> Arrangement:
        """Return the arrangement of a problem that is covered."""
        columns = independent(reduced)
        assert columns is not None
        points = np.ascontiguousarray(_raw_columns(reduced)[:, columns].T)
        return cls(reduced, columns, points, Costs.of(reduced))

    @property
    def seconds(self) -> float:
        """About how many seconds it takes to see all halfspaces."""
        k, m = self.points.shape
        return float(self.costs.gain.shape[1] * m * (_PER_LOOK * math.comb(m, max(k - 1, 0)) + _PER_POINT))

    def search(self, best: float, proceed: Callable[[], bool]) -> tuple[bool, float, Network | None]:
        """Go through all halfspaces.

        Parameters
        ----------
        best : float
            Loss to be beaten.
        proceed : callable
            Asked several times a second whether to go on.

        Returns
        -------
        finished : bool
            Whether all were seen.
        bound : float
            If so, no network has a smaller loss.
        network : Network or None
            The best that was found, if its loss is less than `best` and floats can divide the points so.
        """
        single = self.costs.gain.shape[1] == 1
        # of several outputs each has to be found, and 0, what an output costs that is always off, is less than 1
        least = self.costs.target(best) - self.costs.base if single else 1
        found, sides, finished = 0, [], True
        for gain in self.costs.gain.T:
            inside = np.zeros(len(gain), dtype=np.uint8)
            finished, value = halfspaces(self.points, np.ascontiguousarray(gain), inside, least, proceed)
            if not finished and not single:
                return False, 0.0, None
            found += value
            sides.append(inside.astype(bool))
        bound = self.costs.bound(self.costs.base + found)
        return finished, bound, None if single and found >= least else self._network(sides)

    def _network(self, sides: list[Bools]) -> Network | None:
        """Return the network whose outputs are on at the given points; None if no floats were found that do it."""
        points = self.reduced.X[:, self.columns]
        weights = np.zeros((len(sides), len(self.reduced.kept)))
        bias = np.zeros(len(sides))
        for k, side in enumerate(sides):
            found = separator(points, side)
            if found is None:
                return None
            weights[k, self.columns], bias[k] = found[:-1], found[-1]
        if self.reduced.problem.head == "argmax":  # the second class against the first, whose score is 0
            weights, bias = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, bias)
        return self.reduced.to_network([Layer(weights, bias)])


def covers(reduced: Presolved) -> str:
    """Return why the halfspaces of a problem cannot be gone through, or an empty string."""
    return "hidden layers" if reduced.problem.hidden_layer_sizes else refused(reduced, MAX_FEATURES)


def refused(reduced: Presolved, most: int) -> str:
    """Return what keeps the points of a problem from being divided in all ways by so many columns at most, if any."""
    problem = reduced.problem
    reasons = {
        "integer weights": problem.weights != "continuous",
        "an argmax head over more than two classes": problem.head == "argmax" and len(problem.classes) > 2,
        "no biases": not problem.fit_intercept,
        "a regularizer": problem.regularizer is not None,
        "a robust radius": problem.robust,
        "limits on columns": bool(problem.limits),
        f"more than {_MAX_COLUMNS} columns": len(reduced.kept) > _MAX_COLUMNS,
        f"more than {_MAX_POINTS} points": reduced.n_points > _MAX_POINTS,
    }
    for what, given in reasons.items():
        if given:
            return what
    columns = independent(reduced, most)
    if columns is None:
        return f"more than {most} independent columns"
    if any(_n_bits(column) > _MAX_BITS for column in _raw_columns(reduced)[:, columns].T):
        return "numbers whose digits are so far apart"
    return ""


class FewFeatures(Protocol):
    """All networks of a problem with few features."""

    @property
    def seconds(self) -> float:
        """About how many seconds it takes to see them all."""
        ...

    def search(self, best: float, proceed: Callable[[], bool]) -> tuple[bool, float, Network | None]:
        """Go through them; see `Arrangement.search`."""
        ...


def see_all(run: Run, arrangement: FewFeatures, budget: Budget) -> str:
    """Submit the best network of an arrangement and raise the bound to its loss; return why that ended.

    Parameters
    ----------
    run : Run
        With a best network.
    arrangement : FewFeatures
        Of its problem.
    budget : Budget
        Limits of this work. A limit leaves the bound as it was.
    """
    if run.closed:
        run.covers(run.reduced.scope)
        return "nothing left to improve"
    reported = reading()

    def proceed() -> bool:
        nonlocal reported
        if reading() - reported > _REPORT:
            reported = reading()
            run.report()
        return not budget.exhausted

    with run.phase("solve", "enumerate"):
        finished, bound, network = arrangement.search(run.incumbent.objective, proceed)
    if network is not None:
        run.submit(network, "enumeration", bound)
    if not finished:
        return UNFINISHED
    run.restore_bound(bound)
    if bound > run.reduced.irreducible or run.closed:
        run.covers(run.reduced.scope)
    return "optimal" if run.closed else "no floats were found that divide the points as the best real weights do"


def _raw_columns(reduced: Presolved) -> Floats:
    return np.asarray(reduced.raw_points[:, reduced.kept], dtype=np.float64)


def independent(reduced: Presolved, most: int = MAX_FEATURES) -> Indices | None:
    """Return the columns that count, None if they are more than `most`."""
    return independent_columns(_raw_columns(reduced), most)


def _n_bits(column: Floats) -> int:
    """Return how many bits there are between the first digit of the largest value and the last of any."""
    mantissa, exponent = np.frexp(column[column != 0])
    digits = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    last = exponent - 53 + np.rint(np.log2(digits & -digits)).astype(np.int64)
    return int(exponent.max() - last.min()) if len(last) else 0


def separator(points: Floats, side: Bools) -> Floats | None:
    """Return weights and bias that are positive at some points and negative at the others, if floats are found."""
    rows = np.where(side, 1.0, -1.0)[:, None] * np.column_stack([points, np.ones(len(points))])
    if side.all() or not side.any():
        return np.append(np.zeros(points.shape[1]), 1.0 if side.all() else -1.0)
    program, zero = alternative.alternative(rows), np.zeros(len(rows))
    places, sizes = np.zeros((1, rows.shape[1] + 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    alternative.separate(program, zero, _RESIDUAL, zero, 0.5, _PIVOTS, places, sizes, 0, None)
    weights: Floats = -program.prices[:-1]
    return weights if separates(weights, rows) else None
