"""Blocks of rows."""

import numpy as np
import pytest

from bdnn import arrays as rows
from bdnn.arrays import distinct, row_blocks

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("m", "width", "sizes"),
    [
        (0, 2, []),
        (1, 2, [1]),
        (7, 2, [3, 3, 1]),
        (6, 2, [3, 3]),
        (3, 7, [1, 1, 1]),
        (3, 100, [1, 1, 1]),
        (7, 0, [6, 1]),
    ],
)
def test_blocks_cover_all_rows_in_order(monkeypatch, m, width, sizes):
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 6)
    blocks = list(row_blocks(m, width))
    assert [block.stop - block.start for block in blocks] == sizes
    assert [i for block in blocks for i in range(m)[block]] == list(range(m))


@pytest.mark.parametrize(
    "values",
    [
        np.array([3, 1, 3, 2, 1, 1, 7], dtype=np.int8),
        np.array([0.5, -1.0, 0.5, 2.0, 2.0]),
        np.array(["b", "a", "abc", "b", "a"]),
        np.array(["b", "a", "abc", "b", "a"], dtype=object),
        np.array([True, 2, 1.5, False, 2], dtype=object),
        np.array([True, False, True, True]),
        np.broadcast_to(1.0, 10),
        np.zeros(0),
    ],
)
def test_distinct_elements_are_those_of_numpy(monkeypatch, values):
    expected = np.unique(values)
    for size in (1, 3, 100):
        monkeypatch.setattr(rows, "BLOCK_NUMBERS", size)
        got = distinct(values)
        assert (got.tolist(), got.dtype) == (expected.tolist(), expected.dtype)
