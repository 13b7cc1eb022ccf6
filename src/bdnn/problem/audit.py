"""The audit: the loss of a network on its training data, recomputed with exact signs, beside what the solver said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import BDNNError, InputError
from bdnn.network.intervals import robust_losses, unstable_points
from bdnn.network.losses import weighted_terms

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Audit:
    """Sign-exact loss of a network on all training points.

    Attributes
    ----------
    loss : float
        Weighted training loss, in units of sample weight; the robust loss if the problem has a radius. With the robust
        model "pattern" infinity for a network that is not one of it: a hidden neuron of the first layer changes on the
        ball of a training point.
    n_wrong : int
        Training points whose predicted class is wrong, unweighted.
    n_rational : int
        Signs that floating point could not decide and rational arithmetic did.
    solver_loss : float or None
        Loss that the solver reported for this network, None if no solver proposed it.
    n_mismatched : int
        In the audit of a whole run: how many of the solver's solutions had a larger loss than it reported.
    """

    loss: float
    n_wrong: int
    n_rational: int
    solver_loss: float | None = None
    n_mismatched: int = 0

    @property
    def mismatch(self) -> bool:
        """Whether the solver promised a smaller loss than the network has.

        The converse, a network that is better than the solver knows, is no error: a program may count a point as wrong
        that is right by less than the margin.
        """
        # solvers may promise a little less than 0 and mean 0
        return self.solver_loss is not None and self.loss > max(0.0, self.solver_loss) + 1e-6 * self.loss


def audit(network: Network, problem: Problem, solver_loss: float | None = None) -> Audit:
    """Evaluate a network on the training data of a problem with exact signs.

    Parameters
    ----------
    network : Network
        Its classes must be those of the problem, and its columns, if both have names.
    problem : Problem
        Data, labels and sample weights.
    solver_loss : float or None
        What a solver reported, to be compared.

    Returns
    -------
    Audit
        The loss is the correctly rounded sum of the exact products of weights and losses.

    Raises
    ------
    InputError
        If the network does not fit the problem.
    BDNNError
        If the network breaks a limit of the problem on its features or on the signs of its weights.
    """
    network = network.for_columns(problem.feature_names)
    weight = np.asarray(problem.sample_weight)
    # a problem checks its data: they are finite
    X, codes = np.asarray(problem.X), problem.codes
    if X.shape[1] != network.n_features:
        raise InputError(f"inputs must have shape (m, {network.n_features}), got {X.shape}")
    if broken := problem.limits.violation(network):
        raise BDNNError(f"a network that is not of the problem's class cannot be audited: {broken}")
    n_wrong = n_rational = 0

    def terms() -> Iterator[float]:
        # no array as long as the data: they may fill most of the memory
        nonlocal n_wrong, n_rational
        for rows, losses, more in network.losses_by_block(X, codes):
            wrong = losses if network.loss.one_per_point else network.predict_index(X[rows]) != codes[rows]
            n_wrong += int(np.count_nonzero(wrong))
            n_rational += more
            yield from weighted_terms(weight[rows], losses)

    loss = math.fsum(terms())
    if problem.robust:
        radius = np.asarray(problem.robust_radius)
        losses, n_rational = robust_losses(network, X, codes, radius, problem.robust_norm, problem.robust_model)
        if problem.robust_model == "pattern" and len(network.layers) > 1:
            used = weight > 0
            if unstable_points(network, X[used], radius, problem.robust_norm).any():
                return Audit(math.inf, n_wrong, n_rational, solver_loss)
        loss = math.fsum(weighted_terms(weight, losses))
    return Audit(loss, n_wrong, n_rational, solver_loss)
