from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Bins = NDArray[np.uint8]
_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

def grown(
    bins: _Bins,
    start: _Integers,
    codes: _Integers,
    weight: _Floats,
    classes: int,
    price: _Floats,
    leaves: int,
    together: bool,
    rate: float,
    step: float,
    bound: int,
    damping: float,
    least: int,
    penalty: float,
    input_price: float,
    split_price: float,
    tree_price: float,
    most_bits: float,
    proceed: Callable[[], bool] | None,
) -> tuple[_Integers, _Integers, _Integers, _Integers, _Integers, _Floats]: ...
def add(
    bins: _Bins,
    start: _Integers,
    roots: _Integers,
    output: _Integers,
    threshold: _Integers,
    first: _Integers,
    values: _Integers,
    sums: _Integers,
) -> None: ...
