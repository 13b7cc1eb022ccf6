"""Nearest points and pattern trees for certification.

Arrays must be contiguous and of the types given here; anything else raises `bdnn.errors.InputError`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float64]
_Pause: TypeAlias = Callable[[int], None] | None

DONE: int
LIMIT: int
CANDIDATE: int
LEAF: int

def support(norm: int, g: _Floats, r: float, low: _Floats, high: _Floats) -> tuple[float, float]: ...
def smallest_radius(norm: int, g: _Floats, need: float, low: _Floats, high: _Floats) -> float: ...
def smallest_radii(norm: int, W: _Floats, need: _Floats, low: _Floats, high: _Floats) -> _Floats: ...
def magnitude(norm: int, w: _Floats, r: float, low: _Floats, high: _Floats) -> float: ...
def magnitudes(norm: int, W: _Floats, r: float, low: _Floats, high: _Floats) -> _Floats: ...
def reaches(norm: int, W: _Floats, r: float, low: _Floats, high: _Floats) -> tuple[_Floats, _Floats, _Floats]: ...
def excludes(
    norm: int,
    W: _Floats,
    alpha: _Floats,
    error: _Floats,
    factors: _Floats,
    r: float,
    low: _Floats,
    high: _Floats,
) -> bool: ...
def proven_radius(
    norm: int, W: _Floats, alpha: _Floats, error: _Floats, factors: _Floats, low: _Floats, high: _Floats
) -> float: ...
def largest_move(x: _Floats, z: _Floats) -> float: ...
def support_steps(
    norm: int, g: _Floats, r: float, low: _Floats, high: _Floats, costs: _Floats, whole: NDArray[np.bool_]
) -> float: ...
def nearest(
    norm: int, W: _Floats, alpha: _Floats, low: _Floats, high: _Floats, stop: float, pause: _Pause = None
) -> tuple[_Floats, _Floats, float]: ...

class _PatternTree:
    def explore(self, nodes: int, pause: _Pause = None) -> int: ...
    def reopen(self) -> None: ...
    def branch_any(self) -> bool: ...
    def shrink(self, ball: float, low: _Floats, high: _Floats) -> None: ...
    @property
    def nodes(self) -> int: ...
    @property
    def ball(self) -> float: ...
    @property
    def is_full(self) -> bool: ...
    @property
    def solution(self) -> _Floats: ...
    @property
    def lower(self) -> _Floats: ...

class SubsetTree(_PatternTree):
    def __init__(
        self,
        norm: int,
        W: _Floats,
        alpha: _Floats,
        error: _Floats,
        M: _Floats,
        v: _Floats,
        goal: tuple[float, float],
        ball: float,
        low: _Floats,
        high: _Floats,
        whole: NDArray[np.bool_],
        costs: _Floats,
    ) -> None: ...
    @property
    def found(self) -> NDArray[np.bool_]: ...

class UpperLayers:
    def __init__(self, numbers: _Floats, widths: NDArray[np.int64], exact: NDArray[np.bool_], code: int) -> None: ...
    def constant(self, low: _Floats, high: _Floats) -> bool: ...

class CellTree(_PatternTree):
    def __init__(
        self,
        norm: int,
        W: _Floats,
        alpha: _Floats,
        error: _Floats,
        upper: UpperLayers,
        ball: float,
        low: _Floats,
        high: _Floats,
        open: NDArray[np.int64],
        bits: _Floats,
        influence: _Floats,
        whole: NDArray[np.bool_],
        costs: _Floats,
    ) -> None: ...
    @property
    def found(self) -> NDArray[np.int64]: ...

class Classifier:
    def __init__(self, layers: Sequence[tuple[_Floats, _Floats]]) -> None: ...
    def __call__(self, x: _Floats) -> int: ...
