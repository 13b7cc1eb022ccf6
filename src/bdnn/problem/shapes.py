"""The shapes that ``hidden_layer_sizes="auto"`` may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AUTO = "auto"
"""What `hidden_layer_sizes` is if the shape is left open."""

USUAL = (2,)
"""Hidden neurons where nothing is tried."""

WIDTHS = ((), (2,), (4,), (8,), (16,), (32,))
"""Hidden layers that are tried: up to what a microcontroller holds, each twice the one before."""

THRESHOLDS = 16
"""Bits of a number: quantiles close enough that a network rarely misses the values between them."""

_MAX_NUMBERS = 25_000_000
"""Of a table of bits, which has 200 MB then."""


def has_thresholds(n_rows: int, n_numeric: int) -> bool:
    """Return whether thresholds in the place of so many numeric columns are tried: not if they would be too many."""
    return n_numeric > 0 and 0 < n_rows <= most_with_thresholds(n_numeric)


def most_with_thresholds(n_numeric: int) -> int:
    """Return the most rows on which thresholds in the place of so many numeric columns are tried; 0 without any."""
    return _MAX_NUMBERS // (THRESHOLDS * n_numeric) if n_numeric else 0


def largest(settings: Mapping[str, Any], n_rows: int, n_numeric: int) -> dict[str, Any]:
    """Return the settings of the largest network that may be chosen.

    Parameters
    ----------
    settings : mapping
        Of a `BDNNClassifier` that leaves its hidden layers open.
    n_rows, n_numeric : int
        Of the table: rows, and columns of numbers.

    Returns
    -------
    dict
        The same with hidden layers, and thresholds if these may be chosen.
    """
    bits = settings["thresholds"]
    if bits is None and has_thresholds(n_rows, n_numeric):
        bits = THRESHOLDS
    return {**settings, "hidden_layer_sizes": WIDTHS[-1], "thresholds": bits}
