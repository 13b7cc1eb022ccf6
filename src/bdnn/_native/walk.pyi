from typing import final

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

@final
class ArrangementWalk:
    def __init__(self, table: _Floats, lines: _Floats, g: _Floats, tenure: float, looked: float, seed: int) -> None: ...
    @property
    def step(self) -> int: ...
    @property
    def basis(self) -> NDArray[np.int64]: ...
    @property
    def inside(self) -> NDArray[np.uint8]: ...
    def run(self, until: int, target: float) -> tuple[int, float]: ...
