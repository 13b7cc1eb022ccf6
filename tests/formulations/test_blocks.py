"""Blocks of rows say what their formulas say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from bdnn.formulations import blocks
from bdnn.milp.program import MilpBuilder


def value(rows: blocks.Rows, x: np.ndarray) -> np.ndarray:
    indptr, data, indices = rows
    return sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, len(x))) @ x


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def sparse_points(rng: np.random.Generator, p: int, n: int) -> np.ndarray:
    X = rng.normal(size=(p, n)) * (rng.random((p, n)) < 0.6)
    X[0] = 0
    return X


@pytest.mark.parametrize(("p", "n", "d"), [(5, 3, 2), (1, 1, 1), (4, 6, 3), (3, 0, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_affine_maps_of_data(rng, p, n, d, biased):
    X = sparse_points(rng, p, n)
    # columns in an order of their own
    columns = rng.permutation(d * n + d + 3)[: d * (n + 1)].astype(np.int32)
    W, b = columns[: d * n].reshape(d, n), columns[d * n :]
    x = rng.normal(size=d * n + d + 3)
    found = value(blocks.affine_of_data(sp.csr_matrix(X), W, b if biased else None), x)
    expected = X @ x[W].T + (x[b] if biased else 0)
    np.testing.assert_allclose(found.reshape(d, p), expected.T, atol=1e-12)


def test_zeros_of_the_data_cost_nothing(rng):
    X = sparse_points(rng, 6, 5)
    indptr, data, indices = blocks.affine_of_data(sp.csr_matrix(X), np.arange(10, dtype=np.int32).reshape(2, 5), None)
    assert indptr[-1] == len(data) == len(indices) == 2 * np.count_nonzero(X)


@pytest.mark.parametrize("biased", [True, False])
def test_combinations_of_affine_maps_of_data(rng, biased):
    X = sparse_points(rng, 5, 4)
    W, b = np.arange(24, dtype=np.int32).reshape(3, 2, 4), np.arange(24, 30, dtype=np.int32).reshape(3, 2)
    x, factors = rng.normal(size=30), [2.0, -1.0, 0.5]
    terms = [(W[t], b[t] if biased else None, factors[t]) for t in range(3)]
    found = value(blocks.combination_of_data(sp.csr_matrix(X), terms), x)
    expected = sum(f * (X @ x[W[t]].T + biased * x[b[t]]) for t, f in enumerate(factors))
    np.testing.assert_allclose(found.reshape(2, 5), expected.T, atol=1e-12)


@pytest.mark.parametrize("biased", [True, False])
def test_affine_maps_and_combinations_of_products(rng, biased):
    s = rng.permutation(2 * 4 * 2 * 3).astype(np.int32).reshape(2, 4, 2, 3)
    b = np.arange(48, 52, dtype=np.int32).reshape(2, 2)
    x = rng.normal(size=52)
    each = [x[s[t]].sum(axis=2) + biased * x[b[t]] for t in range(2)]
    found = value(blocks.affine_of_products(s[0], b[0] if biased else None), x)
    np.testing.assert_allclose(found.reshape(2, 4), each[0].T, atol=1e-12)
    terms = [(s[t], b[t] if biased else None, f) for t, f in enumerate((1.0, -3.0))]
    found = value(blocks.combination_of_products(terms), x)
    np.testing.assert_allclose(found.reshape(2, 4), (each[0] - 3 * each[1]).T, atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-3.0, 2.0), (-2.0, 0.0), (1.0, 4.0)])
def test_products_are_exact_where_the_binary_is_0_or_1(low, high):
    builder = MilpBuilder()
    W = builder.variables((2, 3), low, high)
    u = builder.variables((4, 3), 0, 1, integer=True)
    s = blocks.products(builder, W, u, np.full((2, 3), low), np.full((2, 3), high))
    assert s.shape == (4, 2, 3)
    milp = builder.build()
    rng = np.random.default_rng(1)
    for extreme in (low, high, None):
        x = np.zeros(milp.n_columns)
        x[W] = rng.uniform(low, high, (2, 3)) if extreme is None else extreme
        x[u] = rng.integers(0, 2, (4, 3))
        x[s] = x[W] * x[u][:, None, :]
        assert milp.violation(x) < 1e-12
        for i, neuron, j in itertools.product(range(4), range(2), range(3)):
            for change in (-0.01, 0.01):
                other = x.copy()
                other[s[i, neuron, j]] += change
                assert milp.violation(other) > 0.009, (i, neuron, j, change)


def test_products_are_bounded_where_the_binary_is_relaxed():
    # the convex hull of {(w, u, w u)}: at u = 1/2 and w in the middle, s lies in [w̲/2, w̄/2]
    builder = MilpBuilder()
    W, u = builder.variables((1, 1), -1, 1), builder.variables((1, 1), 0, 1)
    s = blocks.products(builder, W, u, np.full((1, 1), -1.0), np.full((1, 1), 1.0))
    milp = builder.build()
    for value_of_s, feasible in [(0.5, True), (-0.5, True), (0.51, False), (-0.51, False)]:
        x = np.zeros(3)
        x[W], x[u], x[s] = 0.0, 0.5, value_of_s
        assert (milp.violation(x) < 1e-12) == feasible
