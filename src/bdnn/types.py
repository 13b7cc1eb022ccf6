"""Names of array types, which say what an array holds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Anything, labels for example."""
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]
"""Inputs, of either precision."""
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
Bits = NDArray[np.int8]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

Norm = Literal["inf", "1", "2"]
"""In which perturbations, and distances of points, are measured."""

RobustModel = Literal["interval", "pattern", "worst_case"]
"""What counts as right on a ball; see `Problem`."""
