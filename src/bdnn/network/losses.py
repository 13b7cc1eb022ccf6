"""THE loss: what the outputs of a network cost at a point, and all that follows from it.

An output answers yes or no: with a threshold head it fires or not, with an argmax head it wins or not. Each answer has
a cost, the loss of a point is the sum over the outputs, and training minimizes the weighted sum over the points. A
threshold output costs 1 where it differs from its target, 1 for its class and 0 for others; with an argmax head
the output of the label costs 1 unless it wins. `Loss.of_answers` says so, and everything else follows from it.

Two things are relied on. Costs are integers, without which `step` and the exact sums of an audit are wrong. And with an
argmax head only the label's own output has a cost, which is why a program needs no binary for the other outputs.

Everything in Python that weighs answers calls this module. The compiled search (`native/search`) knows the loss as far
as this: an output costs the `Loss.label_costs` of its own label where it answers no and those of all other labels where
it answers yes. The independent checker (`bdnn.checker`) states the loss on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeVar

import numpy as np

from bdnn.arrays import distinct, row_blocks
from bdnn.types import Bools, Floats, Indices, Reals, Singles

Head = Literal["threshold", "argmax"]

# weights that are no integers count as multiples of a power of 2 up to here: programs whose costs have more digits than
# that gain nothing from integers
_LARGEST_MULTIPLE = 2.0**30

R = TypeVar("R", Floats, Singles)


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of the outputs of a head.

    Parameters
    ----------
    head : {"threshold", "argmax"}
        As in `Network`.
    n_classes : int
        Number of classes.

    Examples
    --------
    >>> loss = Loss("threshold", 3)
    >>> loss.of_fired(np.array([[True, False, False], [True, True, False]]), np.array([0, 2])).tolist()
    [0, 3]
    """

    head: Head
    n_classes: int

    @property
    def n_outputs(self) -> int:
        """Number of outputs: 1 for two classes with a threshold head, else one per class."""
        return 1 if self.head == "threshold" and self.n_classes == 2 else self.n_classes

    @property
    def one_per_point(self) -> bool:
        """Whether the loss of a point depends on its predicted class alone, and is 0 if that is right."""
        return self.head == "argmax" or self.n_outputs == 1

    @property
    def largest(self) -> int:
        """Largest loss of a point."""
        return int(np.maximum(*self.of_answers()).sum(axis=1).max())

    def of_answers(self) -> tuple[Indices, Indices]:
        """Return what the answers of each output cost at a point of each label: the definition of the loss.

        Returns
        -------
        yes, no : ndarray of shape (n_classes, n_outputs)
            Non-negative integers; with an argmax head `yes` is 0, and so is `no` for the outputs of other labels.
        """
        no = self.targets(np.arange(self.n_classes)).astype(np.intp)
        return (np.zeros_like(no) if self.head == "argmax" else 1 - no), no

    def targets(self, codes: Indices) -> Bools:
        """Return which outputs should answer yes, of shape (m, n_outputs), at points with labels of shape (m,)."""
        return np.asarray(codes[:, None] == (1 if self.n_outputs == 1 else np.arange(self.n_outputs)))

    def of_fired(self, fired: Bools, codes: Indices) -> Indices:
        """Return the loss of each point, of shape (m,), from what threshold outputs fire, of shape (m, n_outputs)."""
        yes, no = self.of_answers()
        return np.asarray(np.where(fired, yes[codes], no[codes]).sum(axis=1))

    def of_winners(self, winners: Indices, codes: Indices) -> Indices:
        """Return the loss of each point, of shape (m,), from the winners of an argmax head."""
        return self.of_sure_winners(winners == codes, codes)

    def of_intervals(self, surely: Bools, maybe: Bools, codes: Indices) -> Indices:
        """Return the largest loss of each point from what threshold outputs surely and maybe fire.

        Parameters
        ----------
        surely, maybe : ndarray of shape (m, n_outputs), bool
            Outputs that fire whatever the perturbation, and that fire for some.
        codes : ndarray of shape (m,)
            Index into the classes of each label.

        Returns
        -------
        ndarray of shape (m,)
            Each output counts with its most expensive answer.
        """
        yes, no = (cost[codes] for cost in self.of_answers())
        return np.asarray(np.maximum(np.where(maybe, yes, 0), np.where(surely, 0, no)).sum(axis=1))

    def of_sure_winners(self, right: Bools, codes: Indices) -> Indices:
        """Return the largest loss of each point, given whether its label wins whatever the perturbation."""
        return np.where(right, 0, self._of_missed()[codes])

    def _of_missed(self) -> Indices:
        """Return what it costs at a point of each label, of shape (n_classes,), that its own answer is not given."""
        yes, no = self.of_answers()
        return np.array([yes[0, 0], no[1, 0]]) if self.n_outputs == 1 else np.diagonal(no)

    def label_costs(self, class_weight: R) -> R:
        """Return what it costs at each point that a label misses its own answer: that its output fires, or it wins.

        Parameters
        ----------
        class_weight : ndarray of shape (g, n_classes)
            Total weight of each label at each point, or group of points.

        Returns
        -------
        ndarray of shape (g, n_classes)
            In units of sample weight; of two classes with one output, the first has its own answer where it does not
            fire. It may be `class_weight` itself.
        """
        price = self._of_missed()
        return class_weight if np.all(price == 1) else class_weight * price.astype(class_weight.dtype)

    def wanted(self, of_labels: R) -> R:
        """Return the columns, of shape (g, n_outputs), of the labels at which each output should answer yes."""
        return of_labels[:, 1:] if self.n_outputs == 1 else of_labels

    def costs(self, class_weight: R) -> tuple[R, R]:
        """Return what the answers of each output cost.

        Parameters
        ----------
        class_weight : ndarray of shape (g, n_classes)
            Total weight of each label at each point, or group of points.

        Returns
        -------
        yes, no : ndarray of shape (g, n_outputs)
            In units of sample weight.
        """
        if self.head == "argmax":
            return np.zeros_like(class_weight), self.label_costs(class_weight)
        # not by BLAS, whose order of summation depends on the place of a row
        yes, no = (np.einsum("gc,co->go", class_weight, c.astype(class_weight.dtype)) for c in self.of_answers())
        return yes, no

    def constant_answer(self, label_totals: Floats) -> Bools:
        """Return the answers, of shape (n_outputs,), that cost least where all points, of such weight, have the same.

        Of outputs that compete, the first of the best wins.
        """
        if self.head == "argmax":
            return np.asarray(np.arange(len(label_totals)) == np.argmax(self.label_costs(label_totals[None, :])))
        yes, no = self.costs(label_totals[None, :])
        return np.asarray(no[0] >= yes[0])

    def irreducible(self, class_weight: Floats) -> float:
        """Return the sum of what the best answers at each point cost, for class weights of shape (p, n_classes)."""

        def least() -> Iterator[list[float]]:
            for rows in row_blocks(*class_weight.shape):
                if self.one_per_point:
                    # the losing labels, not a difference, which would round
                    cost = np.sort(self.label_costs(class_weight[rows]), axis=1)[:, :-1]
                else:
                    cost = np.minimum(*self.costs(class_weight[rows]))
                yield cost[cost != 0].tolist()

        return math.fsum(chain.from_iterable(least()))

    def indifferent(self, class_weight: Floats) -> Bools:
        """Return at which points, of shape (p,), every answer costs the same."""
        same = np.full(len(class_weight), self.one_per_point)
        if self.one_per_point:
            cost = self.label_costs(class_weight)
            for column in cost.T[1:]:
                same &= column == cost[:, 0]
        return same

    def preferences(self, class_weight: Floats) -> tuple[Indices, Indices, Floats]:
        """Return the answers that points prefer, and what it costs to give another one.

        Parameters
        ----------
        class_weight : ndarray of shape (p, n_classes)
            Total weight of each label at each point. Where one answer counts per point, the costs of all labels but one
            must be the same.

        Returns
        -------
        point : ndarray of shape (k,)
            Points that prefer something, ascending.
        answer : ndarray of shape (k,)
            Class, where the loss is whether it is wrong; else twice the output, plus 1 if it should fire.
        cost : ndarray of shape (k,)
            In units of sample weight, positive.
        """
        if self.one_per_point:
            missed = self.label_costs(class_weight)
            ordered = np.sort(missed, axis=1)
            difference = ordered[:, -1] - ordered[:, -2]
            point = np.flatnonzero(difference)
            return point, np.argmax(missed, axis=1)[point], difference[point]
        yes, no = self.costs(class_weight)
        gain = no - yes
        point, output = np.nonzero(gain)
        return point, 2 * output + (gain[point, output] > 0), np.abs(gain[point, output])

    def excess_of_fired(self, fired: Bools, class_weight: Floats) -> Floats:
        """Return what threshold outputs cost at each point, of shape (p,), beyond the best answers."""
        yes, no = self.costs(class_weight)
        return np.asarray((np.where(fired, yes, no) - np.minimum(yes, no)).sum(axis=1))

    def excess_of_winners(self, winners: Indices, class_weight: Floats) -> Floats:
        """Return what the winners of an argmax head cost at each point, of shape (p,), beyond the best answers."""
        missed = self.label_costs(class_weight)
        return np.asarray(missed.max(axis=1) - missed[np.arange(len(missed)), winners])


def weighted_terms(weight: Floats, losses: Indices) -> Iterator[float]:
    """Yield numbers whose exact sum is that of the products of weights and losses.

    Parameters
    ----------
    weight : ndarray of shape (m,)
        Sample weights.
    losses : ndarray of shape (m,)
        Losses of the points.

    Yields
    ------
    float
        For `math.fsum`, which rounds once.
    """
    for rows in row_blocks(len(losses), 1):
        w, count = weight[rows], losses[rows]
        if np.all(w == np.rint(w)):
            total = float(w @ count.astype(np.float64))
            # rounded sums of non-negative integers do not decrease, so none on the way was rounded either
            if total < 2.0**53:
                yield total
                continue
        # repeated, not multiplied: fsum rounds once, a product would round before it
        yield from np.repeat(w, count).tolist()


def step(sample_weight: Reals) -> float:
    """Return a number of which every weighted loss is an integer multiple; 0 if there is none.

    Parameters
    ----------
    sample_weight : ndarray of shape (m,)
        Non-negative, not all 0.

    Returns
    -------
    float
        The greatest common divisor of the weights, as far as they are integers times a common power of 2.

    Examples
    --------
    >>> step(np.array([0.5, 1.5, 3.0])), step(np.array([0.1, 0.7]))
    (0.5, 0.0)
    """
    weights = distinct(sample_weight)
    weights = weights[weights > 0]
    # as integers with a common power of 2; real weights have none that is of use
    mantissa, exponent = np.frexp(weights)
    digits = np.ldexp(mantissa, 53).astype(np.int64)
    power = int(np.min(exponent - 53 + np.round(np.log2(digits & -digits)).astype(np.int64), initial=0))
    with np.errstate(over="ignore"):
        scaled = np.ldexp(weights, -power)
    if scaled[-1] < (2.0**53 if power == 0 else _LARGEST_MULTIPLE):
        return math.ldexp(float(math.gcd(*(int(w) for w in scaled))), power)
    return float(weights[0]) if np.all(np.fmod(weights, weights[0]) == 0) else 0.0
