"""The points of the search: exact values by feature, in the type that the data and the weights allow."""

import tracemalloc

import numpy as np
import pytest

from bdnn import Budget, Problem
from bdnn import arrays as rows
from bdnn.methods import starts as start
from bdnn.problem import merge
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve as reduce
from bdnn.search.points import points

pytestmark = pytest.mark.filterwarnings("error")


def data(m=60, dtype=np.float32, repeated=0, **changes):
    """Four columns, of which the third is constant."""
    rng = np.random.default_rng(m)
    X = (rng.normal(size=(m, 4)) * [1, 1e3, 0, 1e-3] + [0, 5e3, 7, 0]).astype(dtype)
    if repeated:
        X[-repeated:] = X[:repeated]
    return Problem(**{"X": X, "y": np.arange(m) % 2, "hidden_layer_sizes": (2,)} | changes)


def large(monkeypatch):
    for module, name in (
        ("problem.merge", "_SORTED_ROWS"),
        ("problem.merge", "_SORTED_NUMBERS"),
        ("search.points", "_LARGE"),
    ):
        monkeypatch.setattr(f"bdnn.{module}.{name}", 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("repeated", [0, 6])
@pytest.mark.parametrize("weights", ["continuous", "integer"])
@pytest.mark.parametrize("block", [4, 28, 2**19])
def test_values_are_those_of_the_problem(monkeypatch, dtype, repeated, weights, block):
    large(monkeypatch)
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
    reduced = reduce(data(dtype=dtype, repeated=repeated, weights=weights))
    found = points(reduced)
    raw = reduced.problem.X[reduced.rows].astype(np.float64)
    expected = (reduced.grid.quantize(raw) if reduced.grid is not None else raw)[:, reduced.kept]
    assert found.X.tolist() == expected.T.tolist()
    assert found.X.shape == (3, 60 - repeated)
    single = dtype is np.float32 or weights == "integer"
    assert found.X.dtype == found.class_weight.dtype == (np.float32 if single else np.float64)
    assert found.class_weight.tolist() == reduced.class_weight.tolist()
    assert found.reach.tolist() == np.abs(expected).max(axis=0).tolist()
    np.testing.assert_allclose(1 / found.unit, expected.std(axis=0), rtol=1e-12)


def test_the_last_row_decides_on_the_type(monkeypatch):
    large(monkeypatch)
    for block in (4, 2**19):
        monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
        for last, dtype in ((0.5, np.float32), (0.1, np.float64), (1e60, np.float64), (1e-60, np.float64)):
            X = np.arange(30.0)[:, None]
            X[-1] = last
            found = points(reduce(Problem(X=X, y=np.arange(30) % 2, hidden_layer_sizes=())))
            assert found.X.dtype == found.class_weight.dtype == dtype
            assert found.X.tolist() == X.T.tolist()


@pytest.mark.parametrize(("odd", "dtype"), [(3.0, np.float32), (0.1, np.float64), (1e100, np.float64)])
def test_weights_decide_on_the_type_as_well(monkeypatch, odd, dtype):
    weight = np.ones(60)
    weight[37] = odd
    problem = data(sample_weight=weight)
    # a small problem that is asked for in single precision
    assert points(reduce(problem), "float32").X.dtype == dtype
    large(monkeypatch)
    reduced = reduce(problem)
    found = points(reduced)
    assert found.X.dtype == found.class_weight.dtype == dtype
    assert found.class_weight.tolist() == reduced.class_weight.tolist()
    assert found.class_weight is reduced.stored_weight


def test_nothing_but_the_points_themselves_is_as_large_as_the_data(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 2**15)  # as small, beside the data, as the usual ones beside larger data
    m, n = 360_000, 28
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((m, n), dtype=np.float32), rng.integers(0, 2, m)
    for array in (X, y):
        array.setflags(write=False)
    assert X.size > merge._SORTED_NUMBERS
    tracemalloc.start()
    try:
        problem = Problem(X=X, y=y, hidden_layer_sizes=(3,))
        reduced = reduce(problem)
        network = start.constant(reduced)
        assert audit(network, problem).n_wrong == min(np.bincount(y))
        assert tracemalloc.get_traced_memory()[1] < 0.45 * X.nbytes
        found = points(reduced)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    next(start.layered(reduced, Budget(seconds=1e9).start()))
    assert "X" not in vars(reduced)
    assert found.X.dtype == np.float32
    assert now < 1.2 * X.nbytes
    assert peak < 1.35 * X.nbytes


def test_units_are_those_of_most_values():
    rng = np.random.default_rng(0)
    X = np.column_stack([
        rng.normal(20.0, 2.0, 5000), rng.uniform(size=5000), rng.exponential(size=5000),
        np.where(rng.random(5000) < 0.99, 0.0, 255 * rng.random(5000)), rng.integers(0, 2, 5000),
    ])  # fmt: skip
    ordinary = points(reduce(Problem(X=X, y=np.arange(5000) % 2)))
    np.testing.assert_allclose(1.0 / ordinary.unit, X.std(axis=0), rtol=1e-12)
    X[[10, 20, 30], 0] = 65535.0
    spiked = points(reduce(Problem(X=X, y=np.arange(5000) % 2)))
    assert 1.0 / spiked.unit[0] == pytest.approx(2.0, rel=0.1) and X[:, 0].std() > 1000
    assert np.array_equal(spiked.unit[1:], ordinary.unit[1:])
