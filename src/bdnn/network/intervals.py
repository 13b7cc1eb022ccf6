"""Exact robust losses: what neurons do for every perturbation of an input within a radius.

A neuron of the first layer is *stable active* if it fires on the whole ball around a point, *stable inactive* if it
fires nowhere there, and otherwise *unstable*; docs/mathematics/robust.md says how that is decided. Deeper layers
see lower and upper activations: in the lower bound positive weights take the lower activations and negative weights
the upper ones.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.arrays import row_blocks
from bdnn.exact import signs
from bdnn.network.grid import grid_box

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Bools, Floats, Indices, Norm, Reals, RobustModel


def dual_norm(weights: Floats, norm: Norm) -> Floats:
    """Return the dual norms of rows: the 1-norm for balls of norm "inf", the largest entry for "1", the 2-norm for "2".

    Parameters
    ----------
    weights : ndarray of shape (d, n)
        Rows.
    norm : {"inf", "1", "2"}
        Norm of the ball.

    Returns
    -------
    ndarray of shape (d,)
        Largest value of w·δ over ‖δ‖ <= 1, rounded.

    Examples
    --------
    >>> [dual_norm(np.array([[3.0, -4.0]]), norm).tolist() for norm in ("inf", "1", "2")]
    [[7.0], [4.0], [5.0]]
    """
    size = np.abs(weights)
    if norm == "inf":
        return np.asarray(size.sum(axis=1))
    if norm == "1":
        return np.asarray(size.max(axis=1, initial=0.0))
    return np.asarray(np.linalg.norm(size, axis=1))


def _first_layer(network: Network, X: Floats, radius: Floats, norm: Norm) -> tuple[Bools, Bools, int]:
    """Return which neurons surely fire, which may fire, each of shape (m, d), and the number of exact decisions."""
    weights, bias = (a.astype(np.float64) for a in network.layers[0])
    if network.grid is not None:
        low, high = grid_box(network.grid, X, radius)
        return _bounds(low, high, weights, bias)
    out = signs.affine(X, weights, bias)
    reach = dual_norm(weights * radius, norm)
    error = (0.0 if out.radius is None else out.radius) + (X.shape[1] + 4) * 4 * signs.UNIT_ROUNDOFF * (
        reach + np.abs(out.values)
    )
    error = error + 1e-300
    on, off = out.values - reach > error, out.values + reach < -error
    constant = ~np.any(weights != 0, axis=1)  # such a value is the bias itself
    on[:, constant], off[:, constant] = bias[constant] >= 0, bias[constant] < 0
    doubtful = np.argwhere(~on & ~off & ((out.values - reach >= -error) | (out.values + reach <= error)))
    reaches: dict[int, Fraction] = {}
    for i, j in doubtful.tolist():
        if j not in reaches:
            reaches[j] = _exact_reach(weights[j], radius, norm)
        exact = signs.rational(X[i], weights[j], bias[j])
        size = exact * exact if norm == "2" else abs(exact)
        on[i, j] = exact >= 0 and size >= reaches[j]
        off[i, j] = exact < 0 and size > reaches[j]
    return on, ~off, out.n_rational + len(doubtful)


def _exact_reach(weights: Floats, radius: Floats, norm: Norm) -> Fraction:
    """Return ‖r ∘ w‖_*; its square for the norm "2"."""
    terms = [abs(Fraction(w) * Fraction(r)) for w, r in zip(weights.tolist(), radius.tolist(), strict=True)]
    if norm == "1":
        return max(terms, default=Fraction(0))
    return sum((t * t for t in terms) if norm == "2" else terms, Fraction(0))


def _bounds(low: Floats, high: Floats, weights: Floats, bias: Floats) -> tuple[Bools, Bools, int]:
    """Return which neurons fire for all, and for some, inputs between `low` and `high`."""
    split = np.hstack([np.maximum(weights, 0.0), np.minimum(weights, 0.0)])
    least = signs.affine(np.hstack([low, high]), split, bias)
    most = signs.affine(np.hstack([high, low]), split, bias)
    return least.values >= 0, most.values >= 0, least.n_rational + most.n_rational


def robust_losses(
    network: Network, X: Reals, codes: Indices, radius: Floats, norm: Norm, model: RobustModel = "interval"
) -> tuple[Indices, int]:
    """Return the robust loss of each point: an upper bound on its loss under every perturbation.

    Parameters
    ----------
    network : Network
        Any.
    X : ndarray of shape (m, n)
        Raw inputs.
    codes : ndarray of shape (m,)
        Index into the network's classes of each label.
    radius : ndarray of shape (n,)
        Radius of each feature: perturbations δ with ‖δ / r‖ <= 1 (and δ_j = 0 where r_j = 0).
    norm : {"inf", "1", "2"}
        Norm of the ball.
    model : {"interval", "pattern", "worst_case"}
        "interval": outputs are decided by three-valued propagation. "pattern" (the paper): a point on whose ball a
        hidden neuron of the first layer is not constant counts as wrong in every output. "worst_case" is bounded by
        "interval", which is what is returned; `bdnn.certify` decides it.

    Returns
    -------
    losses : ndarray of shape (m,)
        Threshold head: outputs that are not surely as they should be. Argmax head: 1 unless surely right.
    n_rational : int
        Number of signs decided by rational arithmetic.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, robust optimization.
    """
    losses, n_rational = np.empty(len(X), dtype=np.intp), 0
    # intervals take two numbers per signal
    for rows in row_blocks(len(X), 2 * max(network.n_features, *network.widths)):
        block = X[rows].astype(np.float64, copy=False)
        losses[rows], more = _robust_losses(network, block, codes[rows], radius, norm, model)
        n_rational += more
    return losses, n_rational


def unstable_points(network: Network, X: Reals, radius: Floats, norm: Norm) -> Bools:
    """Return for each point whether a neuron of the first layer changes on its ball.

    Parameters
    ----------
    network : Network
        Any.
    X : ndarray of shape (m, n)
        Raw inputs.
    radius : ndarray of shape (n,)
        Radius of each feature.
    norm : {"inf", "1", "2"}
        Norm of the ball.

    Returns
    -------
    ndarray of shape (m,), bool
        Decided exactly.
    """
    found = np.zeros(len(X), dtype=bool)
    for rows in row_blocks(len(X), 2 * max(network.n_features, network.widths[0])):
        on, maybe, _ = _first_layer(network, X[rows].astype(np.float64, copy=False), radius, norm)
        found[rows] = (on != maybe).any(axis=1)
    return found


def _robust_losses(
    network: Network, X: Floats, codes: Indices, radius: Floats, norm: Norm, model: RobustModel
) -> tuple[Indices, int]:
    """Return the robust losses of points that are few enough to be worked on at once."""
    on, maybe, n_rational = _first_layer(network, X, radius, norm)
    unstable = (on != maybe).any(axis=1)
    if len(network.layers) == 1 and network.head == "argmax":
        losses, more = _argmax_of_inputs(network, X, codes, radius, norm)
        return losses, n_rational + more
    thresholded = network.layers[1:-1] if network.head == "argmax" else network.layers[1:]
    for weights, bias in thresholded:
        low, high = on.astype(np.float64), maybe.astype(np.float64)
        on, maybe, more = _bounds(low, high, weights.astype(np.float64), bias.astype(np.float64))
        n_rational += more
    if network.head == "argmax":
        right, more = _argmax_right(network, on.astype(np.float64), maybe.astype(np.float64), codes)
        losses, n_rational = network.loss.of_sure_winners(right, codes), n_rational + more
    else:
        losses = network.loss.of_intervals(on, maybe, codes)
    if model == "pattern" and len(network.layers) > 1:
        losses = np.where(unstable, network.loss.largest, losses)
    return losses, n_rational


def _argmax_right(network: Network, low: Floats, high: Floats, codes: Indices) -> tuple[Bools, int]:
    """Return whether the label's output wins for all inputs of the last layer between `low` and `high`."""
    weights, bias = (a.astype(np.float64) for a in network.layers[-1])
    right, n_rational = np.ones(len(codes), dtype=bool), 0
    for c in np.unique(codes):
        rows = np.flatnonzero(codes == c)
        for other in range(len(bias)):
            if other == c:
                continue
            # the sign of a rounded difference of two doubles is right
            worst = np.where(weights[c] > weights[other], low[rows], high[rows])
            ones = np.ones((len(rows), 2))
            row = np.concatenate([weights[c], -weights[other], [bias[c], -bias[other]]])[None, :]
            out = signs.affine(np.hstack([worst, worst, ones]), row, np.zeros(1))
            right[rows] &= out.values[:, 0] >= 0 if c < other else out.values[:, 0] > 0
            n_rational += out.n_rational
    return right, n_rational


def _argmax_of_inputs(network: Network, X: Floats, codes: Indices, radius: Floats, norm: Norm) -> tuple[Indices, int]:
    """Return the losses of an argmax head without a hidden layer, whose outputs are compared directly on the ball."""
    weights, bias = (a.astype(np.float64) for a in network.layers[0])
    if network.grid is not None:
        low, high = grid_box(network.grid, X, radius)
        right, n_rational = _argmax_right(network, low, high, codes)
        return network.loss.of_sure_winners(right, codes), n_rational
    right, n_rational = np.ones(len(codes), dtype=bool), 0
    for i, c in enumerate(codes.tolist()):
        for other in range(len(bias)):
            if other == c or not right[i]:
                continue
            terms = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(weights[c], weights[other], strict=True)]
            value = sum((t * Fraction(float(v)) for t, v in zip(terms, X[i], strict=True)), Fraction(0))
            value += Fraction(float(bias[c])) - Fraction(float(bias[other]))
            sizes = [abs(t * Fraction(float(r))) for t, r in zip(terms, radius, strict=True)]
            if norm == "2":
                reach, size = sum((s * s for s in sizes), Fraction(0)), value * value
            else:
                reach = sum(sizes, Fraction(0)) if norm == "inf" else max(sizes, default=Fraction(0))
                size = value
            right[i] = value >= 0 and (size >= reach if c < other else size > reach)
            n_rational += 1
    return network.loss.of_sure_winners(right, codes), n_rational
