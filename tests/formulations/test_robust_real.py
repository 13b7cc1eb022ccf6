"""A robustly trained network on real data: every point counted as right is right on its whole ball."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from bdnn import Budget, Problem
from bdnn.methods import METHODS
from bdnn.network.intervals import robust_losses
from bdnn.tables import filled, medians, read_table

RADIUS = 1.5


@pytest.fixture(scope="module")
def table():
    read = read_table(Path(__file__).parents[2] / "examples" / "data" / "breast_cancer_wisconsin.csv", "target")
    rows = np.random.default_rng(1).permutation(699)[:40]
    return filled(read, medians(read, np.arange(699)))[rows], read.labels[rows]


@pytest.fixture(scope="module", params=["inf", "1", "2"])
def trained(request, table):
    X, y = table
    problem = Problem(X=X, y=y, hidden_layer_sizes=(2,), robust_radius=RADIUS, robust_norm=request.param)
    result = METHODS["exact"](incumbents="none")(problem, Budget(seconds=15))
    radius = np.full(X.shape[1], RADIUS)
    losses, _ = robust_losses(result.network, problem.X, problem.codes, radius, request.param)
    assert losses.sum() == result.objective < 10
    return problem, result.network, losses, request.param


def test_by_sampling_with_all_corners(trained):
    problem, network, losses, norm = trained
    n, rng = problem.X.shape[1], np.random.default_rng(0)
    d = rng.normal(size=(1000, n))
    if norm == "inf":
        corners = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    elif norm == "1":
        corners = np.vstack([np.eye(n), -np.eye(n)])
    else:
        weights = network.layers[0].weights
        worst = weights / np.linalg.norm(weights, axis=1)[:, None] * (1 - 1e-12)
        corners = np.vstack([worst, -worst])
    d /= np.linalg.norm(d, ord={"inf": np.inf, "1": 1, "2": 2}[norm], axis=1)[:, None] * (1 + 1e-12)
    moves = RADIUS * np.vstack([corners, d])
    for x, code, loss in zip(problem.X, problem.codes, losses, strict=True):
        assert network.losses(x + moves, np.full(len(moves), code))[0].max() <= loss


def attack(network, x, code, norm, radius, least=0.0):
    """Independent program: a perturbation that changes the decision, or None. Rows of big-M, variables (δ, |δ|, u)."""
    (W, b), (v, c) = network.layers
    n, d, gap = len(x), len(b), max(least, 1e-7)
    at, big = W @ x + b, np.abs(W).sum(axis=1) * radius
    M = np.diag(np.abs(at) + big + 1)
    zero, eye = np.zeros((d, n)), np.eye(n)
    constraints = [
        LinearConstraint(np.hstack([W, zero, -M]), -np.inf, -gap - at),  # u = 0: W (x + δ) + b < 0
        LinearConstraint(np.hstack([W, zero, -M]), least - at - np.diag(M), np.inf),  # u = 1: it is >= 0
        LinearConstraint(np.hstack([eye, -eye, np.zeros((n, d))]), -np.inf, 0),
        LinearConstraint(np.hstack([-eye, -eye, np.zeros((n, d))]), -np.inf, 0),
    ]
    output = np.concatenate([np.zeros(2 * n), v[0]])[None, :]
    constraints.append(LinearConstraint(output, *((-np.inf, -gap - c[0]) if code == 1 else (least - c[0], np.inf))))
    if norm == "1":
        constraints.append(LinearConstraint(np.r_[np.zeros(n), np.ones(n), np.zeros(d)][None, :], 0, radius))
    bounds = Bounds(np.r_[np.full(n, -radius), np.zeros(n + d)], np.r_[np.full(2 * n, radius), np.ones(d)])
    kinds = np.r_[np.zeros(2 * n), np.ones(d)]
    found = milp(np.zeros(2 * n + d), constraints=constraints, bounds=bounds, integrality=kinds)
    return found.x[:n] if found.success else None


def test_by_an_independent_program(trained):
    problem, network, losses, norm = trained
    if norm == "2":
        pytest.skip("the independent program is linear: norms inf and 1")
    attacked = 0
    for x, code, loss in zip(problem.X, problem.codes, losses, strict=True):
        assert loss == 1 or attack(network, x, code, norm, RADIUS) is None
        # far enough out it does find attacks, and they are real
        delta = attack(network, x, code, norm, 8 * RADIUS, least=1e-4)
        if delta is not None:
            attacked += 1
            assert network.predict_index([x + delta])[0] != code
    assert attacked > 10
