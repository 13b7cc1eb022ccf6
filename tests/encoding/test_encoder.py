"""From columns to inputs: against the definition, cell by cell; through files; at prediction."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bdnn.arrays
from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.fitting import EncoderOptions, fit_encoder
from bdnn.encoding.kinds import from_values
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from encoding_cases import expected, raw_tables

OPTIONS = st.builds(
    EncoderOptions,
    max_categories=st.sampled_from([None, 1, 2, 3, 20]),
    min_frequency=st.sampled_from([None, 2, 0.2]),
    missing_indicator=st.sampled_from(["auto", "always", "never"]),
    thresholds=st.sampled_from([None, None, 1, 4]),
)


def fitted(table, options):
    """An encoder of random labels, or None if no column gives inputs."""
    codes = np.arange(len(table)) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return fit_encoder(table, codes, options)
        except InputError as error:
            assert "no column gives inputs" in str(error)
            return None


@settings(max_examples=150, deadline=None)
@given(raw_tables(), OPTIONS)
def test_every_cell_is_encoded_as_defined(table, options):
    encoder = fitted(table, options)
    if encoder is None:
        return
    inputs = encoder.transform(table)
    assert inputs.shape == (len(table), encoder.n_inputs)
    for row in range(len(table)):
        found = [expected(code, column, row) for code, column in zip(encoder.columns, table.columns, strict=True)]
        assert tuple(name for cell in found for name in cell) == encoder.input_names
        assert [value for cell in found for value in cell.values()] == inputs[row].tolist()
    of = [j for j, code in enumerate(encoder.columns) for _ in range(code.n_inputs)]
    assert encoder.column_of_input.tolist() == of
    assert encoder.unseen(table) == {}


@settings(max_examples=80, deadline=None)
@given(raw_tables(), OPTIONS, st.randoms())
def test_files_order_and_blocks_do_not_matter(table, options, random):
    encoder = fitted(table, options)
    if encoder is None:
        return
    inputs = encoder.transform(table)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder and again.input_names == encoder.input_names
    more = RawColumn("more", "numeric", np.zeros(len(table)))
    shuffled = RawTable(tuple(random.sample([*table.columns, more], len(table.columns) + 1)))
    np.testing.assert_array_equal(again.transform(shuffled), inputs)
    rows = np.array(random.choices(range(len(table)), k=5))
    np.testing.assert_array_equal(encoder.transform(table.take(rows)), inputs[rows])


def test_long_tables_are_worked_on_in_blocks(monkeypatch):
    table = RawTable((RawColumn("a", "numeric", np.arange(9.0)), RawColumn("b", "boolean", np.arange(9) % 2 * 1.0)))
    encoder = fit_encoder(table, np.zeros(9, dtype=int), EncoderOptions(thresholds=3))
    whole = encoder.transform(table)
    monkeypatch.setattr(bdnn.arrays, "BLOCK_NUMBERS", 8)
    np.testing.assert_array_equal(encoder.transform(table), whole)


def test_plain_numbers_are_inputs_to_the_bit():
    X = np.random.default_rng(0).normal(size=(50, 3)) * 10.0 ** np.arange(-150, 151, 150)
    table = RawTable(tuple(RawColumn(f"x{j}", "numeric", X[:, j]) for j in range(3)))
    encoder = fit_encoder(table, np.zeros(50, dtype=int))
    assert encoder.is_identity
    assert encoder.transform(table).tobytes() == X.tobytes()
    assert [code.fill for code in encoder.columns] == [np.sort(X[:, j])[24] for j in range(3)]


COLOR = ColumnCode("color", "categorical", "red", ("blue", "red"), ("mauve", "pink"))


def test_unseen_levels_set_no_bit_and_are_counted():
    encoder = Encoder((COLOR,))
    column = RawColumn("color", "categorical", np.array([0, 1, 2, 3, 3, -1]), ("red", "pink", "blue", "tan", "none"))
    assert encoder.input_names == ("color=blue", "color=red", "color rare")
    assert encoder.transform(RawTable((column,))).tolist() == [
        [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0],
    ]  # fmt: skip
    assert encoder.unseen(RawTable((column,))) == {"color": 2}  # a level without rows does not count


def test_names_that_are_taken_are_numbered():
    bit = ColumnCode("a", "numeric", 0.0, missing_bit=True)
    encoder = Encoder((ColumnCode("a missing", "numeric", 0.0), bit, ColumnCode("a missing (2)", "numeric", 0.0)))
    assert encoder.input_names == ("a missing", "a", "a missing (2)", "a missing (2) (2)")


@pytest.mark.parametrize(
    ("kind", "column", "inputs"),
    [
        ("numeric", RawColumn("c", "categorical", np.array([0, 1, -1, 2]), ("-1.5e1", " 2", "NA")), [-15, 2, 7, 7]),
        ("numeric", RawColumn("c", "boolean", np.array([0.0, 1.0, np.nan])), [0, 1, 7]),
        ("boolean", RawColumn("c", "categorical", np.array([0, 1, 2, 3]), ("TRUE", "false", "0", "1")), [1, 0, 0, 1]),
        ("boolean", RawColumn("c", "numeric", np.array([0.0, 1.0, np.nan])), [0, 1, 1]),
        ("categorical", RawColumn("c", "numeric", np.array([1.0, 2.0, np.nan, 3.0])), [0, 1, 1, 0]),
        ("categorical", RawColumn("c", "boolean", np.array([1.0, 0.0])), [0, 0]),
        ("date", RawColumn("c", "categorical", np.array([0, -1]), ("2020-02-29",)), [2020, 1999]),
        ("date", RawColumn("c", "numeric", np.array([np.nan])), [1999]),
    ],
)
def test_columns_of_another_kind_are_read_as_that_of_the_training(kind, column, inputs):
    code = {
        "numeric": ColumnCode("c", "numeric", 7.0),
        "boolean": ColumnCode("c", "boolean", 1.0),
        "categorical": ColumnCode("c", "categorical", "2", ("1", "2")),
        "date": ColumnCode("c", "date", "1999-12-31", parts=("year", "month", "day", "weekday")),
    }[kind]
    assert Encoder((code,)).transform(RawTable((column,)))[:, 0].tolist() == inputs


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        ("numeric", RawColumn("c", "categorical", np.array([0, 1]), ("1", "two")), "'c' holds 'two', .* as numbers"),
        ("numeric", RawColumn("c", "categorical", np.array([0]), ("1e999",)), "'c' holds '1e999'"),
        ("boolean", RawColumn("c", "numeric", np.array([0.0, 3.0])), "'c' holds '3', .* truth values"),
        ("boolean", RawColumn("c", "categorical", np.array([0]), ("yes",)), "'c' holds 'yes', .* truth values"),
        ("numeric", RawColumn("c", "date", np.array(["2020-01-01"], "datetime64[us]")), "'c' is date, but .* numeric"),
        ("numeric", RawColumn("d", "numeric", np.array([0.0])), "inputs have no column 'c'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(kind, column, message):
    encoder = Encoder((ColumnCode("c", kind, 1.0),))
    with pytest.raises(InputError, match=message):
        encoder.transform(RawTable((column,)))


def test_gaps_without_a_replacement_are_refused():
    encoder = Encoder.identity(["a", "b"], 2, None)
    table = RawTable((RawColumn("a", "numeric", np.array([1.0, np.nan])), RawColumn("b", "numeric", np.ones(2))))
    with pytest.raises(InputError, match="1 values are missing in column 'a', and the model keeps nothing"):
        encoder.transform(table)


def plain_json():
    codes = (COLOR, ColumnCode("n", "numeric", 1.0, thresholds=(1.0, 2.0)), ColumnCode("e", "numeric", used=False))
    return Encoder(codes).to_json()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((), None), ((), {}), ((), {"named": True}), (("named",), 1), (("columns",), {}), (("columns",), []),
        (("columns", 0), 3), (("columns", 0), {"name": "a"}), (("columns", 0, "more"), 1),
        (("columns", 0, "name"), 1), (("columns", 0, "name"), "n"), (("columns", 0, "kind"), "text"),
        (("columns", 0, "kind"), []), (("columns", 0, "kind"), "numeric"), (("columns", 0, "fill"), 1.0),
        (("columns", 0, "levels"), ["red", "red"]), (("columns", 0, "levels"), "red"),
        (("columns", 0, "rare"), ["red"]), (("columns", 0, "rare"), [1]), (("columns", 0, "parts"), ["year"]),
        (("columns", 0, "missing_bit"), 1), (("columns", 0, "used"), "no"),
        (("columns", 1, "fill"), "1"), (("columns", 1, "fill"), True), (("columns", 1, "fill"), 10**400),
        (("columns", 1, "thresholds"), [2.0, 1.0]), (("columns", 1, "thresholds"), [1.0, 1.0]),
        (("columns", 1, "thresholds"), [float("inf")]), (("columns", 1, "thresholds"), [True]),
        (("columns", 1, "thresholds"), [10**400]), (("columns", 1, "levels"), ["x"]),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(place, value):
    data = plain_json()
    assert Encoder.from_json(data).n_inputs == 5
    *way, last = place or ((), None)
    if not place:
        data = value
    else:
        part = data
        for step in way:
            part = part[step]
        part[last] = value
    with pytest.raises(InputError):
        Encoder.from_json(data)


def test_what_becomes_of_columns_is_told():
    date = ColumnCode("d", "date", None, parts=("year", "month", "day", "weekday"), missing_bit=True)
    codes = (*Encoder.from_json(plain_json()).columns, ColumnCode("x", "numeric", 0.0), date)
    assert Encoder(codes).description() == [
        ("color", "categorical", "3 bits for 2 levels and 2 rare ones together"),
        ("n", "numeric", "2 thresholds"),
        ("e", "numeric", "left out"),
        ("x", "numeric", "as it is"),
        ("d", "date", "year, month, day, weekday, 1 bit for missing"),
    ]


def test_values_of_any_type_are_told_apart():
    odd = [1, True, 1.0, "1", "a", None, {"x": 1}, [2], float("nan"), "a", {"x": 1}]
    column = from_values("c", odd)
    assert column.levels == ("1", "true", "a", "{'x': 1}", "[2]")
    assert column.values.tolist() == [0, 1, 0, 0, 2, -1, 3, 4, -1, 2, 3]
    assert from_values("c", [1, 2.5, None, np.float32(2)]).values.tolist()[::3] == [1.0, 2.0]
    with pytest.raises(InputError, match="Complex data not supported"):
        from_values("c", [1, 2j])


def test_integers_beyond_double_precision_are_refused():
    with pytest.raises(InputError, match=r"column 'c' holds an integer beyond the range of double precision"):
        from_values("c", [1, 10**400, 2])
