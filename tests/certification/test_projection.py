"""Nearest points of polyhedra against a second solver, where weights differ by many orders of magnitude."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from bdnn._native.certify import scatter
from bdnn.certification.projection import nearest
from bdnn.certification.support import INF, ONE


def by_program(norm, W, alpha, low, high):
    """Distance of the nearest point, by HiGHS: of the parts of the move up and down, and their largest, or sum."""
    k, n = W.shape
    both = sparse.hstack([sparse.eye_array(n), sparse.eye_array(n)])
    rows = [sparse.hstack([sparse.csr_array(np.hstack([-W, W])), np.zeros((k, 1))])]
    sides = [alpha]
    if norm == INF:
        rows.append(sparse.hstack([both, -np.ones((n, 1))]))
        sides.append(np.zeros(n))
    found = linprog(
        np.r_[np.zeros(2 * n), 1.0] if norm == INF else np.r_[np.ones(2 * n), 0.0],
        A_ub=sparse.vstack(rows),
        b_ub=np.concatenate(sides),
        bounds=np.c_[np.zeros(2 * n + 1), np.r_[high, -low, 1.0]],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("norm", [INF, ONE])
@pytest.mark.parametrize("seed", range(6))
def test_of_weights_of_all_sizes(norm, seed):
    # like pixels of robustly trained networks: small pivots lose digits, so the dictionary must be made anew
    rng = np.random.default_rng(seed)
    k, n = 9, 600
    W = rng.normal(size=(k, n)) * 10.0 ** rng.choice([-4.0, -1.5], p=[0.85, 0.15], size=(k, n))
    W[np.arange(k), rng.integers(n, size=k)] *= 10.0 ** rng.uniform(0.0, 4.0, size=k)
    x = rng.uniform(size=n) * (rng.uniform(size=n) < 0.3)
    low, high = -x, 1.0 - x
    inside = np.clip(0.3 * np.sign(rng.normal(size=k) @ W), low, high)
    alpha = -W @ inside + 1e-12
    near = nearest(norm, W, alpha, low, high, np.inf)
    assert near.radius == pytest.approx(by_program(norm, W, alpha, low, high), rel=1e-7)
    assert np.all(W @ near.point + alpha >= -1e-9 * (np.abs(W).sum(axis=1) + np.abs(alpha)))


@pytest.mark.parametrize("n", [1, 2, 5, 64, 1000])
def test_small_costs_are_scattered(n):
    costs = np.array([scatter(j) for j in range(n)])
    assert costs.min() >= 0.0 and costs.max() < 1.0
    # every part of [0, 1) has its share: a gap of the sorted costs is at most the square of the golden ratio wide
    gaps = np.diff(np.concatenate([[0.0], np.sort(costs), [1.0]]))
    assert gaps.max() <= 2.62 / (n + 1)
    if n > 2:  # columns side by side differ in all ways, so that no two directions of descent are alike
        turns = np.sign(np.diff(costs))
        assert -1 in turns and 1 in turns


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
def test_ties_of_directions_are_broken_without_harm(n):
    # all columns are as good as each other: the point is the corner of the box of the radius
    W, alpha = np.ones((2, n)), np.array([-float(n), -0.5 * n])
    near = nearest(INF, W, alpha, np.full(n, -9.0), np.full(n, 9.0), np.inf)
    assert near.radius == pytest.approx(1.0, rel=1e-12)
    assert near.point == pytest.approx(np.ones(n), rel=1e-9)
