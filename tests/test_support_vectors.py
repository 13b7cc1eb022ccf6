"""Points of least norm in half-spaces: the active set of the compiled core, by the conditions that mark the optimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import nnls

from bdnn._native.margins import LeastNorm

SOLVED, STUCK, UNFINISHED = range(3)


def random_half_spaces(rng, n, m):
    """Half-spaces with a common point, some of them twice or nearly, some through many others' corners."""
    normals = rng.integers(-3, 4, size=(m, n)).astype(float) if rng.random() < 0.5 else rng.normal(size=(m, n))
    normals[rng.integers(0, m, size=m // 4)] = normals[rng.integers(0, m)]
    if rng.random() < 0.3:
        normals += 1e-9 * rng.normal(size=normals.shape)
    inside = 3.0 * rng.normal(size=n)
    return normals, normals @ inside - rng.choice([0.0, 0.5, 2.0], size=m)


def check_optimum(state, normals, h):
    """The point is in all half-spaces, and a combination of active normals with multipliers >= 0 that binds."""
    v, active = state.point, state.active
    size = 1.0 + np.abs(v).max(initial=0.0)
    assert (normals @ v - h).min() >= -1e-8 * size
    assert np.abs(normals[active] @ v - h[active]).max(initial=0.0) <= 1e-7 * size
    assert (nnls(normals[active].T, v)[1] if len(active) else np.linalg.norm(v)) <= 1e-7 * size


@pytest.mark.parametrize("seed", range(40))
def test_points_have_the_least_norm_as_half_spaces_come_and_move(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 12)), int(rng.integers(1, 60))
    normals, h = random_half_spaces(rng, n, m)
    state, few = LeastNorm(n), max(1, m // 2)
    assert state.enter(normals[:few].copy(), h[:few].copy(), 1e-10, 1000, None) == SOLVED
    check_optimum(state, normals[:few], h[:few])
    assert state.enter(normals, h, 1e-10, 1000, None) == SOLVED
    check_optimum(state, normals, h)
    # the same half-spaces in another order and place
    order = rng.permutation(m)
    state.relabel(np.argsort(order))
    normals, h = normals[order], h[order] + normals[order] @ rng.normal(size=n)
    state.refresh(h)
    assert np.abs(normals[state.active] @ state.point - h[state.active]).max(initial=0.0) <= 1e-6
    assert state.enter(normals, h, 1e-10, 1000, None) == SOLVED
    check_optimum(state, normals, h)


def test_half_spaces_without_a_common_point_end_it():
    state = LeastNorm(2)
    assert state.enter(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.ones(2), 1e-9, 10, None) == STUCK


def test_limits_end_it():
    normals, h = np.eye(5), np.arange(1.0, 6.0)
    assert LeastNorm(5).enter(normals, h, 1e-9, 2, None) == UNFINISHED
    state, n = LeastNorm(600), 600
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(n, n))
    assert state.enter(normals, np.ones(n), 1e-9, n, lambda: False) == UNFINISHED
    assert math.isfinite(np.linalg.norm(state.point)) and len(state.active) < n
