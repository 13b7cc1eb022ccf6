"""Networks near the solutions of linear programs: their neurons meet what these ask for, and then descend.

A solution of the relaxation says which requirements on each neuron are given up, and how far. Neurons that meet the
others best by least squares are starts that are good and differ from node to node, and many short descents find better
networks than one long search. How much time they get depends on the gap, and on how long they have brought nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.clock import reading

if TYPE_CHECKING:
    from bdnn.branch_and_cut.program import Program
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Floats

# share of the time while there is no bound at all, and starts without success by which it is halved
_SHARE, _PATIENCE = 0.25, 100
# what a requirement that is given up still counts, and a ridge
_GIVEN_UP, _RIDGE = 1e-3, 1e-9
# estimate of the seconds of the first descent, how much longer than the last one the next may take, and the most of
# any, as nobody can stop it; and what a node counts at most, as other work comes between them
_FIRST, _LONGER, _MOST, _NODE = 0.05, 2.0, 0.5, 0.5


class Descend(Protocol):
    """Descends from a network; `bdnn.search.descents.Descents` is one."""

    def __call__(self, start: Network, number: int, seconds: float) -> Network | None:
        """Return a network that is better than all that it has returned before, or None; numbers vary the descent."""
        ...


MakeDescend = Callable[["Presolved", int], Descend]
"""Gives descents for a problem and a seed."""


class Guide:
    """Makes networks of the solutions of linear programs, and watches over the time.

    Parameters
    ----------
    descend : Descend
        On the same points.
    """

    def __init__(self, descend: Descend) -> None:
        self._descend = descend
        self._number = self._failures = 0
        self._worked = self._spent = 0.0
        self._last, self._each = reading(), _FIRST

    def network(self, program: Program, x: Floats, gap: float) -> Network | None:
        """Return a network that is better than all before, or None, as mostly, if there is none or it is not the time.

        Parameters
        ----------
        program : Program
            Of an output function.
        x : ndarray of shape (v,)
            A solution of its relaxation.
        gap : float
            Of the proof, from 0 to 1.
        """
        began = reading()
        self._worked += min(began - self._last, _NODE)
        self._last = began
        share = _SHARE * gap / (1.0 + self._failures / _PATIENCE)
        if self._spent + self._each > share * self._worked:
            return None
        rows = program.points.rows
        start = program.network(_meeting(rows, 1.0 - x[program.columns][program.points.row_requirement]))
        found = self._descend(start, self._number, min(max(_LONGER * self._each, _FIRST), _MOST))
        self._number += 1
        self._failures = self._failures + 1 if found is None else 0
        self._last = reading()
        self._each = self._last - began
        self._spent += self._each
        return found


def guide_of(reduced: Presolved, seed: int, make_descend: MakeDescend | None) -> Guide | None:
    """Return a guide; None without hidden layer, where the search of weights finds what there is."""
    if make_descend is None or not reduced.problem.hidden_layer_sizes:
        return None
    return Guide(make_descend(reduced, seed))


def _meeting(rows: Floats, weight: Floats) -> Floats:
    """Return for each neuron the weights whose products with signed rows are nearest to 1, by least squares."""
    weights = np.empty((weight.shape[1], rows.shape[1]))
    ridge = _RIDGE * len(rows) * np.eye(rows.shape[1])
    for neuron in range(len(weights)):
        weighted = rows * (weight[:, neuron, None] + _GIVEN_UP)
        weights[neuron] = np.linalg.lstsq(weighted.T @ rows + ridge, weighted.sum(axis=0))[0]
    return weights
