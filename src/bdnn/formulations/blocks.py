"""Building blocks of the formulations: affine maps of data, products of a binary and a weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.milp import Index, MilpBuilder
from bdnn.network import Floats

Rows = tuple[Index, Floats, Index]
"""CSR arrays (indptr, data, indices) of a block of rows."""


def affine_of_data(points: Any, weights: Index, bias: Index | None) -> Rows:
    """Rows ``Σ_j x_ij W_lj + b_l``, neuron by neuron, within a neuron point by point.

    Parameters
    ----------
    points : csr_matrix of shape (p, n)
        Data; zeros cost nothing.
    weights : ndarray of shape (d, n)
        Columns of W.
    bias : ndarray of shape (d,) or None
        Columns of b, or None without biases.

    Returns
    -------
    tuple
        CSR arrays of d * p rows.
    """
    return combination_of_data(points, [(weights, bias, 1.0)])


def combination_of_data(points: Any, terms: list[tuple[Index, Index | None, float]]) -> Rows:
    """Rows ``Σ_t f_t (Σ_j x_ij W^t_lj + b^t_l)`` for terms (W^t, b^t, f_t); all W^t have shape (d, n)."""
    p, width = points.shape[0], len(terms)
    n_neurons = len(terms[0][0])
    with_bias = terms[0][1] is not None
    entries = np.diff(points.indptr)
    per_row = width * (entries + with_bias)
    start = np.concatenate([[0], np.cumsum(per_row)])
    data = np.empty((n_neurons, start[-1]))
    indices = np.empty((n_neurons, start[-1]), dtype=np.int32)
    # where the entries of term t of each row go, the same for every neuron
    position = np.arange(points.nnz) + np.repeat(start[:-1] - points.indptr[:-1], entries)
    for t, (weights, bias, factor) in enumerate(terms):
        place = position + np.repeat(t * (entries + with_bias), entries)
        data[:, place] = factor * points.data
        for neuron in range(n_neurons):
            indices[neuron, place] = weights[neuron][points.indices]
        if bias is not None:
            last = start[:-1] + (t + 1) * (entries + 1) - 1
            data[:, last] = factor
            indices[:, last] = bias[:, None]
    indptr = np.concatenate([[0], np.cumsum(np.tile(per_row, n_neurons))])
    assert indptr[-1] == n_neurons * start[-1] and len(indptr) == n_neurons * p + 1
    return indptr, data.ravel(), indices.ravel()


def affine_of_products(products: Index, bias: Index | None) -> Rows:
    """Rows ``Σ_j s_ilj + b_l`` for products of shape (p, d, d_in), neuron by neuron, within a neuron point by point."""
    return combination_of_products([(products, bias, 1.0)])


def combination_of_products(terms: list[tuple[Index, Index | None, float]]) -> Rows:
    """Rows ``Σ_t f_t (Σ_j s^t_ilj + b^t_l)`` for terms (s^t of shape (p, d, d_in), b^t, f_t)."""
    parts, coefficients = [], []
    for products, bias, factor in terms:
        p, d, d_in = products.shape
        parts.append(products.transpose(1, 0, 2).reshape(d * p, d_in))
        if bias is not None:
            parts.append(np.repeat(bias, p)[:, None])
        coefficients.append(np.full(d_in + (bias is not None), factor))
    columns, values = np.hstack(parts), np.concatenate(coefficients)
    count, width = columns.shape
    indptr = np.arange(count + 1, dtype=np.int64) * width
    return indptr.astype(np.int32), np.tile(values, count), columns.ravel().astype(np.int32)


def products(builder: MilpBuilder, weights: Index, fired: Index, lower: Floats, upper: Floats) -> Index:
    """Add s_ilj = W_lj u_ij by McCormick rows, exact for binary u (G. P. McCormick, doi:10.1007/BF01580665).

    Parameters
    ----------
    builder : MilpBuilder
        Receives variables and rows.
    weights : ndarray of shape (d, d_in)
        Columns of W.
    fired : ndarray of shape (p, d_in)
        Columns of the binary u.
    lower, upper : ndarray of shape (d, d_in)
        Bounds of W.

    Returns
    -------
    ndarray of shape (p, d, d_in)
        Columns of s.
    """
    shape = (fired.shape[0], *weights.shape)
    low, high = (np.broadcast_to(a, shape) for a in (lower, upper))
    s = builder.variables(shape, np.minimum(low, 0), np.maximum(high, 0))
    w, u = (np.broadcast_to(a, shape) for a in (weights, fired[:, None, :]))
    flat = [a.ravel() for a in (s, w, u, low, high)]

    def add(columns: list[Any], coefficients: list[ArrayLike], row_lower: ArrayLike, row_upper: ArrayLike) -> None:
        values = np.column_stack([np.broadcast_to(np.asarray(c, dtype=float), s.size) for c in coefficients])
        builder.rows(np.column_stack(columns), values, row_lower, row_upper)

    s_, w_, u_, low_, high_ = flat
    add([s_, u_], [1, -high_], -np.inf, 0)  # s <= w̄ u
    if np.any(lower):
        add([s_, u_], [1, -low_], 0, np.inf)  # s >= w̲ u; with w̲ = 0 the bound of s says it
    add([w_, s_, u_], [1, -1, low_], low_, np.inf)  # s <= w - w̲ (1 - u)
    add([w_, s_, u_], [1, -1, high_], -np.inf, high_)  # s >= w - w̄ (1 - u)
    return s
