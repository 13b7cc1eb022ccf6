"""The grid that turns real inputs into small integers."""

import math
import re

import numpy as np
import pytest

import plain
from bdnn.errors import InputError
from bdnn.network.grid import InputGrid

pytestmark = pytest.mark.filterwarnings("error")


def test_integers_of_a_grid():
    grid = InputGrid(np.array([10.0, -1.0]), np.array([2.0, 0.5]), 3)
    X = [[10.0, -1.0], [24.0, 2.5], [9.0, -1.25], [11.0, -0.75], [13.0, -0.25], [1e308, -1e308], [25.1, 99.0]]
    # halves round to even, everything is clipped to 0..7
    assert grid.quantize(np.array(X)).tolist() == [[0, 0], [7, 7], [0, 0], [0, 0], [2, 2], [7, 0], [7, 7]]


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_spanning_reaches_from_the_smallest_to_the_largest_value(bits):
    rng = np.random.default_rng(bits)
    X = rng.normal(size=(50, 4)) * np.array([1.0, 1e150, 1e-150, 0.0]) + np.array([0.0, 0.0, 0.0, 7.5])
    grid = InputGrid.spanning(X, bits)
    Q = grid.quantize(X)
    assert Q.min(axis=0).tolist() == [0, 0, 0, 0]
    assert Q.max(axis=0).tolist() == [2**bits - 1] * 3 + [0]
    assert grid.step[3] == 1.0
    assert Q.tolist() == [plain.quantized(grid, x) for x in X.tolist()]
    order = np.argsort(X[:, 0])
    assert np.all(np.diff(Q[order, 0]) >= 0)


def test_far_values_are_clipped_without_warnings():
    grid = InputGrid(np.array([-1e308]), np.array([1e-300]), 4)
    assert grid.quantize(np.array([[1e308], [-1.5e308], [-1e308]])).tolist() == [[15], [0], [0]]


def test_a_column_that_hardly_varies_is_refused_by_number():
    X = np.array([[0.0, 0.0], [1.0, 1e-320]])
    with pytest.raises(InputError, match="column 1 varies too little for a grid"):
        InputGrid.spanning(X, 8)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (([0.0], [1.0, 2.0], 8), "one offset and one step per feature, got shapes (1,), (2,)"),
        ((0.0, 1.0, 8), "one offset and one step per feature, got shapes (), ()"),
        (([[0.0]], [[1.0]], 8), "got shapes (1, 1), (1, 1)"),
        (([math.nan], [1.0], 8), "grid offsets must be finite"),
        (([0.0], [math.inf], 8), "grid offsets must be finite and grid steps finite and positive"),
        (([0.0], [0.0], 8), "grid steps finite and positive"),
        (([0.0], [-1.0], 8), "grid steps finite and positive"),
        ((["a"], [1.0], 8), "grid offsets must be real numbers"),
        (([0.0], ["a"], 8), "grid steps must be real numbers"),
        *((([0.0], [1.0], bits), f"from 1 to 16, got {bits!r}") for bits in (0, 17, 8.0, True, None, "8")),
    ],
)
def test_bad_grids_are_refused(grid, message):
    with pytest.raises(InputError, match=re.escape(message)):
        InputGrid(*grid)
