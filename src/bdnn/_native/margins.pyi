from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Indices = NDArray[np.int64]

@final
class LeastNorm:
    def __init__(self, size: int) -> None: ...
    @property
    def point(self) -> _Floats: ...
    @property
    def active(self) -> _Indices: ...
    def enter(
        self, normals: _Floats, h: _Floats, tolerance: float, most: int, proceed: Callable[[], bool] | None
    ) -> int: ...
    def refresh(self, h: _Floats) -> None: ...
    def relabel(self, numbers: _Indices) -> None: ...
