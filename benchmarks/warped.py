"""Images drawn around given ones: turned, stretched, sheared and moved a little, or mixtures of two."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

SIDE = 28
ANGLE = 12.0
"""Degrees, the most at full strength."""
STRETCH = SHEAR = 0.1
MOVE = 1.5
"""Pixels."""
_MIDDLE = (SIDE - 1) / 2
_GRID = np.stack(np.meshgrid(*[np.arange(SIDE) - _MIDDLE] * 2, indexing="ij"))


def _warped(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return one image seen through a random affine map."""
    angle = np.deg2rad(strength * rng.uniform(-ANGLE, ANGLE))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    across, down = 1 + strength * rng.uniform(-STRETCH, STRETCH, 2)
    shape = np.array([[across, strength * rng.uniform(-SHEAR, SHEAR)], [0, down]])
    move = strength * rng.uniform(-MOVE, MOVE, 2)
    places = np.tensordot(turn @ shape, _GRID, 1) + _MIDDLE + move[:, None, None]
    return np.rint(map_coordinates(image.reshape(SIDE, SIDE), places, order=1)).ravel()


def warped(X: np.ndarray, y: np.ndarray, rows: int, seed: int, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, and warped copies of each in turn until there are so many rows; all keep their labels."""
    rng = np.random.default_rng(seed)
    sources = np.arange(len(X), rows) % len(X)
    copies = [_warped(X[k], rng, strength) for k in sources]
    copied = np.array(copies, dtype=X.dtype).reshape(-1, X.shape[1])
    return np.concatenate([X, copied]), np.concatenate([y, y[sources]])


def mixtures(X: np.ndarray, y: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Return mixtures of two random rows of one class, which are at least half the first of them."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(X), size=rows)
    second = np.array([rng.choice(np.flatnonzero(y == y[k])) for k in first])
    share = rng.uniform(0.5, 1, (rows, 1)).astype(X.dtype)
    return np.rint(share * X[first] + (1 - share) * X[second])
