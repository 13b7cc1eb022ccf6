"""Support functions of perturbation sets, and what a combination of half-spaces excludes.

Perturbation sets, with L <= 0 <= U and in units of the scale, their support functions h(g, r), and why these prove what
they prove are in docs/mathematics/certification.md.

The functions are compiled: they want contiguous arrays of float64, rows of half-spaces as a matrix, and raise
`InputError` for anything else.

Attributes
----------
support : callable
    (norm, g, r, L, U) -> h(g, r), rounded, and its slope in r from the right.
smallest_radius, smallest_radii : callable
    (norm, g, need, L, U) -> about the smallest r with h(g, r) >= need; inf if there is none; for all rows of a matrix.
magnitude, magnitudes : callable
    (norm, w, r, L, U) -> about the largest Σ |w_j e_j| of the set; for all rows of a matrix.
reaches : callable
    (norm, W, r, L, U) -> by row this, and the largest w·e and -w·e.
excludes : callable
    (norm, W, alpha, error, factors, r, L, U) -> whether factors >= 0 prove that no e of the set has W e + alpha >= 0 in
    all rows, if `error` bounds the errors of `alpha`.
proven_radius : callable
    (norm, W, alpha, error, factors, L, U) -> a radius, as large as can be told, of a closed set in which there is no
    such e; 0 if none is.
largest_move : callable
    (x, z) -> the largest |z_j - x_j|, rounded up.
"""

from __future__ import annotations

from bdnn._native.certify import (
    excludes,
    largest_move,
    magnitude,
    magnitudes,
    proven_radius,
    reaches,
    smallest_radii,
    smallest_radius,
    support,
)

__all__ = [
    "INF",
    "NORMS",
    "ONE",
    "TWO",
    "UNIT",
    "excludes",
    "largest_move",
    "magnitude",
    "magnitudes",
    "proven_radius",
    "reaches",
    "smallest_radii",
    "smallest_radius",
    "support",
]

INF, ONE, TWO = 0, 1, 2  # as the kernels number the norms
NORMS = {"inf": INF, "1": ONE, "2": TWO}

UNIT = 2.0**-53  # largest relative error of a rounded operation
