"""Presolve beyond the number of rows that it sorts: equal rows by hashes, work in blocks, single precision."""

import numpy as np
import pytest

from bdnn import Problem
from bdnn import arrays as rows
from bdnn.problem import merge, presolve, scaling
from bdnn.problem.merge import Inputs, _equal_rows, _hashes

pytestmark = pytest.mark.filterwarnings("error")


def repetitive(seed, m=400, n=3, dtype=np.float64):
    """Rows of few values, among them both zeros and neighbors in the last place."""
    rng = np.random.default_rng(seed)
    values = np.array([0.0, -0.0, 1.0, np.nextafter(dtype(1), dtype(2)), -1.0, 1e-30, 0.1], dtype=dtype)
    return rng.choice(values, size=(m, n))


def by_numpy(X):
    """First row and class of equal rows, classes in the order of their first rows."""
    _, first, index = np.unique(X + 0.0, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[index.ravel()]


def hashes_that_collide(few):
    return lambda inputs: _hashes(inputs) % np.uint64(few)


@pytest.mark.parametrize("few", [None, 1, 2, 50])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 3, 6])
def test_equal_rows_are_those_of_numpy_also_when_hashes_collide(monkeypatch, few, dtype, n):
    if few is not None:
        monkeypatch.setattr(merge, "_hashes", hashes_that_collide(few))
    for seed in range(3):
        X = repetitive(seed, n=n, dtype=dtype)
        for block in (3 * n, 2**19):
            monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
            first, index = _equal_rows(Inputs(X, None, None))
            expected, classes = by_numpy(X)
            assert len(expected) < len(X)
            assert first.tolist() == expected.tolist()
            assert index.tolist() == classes.tolist()
            chosen = np.arange(1, len(X), 3)
            first, _ = _equal_rows(Inputs(X, None, chosen))
            assert first.tolist() == by_numpy(X[chosen])[0].tolist()


@pytest.mark.parametrize("few", [None, 1, 20])
def test_no_equal_rows(monkeypatch, few):
    X = np.random.default_rng(0).normal(size=(100, 2))
    if few is not None:
        monkeypatch.setattr(merge, "_hashes", hashes_that_collide(few))
    first, index = _equal_rows(Inputs(X, None, None))
    assert first.tolist() == list(range(100))
    assert index is None or index.tolist() == list(range(100))


def test_hashes_differ_where_rows_do_and_do_not_depend_on_precision_zeros_or_blocks(monkeypatch):
    # small integers, whose bits are mostly zero, are the hard case
    X = np.stack(np.meshgrid(*[np.arange(-20.0, 20.0)] * 3), axis=-1).reshape(-1, 3)
    hashes = _hashes(Inputs(X, None, None))
    assert len(np.unique(hashes)) == len(X)
    # the halves of the bits spread as well
    for half in (hashes >> np.uint64(32), hashes & np.uint64(2**32 - 1)):
        assert len(np.unique(half)) > len(X) - 10
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 1000)
    negative = np.where(X == 0, -0.0, X).astype(np.float32)
    assert np.array_equal(_hashes(Inputs(negative, None, None)), hashes)


def random_problem(seed, dtype=np.float64, **changes):
    rng = np.random.default_rng(seed)
    X = repetitive(seed, 300, 3, dtype)
    X[:, 0] = rng.integers(0, 2, 300)
    if changes.get("weights") == "integer" and seed % 2:
        X = rng.integers(-1, 3, (300, 3)).astype(dtype) * 6
    y, weight = rng.integers(0, 3 if changes.get("head") else 2, 300), rng.integers(0, 4, 300) / 4
    return Problem(**{"X": X, "y": y, "sample_weight": weight if seed > 1 else None} | changes)


SETTINGS = [
    {},
    {"head": "argmax"},
    {"head": "threshold"},
    {"fit_intercept": False},
    {"weights": "integer"},
    {"weights": "integer", "input_bits": 2},
    {"robust_radius": 0.1},
    {"weights": "integer", "robust_radius": 0.1, "input_bits": 2},
]


def content(reduced, order):
    points = np.arange(len(reduced.rows))[order]
    return {
        **{name: getattr(reduced, name).tolist() for name in ("kept", "center", "scale")},
        **{name: getattr(reduced, name) for name in ("n_distinct", "constant", "irreducible", "loss_step")},
        **{name: getattr(reduced, name)[points].tolist() for name in ("X", "class_weight", "rows", "raw_points")},
        "grid": None if reduced.grid is None else [reduced.grid.offset.tolist(), reduced.grid.step.tolist()],
    }


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_many_rows_give_the_same_points_in_the_order_of_the_data(monkeypatch, settings, seed):
    problem = random_problem(seed, **settings)
    few = presolve.presolve(problem)
    expected = content(few, np.argsort(few.rows))
    monkeypatch.setattr(merge, "_SORTED_ROWS", 10)
    for block in (9, 2**19):
        monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
        many = presolve.presolve(problem)
        assert np.all(np.diff(many.rows) > 0)
        assert content(many, slice(None)) == expected


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [10, 100_000])
def test_single_precision_is_the_same_as_its_values_in_double(monkeypatch, settings, seed, most):
    monkeypatch.setattr(merge, "_SORTED_ROWS", most)
    single = random_problem(seed, np.float32, **settings)
    assert single.X.dtype == np.float32
    double = Problem(X=single.X.astype(np.float64), y=single.y, sample_weight=single.sample_weight, **settings)
    assert double.X.dtype == np.float64
    assert content(presolve.presolve(single), slice(None)) == content(presolve.presolve(double), slice(None))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_blocks_do_not_matter_to_few_rows(monkeypatch, settings):
    problem = random_problem(2, **settings)
    expected = content(presolve.presolve(problem), slice(None))
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 9)
    assert content(presolve.presolve(problem), slice(None)) == expected


def test_few_rows_are_sorted():
    reduced = presolve.presolve(random_problem(0))
    assert np.lexsort(reduced.raw_points.T[::-1]).tolist() == list(range(len(reduced.rows)))


def test_points_are_made_at_first_use_and_kept(monkeypatch):
    problem = random_problem(3)
    monkeypatch.setattr(merge, "_SORTED_ROWS", 10)
    reduced = presolve.presolve(problem)
    assert "X" not in vars(reduced)
    assert reduced.X is reduced.X
    some = np.array([4, 0, 7])
    part = reduced.restricted(some)
    assert "X" not in vars(part)
    assert part.X.tolist() == reduced.X[some].tolist()
    assert part.class_weight.tolist() == reduced.class_weight[some].tolist()
    assert part.raw_points.tolist() == problem.X[reduced.rows[some]].tolist()
    with pytest.raises(AttributeError):
        reduced.X = None


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_weights_of_very_many_points_are_held_in_single_precision(monkeypatch, settings, seed):
    problem = random_problem(seed, np.float32, **settings)
    monkeypatch.setattr(merge, "_SORTED_ROWS", 10)
    expected = presolve.presolve(problem)
    assert expected.stored_weight.dtype == np.float64
    monkeypatch.setattr(merge, "_SORTED_NUMBERS", 10)
    for block in (7, 2**19):
        monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
        reduced = presolve.presolve(problem)
        assert reduced.stored_weight.dtype == np.float32
        assert reduced.class_weight.dtype == np.float64
        assert content(reduced, slice(None)) == content(expected, slice(None))
        assert reduced.label_totals().tolist() == expected.class_weight.sum(axis=0).tolist()
        some = np.array([3, 0, 5])
        assert reduced.restricted(some).class_weight.tolist() == expected.class_weight[some].tolist()


@pytest.mark.parametrize("odd", [0.1, 2.0**24 + 1, 1e100, 1e-60])
@pytest.mark.parametrize("row", [0, 6, 7, 19])
def test_weights_that_single_precision_would_change_stay_as_they_are(monkeypatch, odd, row):
    monkeypatch.setattr(merge, "_SORTED_NUMBERS", 10)
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 14)
    weight = np.ones(20)
    weight[row] = odd
    problem = Problem(X=np.arange(20.0)[:, None], y=[0, 1] * 10, sample_weight=weight, hidden_layer_sizes=())
    reduced = presolve.presolve(problem)
    assert reduced.stored_weight.dtype == np.float64
    assert reduced.class_weight.sum(axis=1).tolist() == weight.tolist()


@pytest.mark.parametrize("m", [9, 10, 11])
def test_rows_that_are_all_different_need_no_numbers(monkeypatch, m):
    monkeypatch.setattr(merge, "_SORTED_ROWS", 5)
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", 5)
    X = np.random.default_rng(m).normal(size=(m, 2)).astype(np.float32)
    y = np.arange(m) % 2
    reduced = presolve.presolve(Problem(X=X, y=y, hidden_layer_sizes=()))
    assert reduced.stored_rows is None
    assert reduced.rows.tolist() == list(range(m))
    assert reduced.raw_points is reduced.problem.X
    part = reduced.restricted(np.array([4, 8, 1]))
    assert (part.rows.tolist(), part.n_points) == ([4, 8, 1], 3)
    assert part.raw_points.tolist() == X[[4, 8, 1]].tolist()
    assert part.restricted(np.array([2])).raw_points.tolist() == X[[1]].tolist()
    assert part.X.tolist() == reduced.X[[4, 8, 1]].tolist()
    # the last row repeats one, or is left out
    X[-1] = X[3]
    assert presolve.presolve(Problem(X=X, y=y, hidden_layer_sizes=())).rows[:8].tolist()[:3] == [0, 1, 2]
    weight = np.arange(m)[::-1]
    reduced = presolve.presolve(Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=()))
    assert reduced.raw_points.tolist() == X[reduced.rows].tolist()
    assert reduced.stored_rows is not None


@pytest.mark.parametrize("block", [3, 16, 2**19])
@pytest.mark.parametrize("grid", [False, True])
def test_centers_of_much_data_are_medians_of_every_so_many_rows(monkeypatch, block, grid):
    monkeypatch.setattr(merge, "_SORTED_NUMBERS", 10)
    monkeypatch.setattr(scaling, "_MEDIAN_ROWS", 7)
    monkeypatch.setattr(rows, "BLOCK_NUMBERS", block)
    X = np.random.default_rng(0).normal(size=(31, 3)).astype(np.float32)
    settings = {"weights": "integer"} if grid else {}
    reduced = presolve.presolve(Problem(X=X, y=np.arange(31) % 2, hidden_layer_sizes=(), **settings))
    seen = reduced.grid.quantize(X) if grid else X.astype(np.float64)
    center = np.quantile(seen[::4], 0.5, axis=0, method="lower")
    assert reduced.center.tolist() == center.tolist()
    if not grid:
        assert reduced.scale.tolist() == np.abs(seen - center).max(axis=0).tolist()


def test_no_columns():
    first, index = _equal_rows(Inputs(np.zeros((5, 0)), None, None))
    assert (first.tolist(), index.tolist()) == ([0], [0] * 5)


def test_median_is_the_lower_one():
    for m in (1, 2, 3, 10, 11):
        X = np.random.default_rng(m).normal(size=(m, 2))
        problem = Problem(X=np.vstack([X, X[:1] + 1]), y=[0] * m + [1], sample_weight=[1] * m + [0])
        expected = np.quantile(X, 0.5, axis=0, method="lower")
        assert presolve.presolve(problem).center.tolist() == expected.tolist()
