"""Arrays, labels and names from outside."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bdnn.arrays import real_numbers
from bdnn.checks import name_tuple
from bdnn.errors import InputError
from bdnn.labels import label_array

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.uint8),
        np.array([[1, 2], [3, 4]], dtype=object),
        np.array([[1, 2], [3, 4]], dtype=np.longdouble),
        pd.DataFrame({"a": [1, 3], "b": [2.0, 4.0]}),
    ],
)
def test_numbers_of_every_kind_become_floats(values):
    array = real_numbers("X", values)
    assert array.dtype == np.float64
    assert array.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("text", "got text"),
        ([["1", "2"]], "got text"),
        ([[1.0, "2"]], "got text"),
        (np.array([[1.0, "2"]], dtype=object), "got text"),
        ([[b"1"]], "got text"),
        ([[1j]], "got complex128"),
        (np.array([["2020-01-01"]], dtype="datetime64[D]"), r"got datetime64\[D\]"),
        (np.array([[3]], dtype="timedelta64[s]"), r"got timedelta64\[s\]"),
        ([[1, 2], [3]], "inhomogeneous"),
        ([[10**400]], "too large"),
        ([[{}]], "dict"),
        (sp.csr_matrix((2, 2)), "got csr_matrix"),
        (None, "got NoneType"),
        (pd.DataFrame({"a": [1, pd.NA]}, dtype="object"), "NAType"),
    ],
)
def test_what_is_no_number_is_refused(values, reason):
    with pytest.raises(InputError, match=f"^speed must be real numbers: .*{reason}"):
        real_numbers("speed", values)


def test_single_precision_stays_where_it_is_wanted():
    single = np.array([[0.1, 2.0]], dtype=np.float32)
    assert real_numbers("X", single, single=True) is single
    assert real_numbers("X", single).dtype == np.float64
    assert real_numbers("X", single).tolist() == single.tolist()
    for other in (single.astype(np.float16), single.astype(">f4"), single > 1, [[1]]):
        assert real_numbers("X", other, single=True).dtype == np.float64


def test_a_number_beyond_floats_is_infinite():
    assert real_numbers("X", np.array([np.longdouble("1e400")])).tolist() == [np.inf]


@pytest.mark.parametrize(
    "labels",
    [[0, 1], [True, False], [0.5, -0.5], ["a", "b"], pd.Series(["a", "b"]), np.array([1, 2], dtype=object), [b"a"]],
)
def test_labels_of_one_kind_pass_unchanged(labels):
    assert label_array("y", labels).tolist() == list(labels)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([1, "a"], "of one kind (all numbers or all strings), got a mixture of int, str"),
        (np.array(["a", 1.5], dtype=object), "got a mixture of float, str"),
        (
            ["a", None],
            "not hold missing labels, but there is no label in 1 of 2 rows: 'None' (row 1); label these rows or",
        ),
        (["a", np.nan, "b", None], "no label in 2 of 4 rows: 'nan' (row 1), 'None' (row 3)"),
        (pd.Series([1, pd.NA], dtype=object), "'<NA>' (row 1)"),
        (pd.Series(["a", None], dtype="string"), "'<NA>' (row 1)"),
        (pd.Series([pd.NA, True], dtype="boolean"), "'<NA>' (row 0)"),
        ([0.0, np.nan], "'nan' (row 1)"),
        (np.array([1, np.nan], dtype=object), "'nan' (row 1)"),
        ([0.0, -np.inf], "missing or infinite labels, got np.float64(-inf)"),
        (np.array(["2020", "NaT"], dtype="datetime64[D]"), "missing labels"),
        ([[0], [1]], "shape (m,), got (2, 1)"),
        ([[0], [1, 2]], "shape (m,), got rows that differ in length"),
        (3, "shape (m,), got ()"),
        (None, "shape (m,), got ()"),
    ],
)
def test_labels_that_are_refused(labels, reason):
    with pytest.raises(InputError, match=f"^y must .*{re.escape(reason)}"):
        label_array("y", labels)


def test_names():
    assert name_tuple("names", None, 2) is None
    assert name_tuple("names", ["a", 7], 2) == ("a", "7")
    assert name_tuple("names", np.array(["a", "b"]), 2) == ("a", "b")
    for bad, reason in (("ab", "sequence of 2 names or None, got 'ab'"), (5, "got 5"), (["a"], r"column \(2\), got 1")):
        with pytest.raises(InputError, match=reason):
            name_tuple("names", bad, 2)
