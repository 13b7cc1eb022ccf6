"""Newton steps of the smoothed loss against a plain twin, and what they do at the edges."""

import numpy as np
import pytest

from bdnn._native.search import MOST_NEAR, toward


def sample(seed, n=5, p=400, q=300):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.1, 10, n)[:, None] + rng.normal(size=n)[:, None]
    center, unit = np.median(X, axis=1), 1 / X.std(axis=1)
    points = np.sort(rng.choice(p, q, replace=False)).astype(np.int32)
    features = rng.permutation(n)[: n - 1]
    return X, center, unit, features, points, rng.normal(size=q), rng.normal(size=q), 0.7, int(rng.integers(q)), 0.1


def near_points(a, width, start):
    turned = np.roll(np.arange(len(a)), -start)
    return turned[np.abs(a[turned]) < width][:MOST_NEAR]


def plain(X, center, unit, features, points, a, g, width, start, ridge):
    """The same in a few lines: gradient and covariance of the points near the boundary."""
    near = near_points(a, width, start)
    weight = 1 - np.abs(a[near]) / width
    Z = np.vstack([(X[features][:, points[near]] - center[features, None]) * unit[features, None], np.ones(len(near))])
    some = slice(0, 4 * len(Z))
    H = (Z[:, some] * weight[some]) @ Z[:, some].T
    H += (ridge * np.trace(H) / len(Z) + 1e-12) * np.eye(len(Z))
    step = np.linalg.solve(H, Z @ (-weight * g[near]))
    step /= np.abs(step[:-1]).max()
    w = step[:-1] * unit[features]
    return np.append(w, step[-1] - w @ center[features])


@pytest.mark.parametrize("seed", range(10))
def test_steps_are_those_of_the_twin(seed):
    args = sample(seed)
    np.testing.assert_allclose(toward(*args), plain(*args), rtol=1e-7, atol=1e-9)


def test_of_very_many_points_a_part_is_used():
    args = sample(11, p=9000, q=8000)
    assert len(near_points(args[5], args[7], args[8])) == MOST_NEAR
    np.testing.assert_allclose(toward(*args), plain(*args), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_smoothed_loss_falls(seed):
    X, center, unit, features, points, a, g, width, start, ridge = sample(seed, q=200)
    step = toward(X, center, unit, features, points, a, g, width, start, ridge)
    slope = step[:-1] @ X[features][:, points] + step[-1]

    def smoothed(a):
        x = np.clip(a / width, -1, 1)
        return g @ (0.5 + x - 0.5 * x * np.abs(x))  # its derivative is the triangle

    h = 1e-6
    assert smoothed(a + h * slope) < smoothed(a - h * slope)


def test_nothing_near_and_numbers_that_overflow():
    X, center, unit, features, points, a, g, _, start, ridge = sample(12)
    assert not toward(X, center, unit, features, points, a, g, 0.0, start, ridge).any()
    huge = toward(X, center, unit, features, points, a, g * 1e307, 1.0, start, ridge)
    assert np.all(np.isfinite(huge))
    assert not toward(X * 1e300, center, unit * 1e100, features, points, a, g, 1.0, start, ridge).any()
    single = toward(X[:, :1].repeat(X.shape[1], axis=1), center, unit, features, points, a, g, 1.0, start, 1e-4)
    assert np.all(np.isfinite(single))  # a covariance without rank
