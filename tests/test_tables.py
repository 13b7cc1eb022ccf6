"""Reading CSV files."""

import gzip

import numpy as np
import pytest

from bdnn.errors import InputError
from bdnn.tables import filled, medians, read_table


@pytest.fixture
def write(tmp_path):
    def writer(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return writer


def test_numbers_labels_and_names(write):
    table = read_table(write("a,b,target\n1,2.5,yes\n-3,1e2,no\n"), "target")
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.X, [[1, 2.5], [-3, 100]])
    assert table.labels.tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(["1", "0"], np.int64), (["1.5", "0.0"], np.float64), (["1", "x"], np.str_), (["01", "1e400"], np.str_)],
)
def test_labels_take_the_narrowest_kind(write, cells, expected):
    table = read_table(write("a,t\n" + "".join(f"0,{c}\n" for c in cells)), "t")
    assert table.labels.dtype.type is expected


def test_layout_of_the_file_does_not_matter(write):
    plain = read_table(write("a,b,t\n1,2,0\n3,4,1\n"), "t")
    for text in (
        "\ufeffa,b,t\r\n1,2,0\r\n3,4,1\r\n",
        "a;b;t\n1;2;0\n3;4;1\n",
        "a\tb\tt\n1\t2\t0\n3\t4\t1",
        '"a", b ,t\n 1,"2",0\n\n3,4 ,1\n\n',
        "t,b,a\n0,2,1\n1,4,3\n",
    ):
        other = read_table(write(text), "t", features=["a", "b"])
        np.testing.assert_array_equal(plain.X, other.X)
        np.testing.assert_array_equal(plain.labels, other.labels)
    packed = write(gzip.compress(b"a,b,t\n1,2,0\n3,4,1\n"), "data.csv.gz")
    np.testing.assert_array_equal(read_table(packed, "t").X, plain.X)


def test_features_are_found_by_name_and_others_ignored(write):
    table = read_table(write("text,b,a\nfoo,2,1\nbar,4,3\n"), features=["a", "b"])
    np.testing.assert_array_equal(table.X, [[1, 2], [3, 4]])
    assert read_table(write("a,b,c\n1,2,3\n"), drop=["b"]).names == ("a", "c")


def test_missing_values_take_the_lower_median_of_the_given_rows(write):
    table = read_table(write("a,b\n1,?\n,5\n2,7\n9,?\n4,6\n"))
    assert table.n_missing.tolist() == [1, 2]
    fill = medians(table, np.arange(5))
    assert fill.tolist() == [2, 6]  # of 1, 2, 4, 9: the lower of 2 and 4
    np.testing.assert_array_equal(filled(table, fill), [[1, 6], [2, 5], [2, 7], [9, 6], [4, 6]])
    assert medians(table, np.array([3, 4])).tolist() == [4, 6]
    with pytest.raises(InputError, match="'b' has no known value"):
        medians(table, np.array([0, 3]))
    with pytest.raises(InputError, match="3 values are missing in columns 'a', 'b'"):
        filled(table, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  \n \n", "is empty"),
        ("a,t\n", "no rows"),
        ("a,b\n1,2\n", "no column 't'"),
        ("t\n1\n", "no feature columns"),
        ("a,t\n1,0\n1\n", "line 3: 1 cell, but the header has 2"),
        ("a,t\n1,0\n\n-nan,1\n", "column 'a' of .* holds '-nan' in line 4"),
        ("a,t\n1,0\ninf,1\n", "holds 'inf' in line 3"),
        ("a,t\n1e999,0\n", "holds '1e999' in line 2"),
        ("a,t,t\n1,2,0\n", "more than one column 't'"),
        ("a,t\n1,0\n1,\n", r"'t' .* no label in 1 of 2 rows: '' \(line 3\); .*--missing-labels drop"),
        ('a,t\n"1,0\n', "not a CSV file"),
    ],
)
def test_bad_files_give_one_clear_error(write, text, message):
    with pytest.raises(InputError, match=message):
        read_table(write(text), "t")


def test_damaged_gzip(write):
    good = gzip.compress(b"a,t\n1,0\n" * 50)
    for data in (b"a,t\n1,0\n", good[:-9], good[:20] + b"\0\0\0" + good[23:]):
        with pytest.raises(InputError, match="not a sound gzip file"):
            read_table(write(data, "x.csv.gz"), "t")
