"""Problems: everything is checked at construction, normalized, and immutable after it."""

import dataclasses
import math
import re

import numpy as np
import pytest

from bdnn import Problem
from bdnn.errors import BDNNError, InputError

pytestmark = pytest.mark.filterwarnings("error")

X = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]
Y = [0, 1, 1]


def problem(**changes):
    return Problem(**({"X": X, "y": Y} | changes))


BAD = [
    # data
    ({"X": [[0.0, math.nan], [1.0, 0.0], [2.0, 2.0]]}, "NaN or infinity (first in row 0, column 1)"),
    ({"X": [[0.0, 1.0], [1.0, 0.0], [-math.inf, 2.0]]}, "NaN or infinity (first in row 2, column 0)"),
    ({"X": [[0.0, 1.0], [1.0, -1.1e150], [2.0, 2.0]]}, "above 1e+150 in column 1"),
    ({"X": [0.0, 1.0, 2.0]}, "shape (m, n) with at least one row, got (3,)"),
    ({"X": np.zeros((3, 2, 1))}, "got (3, 2, 1)"),
    ({"X": np.zeros((0, 2)), "y": []}, "got (0, 2)"),
    ({"X": 3.0}, "got ()"),
    ({"X": None}, "X must "),
    ({"X": [["a", "b"]] * 3}, "X must be real numbers: got text"),
    ({"X": [["1", "2"]] * 3}, "X must be real numbers: got text"),
    ({"X": [[1j, 2]] * 3}, "X must be real numbers: got complex"),
    ({"X": [[0.0], [1.0, 2.0], [2.0]]}, "X must be real numbers"),
    ({"X": [[10**400, 0], [0, 0], [1, 1]]}, "X must be real numbers"),
    # labels
    ({"y": [1, 1, 1]}, "at least two classes in y, got only one class: [1]"),
    ({"y": [0, 1]}, "y must have shape (3,), one label per row of X, got (2,)"),
    ({"y": [[0], [1], [1]]}, "y must have shape (m,), got (3, 1)"),
    ({"y": [0, 1, math.nan]}, "y must not hold missing labels, but there is no label in 1 of 3 rows"),
    ({"y": [0, 1, math.inf]}, "y must not hold missing or infinite labels"),
    ({"y": [0, 1, "1"]}, "y must be of one kind"),
    ({"y": ["a", "b", None]}, "y must not hold missing labels, but there is no label in 1 of 3 rows"),
    ({"y": [[0], [1, 2], [1]]}, "rows that differ in length"),
    # sample weights
    ({"sample_weight": [1, 1]}, "sample_weight must have shape (3,), got (2,)"),
    ({"sample_weight": 2.0}, "sample_weight must have shape (3,), got ()"),
    ({"sample_weight": [1, -1, 1]}, "finite and non-negative, got -1.0 for row 1"),
    ({"sample_weight": [1, 1, math.nan]}, "finite and non-negative, got nan for row 2"),
    ({"sample_weight": [math.inf, 1, 1]}, "finite and non-negative, got inf for row 0"),
    ({"sample_weight": [0, 0, 0]}, "positive sum of at most 1e+150, got 0.0"),
    ({"sample_weight": [1e308, 1e308, 1e308]}, "positive sum of at most 1e+150, got inf"),
    ({"sample_weight": ["a", "b", "c"]}, "sample_weight must be real numbers: got text"),
    ({"sample_weight": [10**400, 1, 1]}, "sample_weight must be real numbers"),
    # architecture
    *(
        ({"hidden_layer_sizes": sizes}, f"hidden layer size must be a positive integer up to 10000, got {shown}")
        for sizes, shown in (
            ((0,), "0"),
            ((2, -1), "-1"),
            ((2.0,), "2.0"),
            ((True,), "True"),
            (True, "True"),
            (0, "0"),
            (("2",), "'2'"),
            ((None,), "None"),
            ((math.nan,), "nan"),
            ([[2]], "[2]"),
        )
    ),
    *(
        ({"hidden_layer_sizes": sizes}, "hidden_layer_sizes must be a sequence of positive integers, got ")
        for sizes in ("2", None, 2.0, np.array(2))
    ),
    ({"head": "softmax"}, "head must be one of 'auto', 'threshold', 'argmax', got 'softmax'"),
    ({"head": None}, "head must be one of 'auto', 'threshold', 'argmax', got None"),
    ({"head": ["argmax"]}, "head must be one of"),
    ({"weights": "ternary"}, "weights must be one of 'continuous', 'integer', got 'ternary'"),
    ({"weights": True}, "weights must be one of 'continuous', 'integer', got True"),
    *(
        ({"weight_bound": bad}, f"weight_bound must be a positive integer up to 32768, got {bad!r}")
        for bad in (0, -1, 2**15 + 1, 1.0, True, "3", None)
    ),
    *(
        ({"input_bits": bad}, f"input_bits must be a positive integer up to 16, got {bad!r}")
        for bad in (0, 17, 8.0, True, "8", None)
    ),
    *(
        ({"fit_intercept": bad}, f"fit_intercept must be True or False, got {bad!r}")
        for bad in ("no", 1, None, np.array([1, 2]))
    ),
    *(
        ({"margin": bad}, f"margin must be None or a number between 0 and 1, got {bad!r}")
        for bad in (0, 0.0, -1e-3, 1, 1.0, math.nan, math.inf, True, "0.1")
    ),
    ({"margin": 1e-3, "weights": "integer"}, "margin applies to continuous weights only"),
    ({"feature_names": ["a"]}, "one name per column (2), got 1"),
    ({"feature_names": "ab"}, "sequence of 2 names or None, got 'ab'"),
    ({"feature_names": 7}, "sequence of 2 names or None, got 7"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_input_is_refused_with_what_was_received(changes, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        problem(**changes)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BDNNError)


def test_positional_arguments_are_refused():
    with pytest.raises(TypeError):
        Problem(X, Y)


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        ([5, 3, 3], [3, 5], [1, 0, 0]),
        (["b", "a", "c"], ["a", "b", "c"], [1, 0, 2]),
        ([True, False, True], [False, True], [1, 0, 1]),
        ([0.5, -1.0, 0.5], [-1.0, 0.5], [1, 0, 1]),
        (np.array(["x", "y", "x"], dtype=object), ["x", "y"], [0, 1, 0]),
    ],
)
def test_classes_are_sorted_and_codes_point_at_them(labels, classes, codes):
    p = problem(y=labels)
    assert p.classes.tolist() == classes
    assert p.codes.tolist() == codes
    assert p.y.tolist() == list(labels)


@pytest.mark.parametrize(
    ("labels", "head", "resolved", "outputs"),
    [
        ([0, 1, 1], "auto", "threshold", 1),
        ([0, 1, 2], "auto", "argmax", 3),
        ([0, 1, 2], "threshold", "threshold", 3),
        ([0, 1, 1], "argmax", "argmax", 2),
    ],
)
def test_head_and_outputs(labels, head, resolved, outputs):
    p = problem(y=labels, head=head, hidden_layer_sizes=[4, 3])
    assert p.head == resolved
    assert p.n_outputs == outputs
    assert p.widths == (4, 3, outputs)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((), ()), (3, (3,)), (np.int64(3), (3,)), ([2, 3], (2, 3)), (np.array([2, 3]), (2, 3)), (range(1, 3), (1, 2))],
)
def test_hidden_layer_sizes_become_a_tuple_of_ints(sizes, expected):
    got = problem(hidden_layer_sizes=sizes).hidden_layer_sizes
    assert got == expected
    assert all(type(size) is int for size in got)


def test_defaults():
    p = problem()
    assert (p.hidden_layer_sizes, p.weights, p.weight_bound, p.fit_intercept) == ((2,), "continuous", 1, True)
    assert (p.margin, p.input_bits, p.feature_names) == (None, 8, None)
    assert p.sample_weight.tolist() == [1.0, 1.0, 1.0]
    assert p.feature_labels == ["x0", "x1"]


def test_edges_are_accepted():
    p = problem(
        X=[[1e150, -1e150], [5e-324, -0.0], [0, 1]],
        sample_weight=[0, 1e149, 0],
        weight_bound=2**15,
        input_bits=16,
        margin=np.float64(0.999),
        fit_intercept=np.bool_(False),
        feature_names=["a", 2],
    )
    assert p.fit_intercept is False
    assert p.feature_names == ("a", "2")
    assert p.feature_labels == ["a", "2"]
    assert Problem(X=np.zeros((2, 0)), y=[0, 1]).X.shape == (2, 0)


def test_immutable_and_independent_of_the_callers_arrays():
    data, labels, weight = np.array(X), np.array(Y), np.ones(3)
    p = problem(X=data, y=labels, sample_weight=weight)
    data[0, 0], labels[0], weight[0] = 9.0, 9, 9.0
    assert (p.X[0, 0], p.y[0], p.sample_weight[0]) == (0.0, 0, 1.0)
    for name in ("X", "y", "sample_weight", "classes", "codes"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(p, name)[0] = 1
    for name in ("X", "head", "classes", "weight_bound"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(p, name, None)
    with pytest.raises((AttributeError, TypeError)):
        p.unknown = 1


def test_single_precision_is_kept_and_everything_else_becomes_double():
    for dtype in (np.float32, np.float64):
        assert problem(X=np.array(X, dtype=dtype)).X.dtype == dtype
    for dtype in (np.float16, np.int8, np.uint64, bool, np.longdouble, ">f4", ">f8"):
        p = problem(X=np.array(X, dtype=dtype))
        assert (p.X.dtype, p.X.dtype.isnative, p.X.tolist()) == (np.float64, True, np.array(X, dtype=dtype).tolist())
    held_out = (np.array(X, dtype=np.float32), Y)
    assert problem(validation=held_out).validation[0].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_found_in_any_block(monkeypatch, dtype, bad):
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", 3)
    for row, column in ((0, 0), (2, 1), (4, 0)):
        data = np.ones((5, 2), dtype=dtype)
        data[row, column] = bad
        with pytest.raises(InputError, match=rf"first in row {row}, column {column}"):
            Problem(X=data, y=[0, 1, 0, 1, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_that_nobody_can_write_to_are_not_copied(dtype):
    data, labels, weight = np.array(X, dtype=dtype), np.array(Y), np.ones(3)
    for array in (data, labels, weight):
        array.setflags(write=False)
    p = problem(X=data, y=labels, sample_weight=weight, validation=(data[:2], Y[:2]))
    for mine, given in ((p.X, data), (p.y, labels), (p.sample_weight, weight), (p.validation[0], data)):
        assert np.shares_memory(mine, given)
        assert not mine.flags.writeable
    # what a problem holds is of this kind
    assert np.shares_memory(dataclasses.replace(problem(X=data.copy()), margin=0.1).X, data) is False
    first = problem(X=data.copy())
    assert np.shares_memory(dataclasses.replace(first, margin=0.1).X, first.X)
    stored = np.frombuffer(data.tobytes(), dtype=dtype).reshape(3, 2)
    assert np.shares_memory(problem(X=stored).X, stored)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_view_that_cannot_be_written_to_is_copied_if_the_array_below_can(dtype):
    data, labels, weight = np.array(X, dtype=dtype), np.array(Y), np.ones(3)
    views = []
    for array in (data, labels, weight):
        views.append(array[:])
        views[-1].setflags(write=False)
    p = problem(X=views[0], y=views[1], sample_weight=views[2], validation=(views[0], Y))
    buffer = bytearray(data.tobytes())
    mapped = np.frombuffer(buffer, dtype=dtype).reshape(3, 2)
    mapped.setflags(write=False)
    other = problem(X=mapped)
    data[0, 0], labels[0], weight[0], buffer[:] = 9.0, 9, 9.0, bytes(len(buffer))
    assert (p.X[0, 0], p.y[0], p.sample_weight[0], p.validation[0][0, 0]) == (0.0, 0, 1.0, 0.0)
    assert other.X.tolist() == X


def test_callers_may_agree_not_to_write():
    data, labels, weight = np.array(X), np.array(Y), np.ones(3)
    p = problem(X=data, y=labels, sample_weight=weight, validation=(data, labels), copy=False)
    for mine, given in ((p.X, data), (p.y, labels), (p.sample_weight, weight), (p.validation[0], data)):
        assert np.shares_memory(mine, given)
        assert given.flags.writeable and not mine.flags.writeable
    transposed = np.asfortranarray(data)
    assert problem(X=transposed, copy=False).X.flags.c_contiguous
    assert problem(X=transposed, copy=False).X.tolist() == X
    # a changed problem does not inherit the agreement
    other = dataclasses.replace(p, margin=0.1)
    data[0, 0] = 9.0
    assert (p.X[0, 0], other.X[0, 0]) == (9.0, 0.0)


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0, 1, 2, 0],
        np.array([5, -3, 5, 0, 5], dtype=np.int8),
        [0.5, 0.25, 0.5, 1.0, 0.5],
        ["b", "a", "abc", "b", "a"],
        np.array(["b", "a", "abc", "b", "a"], dtype=object),
        np.array([b"b", b"a", b"c", b"b", b"a"]),
        np.array([True, 2, 1.5, False, 2], dtype=object),
        [True, False, True, True, False],
    ],
)
def test_classes_and_codes_are_those_of_numpy(monkeypatch, labels):
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", 2)
    p = Problem(X=np.zeros((5, 1)), y=labels)
    classes, codes = np.unique(labels, return_inverse=True)
    assert (p.classes.tolist(), p.codes.tolist(), p.codes.dtype) == (classes.tolist(), codes.tolist(), np.intp)


def test_derived_fields_cannot_be_forged():
    p = problem(classes=np.array(["x"]), codes=np.array([7]))
    assert p.classes.tolist() == [0, 1]
    assert p.codes.tolist() == [0, 1, 1]


def test_replace_checks_again():
    assert dataclasses.replace(problem(), weights="integer", weight_bound=3).weight_bound == 3
    with pytest.raises(InputError, match="weights must be one of"):
        dataclasses.replace(problem(), weights="binary")
