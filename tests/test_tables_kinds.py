"""What cells of columns mean: dates with time zones, types of Parquet files, large numbers, and slips among numbers."""

import re
import time

import duckdb
import numpy as np
import pandas as pd
import pytest

from bdnn.encoding.fitting import fit_encoder
from bdnn.encoding.kinds import as_kind
from bdnn.errors import InputError
from bdnn.estimators.frames import raw_table
from bdnn.problem import Problem
from bdnn.tables import Known, Reading, read_table


def test_dates_with_a_time_zone_are_utc_in_every_container_on_every_machine(tmp_path, monkeypatch):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    when = pd.date_range("2024-05-01", periods=30, freq="5h", tz="Asia/Tokyo")
    expected = when.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
    frame = pd.DataFrame({"when": when, "y": np.arange(30) % 2})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.assign(at=[t.isoformat() for t in when], y=frame["y"]).to_csv(tmp_path / "t.csv", index=False)
    texts = [t.isoformat() for t in when]
    arrow = pyarrow.Table.from_pandas(frame[["when"]])
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        for name, columns in (("t.parquet", 1), ("t.csv", 2)):
            read = read_table(tmp_path / name, "y", carry=["y"])
            assert len(read.features.columns) == columns
            for column in read.features.columns:
                np.testing.assert_array_equal(column.values, expected)
        (kept,) = read_table(tmp_path / "t.parquet", None, ["y"], carry=["when"]).carried.values()
        assert kept[:2] == ["2024-04-30 15:00:00+00", "2024-04-30 20:00:00+00"]
        objects = [[t.to_pydatetime()] for t in when]
        for X in (frame[["when"]], polars.from_pandas(frame[["when"]]), arrow, objects):
            (column,) = raw_table(X).columns
            np.testing.assert_array_equal(column.values, expected)
        (text,) = raw_table([[t] for t in texts]).columns
        np.testing.assert_array_equal(as_kind(text, "date").values, expected)
    monkeypatch.undo()
    time.tzset()


def parquet(path, **columns):
    """Write a Parquet file of 30 rows, whose columns are queries of the number of the row, i."""
    asked = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    duckdb.connect().execute(f"COPY (SELECT {asked} FROM range(30) r(i)) TO '{path}' (FORMAT parquet)")
    return path


def test_types_of_parquet_columns(tmp_path):
    path = parquet(
        tmp_path / "t.parquet",
        at="TIME '10:15:00' + INTERVAL (i % 3) HOUR",
        uuid="CAST('00000000-0000-0000-0000-00000000000' || (i % 3) AS UUID)",
        price="CAST(i * 1.25 AS DECIMAL(9, 2))",
        word="CAST('q' || (i % 3) AS ENUM ('q0', 'q1', 'q2'))",
        y="i % 2",
    )
    at, uuid, price, word = read_table(path, "y").features.columns
    assert at.levels == ("10:15:00", "11:15:00", "12:15:00") and at.values[:3].tolist() == [0, 1, 2]
    assert (uuid.kind, len(uuid.levels), uuid.levels[2][-2:]) == ("categorical", 3, "02")
    assert (price.kind, price.values[:2].tolist(), word.levels) == ("numeric", [0, 1.25], ("q0", "q1", "q2"))


@pytest.mark.parametrize(
    ("sql", "holds"),
    [("[i, i]", "lists"), ("{'a': i}", "structures"), ("MAP {'k': i}", "maps"), ("encode('x')", "bytes"),
     ("INTERVAL (i) DAY", "durations")],
)  # fmt: skip
def test_types_that_no_input_can_hold_are_refused_by_name(tmp_path, sql, holds):
    path = parquet(tmp_path / "t.parquet", odd=sql, x="i % 5", y="i % 2")
    with pytest.raises(InputError, match=f"'odd' of .* holds {holds}, .* leave it out with --drop odd$"):
        read_table(path, "y")
    with pytest.raises(InputError, match=f"holds {holds}"):
        read_table(path, "odd")
    read = read_table(path, "y", drop=["odd"], carry=["odd"])
    assert read.names == ("x",) and len(read.carried["odd"]) == 30


@pytest.fixture
def write(tmp_path):
    def writer(name, cells, y=lambda i: i % 3 % 2):
        path = tmp_path / "t.csv"
        lines = [f'"{cell}",{i * i % 11},{y(i)}' for i, cell in enumerate(cells)]
        path.write_text("\n".join([f"{name},x,y", *lines]) + "\n")
        return path

    return writer


NUMBERS = [str(i * 0.25) for i in range(40)]
NA = [None, ("Inf",), ("-inf", "1_000"), ("inf", "1_000")]


@pytest.mark.parametrize("na", NA)
def test_what_is_missing_may_look_like_a_number(write, na):
    path = write("b", [*NUMBERS, "inf", "1_000"] if na and "1_000" in na else [*NUMBERS, "inf"])
    reading = Reading(na=na)
    if na is None or na[0] == "-inf":
        accepted = "empty cells, '\\?' or NA .*--na inf reads" if na is None else "cells or '-inf' or '1_000' for"
        with pytest.raises(InputError, match=f"holds 'inf' in line 42; .*{accepted}"):
            read_table(path, "y", reading=reading)
        return
    column = read_table(path, "y", reading=reading).features.columns[0]
    assert np.flatnonzero(column.missing).tolist() == list(range(40, len(column.values)))


def test_infinity_in_parquet_files_may_be_missing(tmp_path):
    path = parquet(tmp_path / "t.parquet", a="CASE WHEN i = 7 THEN 'inf'::DOUBLE ELSE i / 4 END", y="i % 2")
    with pytest.raises(InputError, match="--na inf reads it as missing"):
        read_table(path, "y")
    assert np.flatnonzero(np.isnan(read_table(path, "y", reading=Reading(na=("Inf",))).X)).tolist() == [7]


def test_advice_keeps_what_was_said_before(write):
    path = write("b", [*NUMBERS, "none", "-"])
    with pytest.raises(InputError, match="say with --na=-,none that"):
        read_table(path, "y", reading=Reading(na=("-",)))


SLIPS = {
    "percent": ([f"{i}%" for i in range(40)], "'0%' in line 2: numbers with .*--categorical b,"),
    "few rows": ([f"{i} €" for i in range(9)], "'0 €' in line 2: numbers with"),
    "minus": (["\u2212" + c for c in NUMBERS], "in line 2: numbers with"),
    "below": ([*NUMBERS, "<5"], "'<5' in line 42: numbers with"),
    "hex": ([hex(i) for i in range(40)], "'0x0' in line 2: numbers with"),
    "dates": ([*(f"2020-01-{i % 28 + 1:02d}" for i in range(40)), "soon", "-"], "holds dates, and 'soon' in line 42: "
              "correct the cells, say with --na soon .* --drop b"),
    "long": ([*NUMBERS, "x" * 99], f"'{'x' * 40}…' in line 42: correct the cells, read the column"),
}  # fmt: skip


@pytest.mark.parametrize("case", SLIPS)
def test_what_would_be_many_levels_by_mistake_is_refused(write, case):
    cells, message = SLIPS[case]
    with pytest.raises(InputError, match=message):
        read_table(write("b", cells), "y", tidy=True)
    column = read_table(write("b", cells), "y", reading=Reading(kinds={"b": "categorical"}), tidy=True)
    assert column.features.columns[0].kind == "categorical"


NOTES = {
    "unknown": (
        ["3", "4", "unknown"],
        "'unknown' in line 4.* with --na unknown that .* with --categorical b that it is",
    ),
    "kilograms": (
        ["72 kg", "8.5 kg", "1,072 kg"],
        "numbers with words .'72 kg' in line 2., which are read as text: write",
    ),
    "before": (["ca. 5", "ca. 7"], "numbers with words .'ca. 5' in line 2"),
    "durations": (["3h 20m", "1h 5m"], "'3h 20m' in line 2.*all in one unit, or say with --categorical b"),
    "ISO durations": (["PT5M3S", "PT20M"], "'PT5M3S' in line 2.*all in one unit"),
    "feet": (["5'11", "6'2"], "5'11.* in line 2.*all in one unit"),
    "percent": (["5%", "10%"], "'5%' in line 2 and is read as text: .*--categorical b"),
    "euros": (["5 €", "10 €"], "'5 €' in line 2 and is read as text"),
    "rooms": (
        ["A4", "B5", "12"],
        r"holds numbers and text .'A4' in line 2. and is read as text; say with --categorical b that it is text$",
    ),
    "codes": (["1_1", "1_2"], "'1_1' in line 2 and is read as text"),
    "dates": (["2020-01-01", "2020-01-02", "soon"], "holds dates and text .'soon' in line 4.* --na soon"),
    "clock": (["10:15", "9:05 pm"], "times of day .'10:15' in line 2"),
    "clock with points": (["01.00.00", "02.00.00"], "times of day .'01.00.00' in line 2"),
}


@pytest.mark.parametrize("case", NOTES)
def test_few_levels_that_look_like_numbers_are_text_and_said_so(write, case):
    cells, note = NOTES[case]
    read = read_table(write("b", cells * 12), "y", tidy=True)
    assert read.features.columns[0].kind == "categorical"
    assert any(re.search(note, said) for said in read.notes), read.notes
    kinds = {"b": "categorical"}
    assert not read_table(write("b", cells * 12), "y", reading=Reading(kinds=kinds), tidy=True).notes
    for levels in (["red", "green", "v1.2"], ["12A", "12B", "7C", "9D"], ["20-29", "30-39"], ["Ulm 01", "Ulm 02"]):
        assert not read_table(write("b", levels * 12), "y", tidy=True).notes


def german(tmp_path, cells, other="0,5"):
    """Write a file with semicolons, and with decimal commas in another column."""
    path = tmp_path / "t.csv"
    path.write_text("b;z;y\n" + "".join(f"{cell};{i % 7}{other[1:]};{i % 2}\n" for i, cell in enumerate(cells)))
    return path


THOUSANDS = {
    "points": (["263", "80.157", "1.234.567", "-4.273"], ["263", "80157", "1234567", "-4273"], "points separate"),
    "German": (["4.273,73", "80.157", "0,5"], ["4273.73", "80157", "0.5"], "points separate"),
    "commas": (["4,273.73", "6.5"], ["4273.73", "6.5"], "commas separate"),
    "Swiss": (["4'273,73", "6,5"], ["4273.73", "6.5"], "apostrophes separate"),
    "blanks": (["4 273,73", "7"], ["4273.73", "7"], "blanks separate"),
    "decimal points": (["79.5", "1.234"], ["79.5", "1.234"], "with decimal points"),
}


@pytest.mark.parametrize("case", THOUSANDS)
@pytest.mark.parametrize("known", [False, True])
def test_points_where_decimals_have_commas_separate_thousands_or_all_are_decimal_signs(tmp_path, case, known):
    cells, plain, note = THOUSANDS[case]
    path = german(tmp_path, cells * 9)
    as_before = {"b": Known("numeric"), "z": Known("numeric")} if known else None
    read = read_table(path, "y", ["b", "z"], known=as_before)
    assert read.X[: len(cells), 0].tolist() == list(map(float, plain)) and read.X[0, 1] == 0.5
    (said,) = (text for text in read.notes if "'b'" in text)
    assert note in said and ("--categorical b reads" in said) is not known
    text = Reading(kinds={"b": "categorical"})
    assert read_table(path, "y", reading=text).features.columns[0].kind == "categorical"


def test_points_that_are_neither_are_refused_where_decimals_have_commas(tmp_path):
    for cells in (["8,5", "79.0", "80.157"], ["4,5", "1.5"]):
        for reading in (Reading(), Reading(decimal=","), Reading(kinds={"b": "numeric"})):
            with pytest.raises(InputError, match=r"column 'b' .*holds '(79.0|1.5)' in line 3.*(-0,5|sign is a comma)"):
                read_table(german(tmp_path, [*cells, *(f"{i},5" for i in range(30))]), "y", reading=reading)
    with pytest.raises(InputError, match="decimal sign is a comma, and points do not"):
        read_table(german(tmp_path, [f"{i}.25" for i in range(30)]), "y", reading=Reading(decimal=","))


def test_weights_with_points_are_refused_where_decimals_have_commas(tmp_path):
    path = german(tmp_path, ["80.157", "1"] * 9)
    with pytest.raises(InputError, match=r"column 'b' .*holds '80.157'"):
        read_table(path, "y", ["z"], weight="b")


@pytest.mark.parametrize(
    ("cells", "plain", "note"),
    [(["1,424", "943"], [1424, 943], "'1,424' in line 2 is 1424; --decimal , if they are decimal signs"),
     (["1,000", "2,000"], [1000, 2000], "commas separate"), (["1,282,118", "1"], [1282118, 1], "commas separate")],
)  # fmt: skip
def test_commas_that_separate_thousands_are_left_out_and_said_so(write, cells, plain, note):
    path = write("b", cells * 9)
    read = read_table(path, "y", tidy=True)
    assert read.X[:2, 0].tolist() == plain and note in read.notes[-1]
    if "--decimal" in note:
        assert read_table(path, "y", reading=Reading(decimal=",")).X[0, 0] == 1.424


@pytest.mark.parametrize("place", [0, 200])
def test_text_among_numbers_with_separators_is_a_slip(write, place):
    cells = [f"{i},273.73" for i in range(1, 300)]
    with pytest.raises(InputError, match=f"holds numbers, and 'odd' in line {place + 2}: correct .* --na odd"):
        read_table(write("b", [*cells[:place], "odd", *cells[place:]]), "y")
    with pytest.raises(InputError, match="holds numbers, and '1,27,3' in line 2"):
        read_table(write("b", ["1,27,3", *cells]), "y")
    missing = read_table(write("b", ["n.a.", *cells]), "y").features.columns[0]
    assert np.isnan(missing.values[0]) and missing.values[1] == 1273.73


def test_decimal_signs_that_may_separate_thousands_are_said_so(tmp_path):
    path = german(tmp_path, ["256", "6.814", "1.053"] * 9, other="0")
    read = read_table(path, "y")
    assert read.X[1, 0] == 6.814 and "three digits follow" in read.notes[-1] and "--decimal , says" in read.notes[-1]
    assert read_table(path, "y", reading=Reading(decimal=",")).X[1, 0] == 6814
    for cells in (["0.814", "6.125"], ["6.81", "6.814"], ["256", "14"]):
        assert not any("digits" in note for note in read_table(german(tmp_path, cells * 9, other="0"), "y").notes)


def test_a_kind_that_does_not_fit_is_no_missing_value(write):
    for kind, cell in (("numeric", "red"), ("boolean", "Y")):
        path = write("b", [cell, "zz"] * 9)
        with pytest.raises(
            InputError, match=f"but holds '{cell}' in line 2; --categorical b reads the column as text$"
        ):
            read_table(path, "y", reading=Reading(kinds={"b": kind}))
        accepted = "plain numbers such as 12 or -0.5" if kind == "numeric" else "true and false, or 1 and 0"
        with pytest.raises(InputError, match=f"'{cell}' in line 2; write {accepted}, and leave missing cells empty$"):
            read_table(path, "y", ["b"], known={"b": Known(kind)})


def test_the_advice_on_columns_that_are_left_out_keeps_them(write):
    for cells, kind, kept in (
        ([f"who{i}" for i in range(40)], "categorical", False), ([f"who{i}" for i in range(20)], "categorical", True),
        (["red"] * 40, "categorical", False), (["7"] * 40, "numeric", True),
        (list(map(str, range(40))), "numeric", True), ([""] * 40, "numeric", False),
    ):  # fmt: skip
        path = write("id", cells)
        left_out = [note for note in read_table(path, "y", tidy=True).notes if "is left out" in note]
        assert [f"(--{kind} id keeps it)" in note for note in left_out] == [kept]
        if kept:
            columns = read_table(path, "y", reading=Reading(kinds={"id": kind}), tidy=True).features
            assert fit_encoder(columns, np.zeros(len(cells), dtype=int)).columns[0].used


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [("rowid", lambda i: 1000 + 3 * i + i % 2, True), ("customer_id", lambda i: 7 * i, True),
     ("customerId", lambda i: 7 * i, True), ("time", lambda i: 7 * i, False), ("paid", lambda i: 7 * i, False),
     ("id", lambda i: -(-1) ** i * i, False), ("id", lambda i: i + i // 2 * 0.5, False)],
)  # fmt: skip
def test_numbers_of_rows_that_leave_out_some_are_said_to_be(write, name, cell, said):
    read = read_table(write(name, [str(cell(i)) for i in range(30)]), "y", tidy=True)
    word = f"column '{name}' holds whole numbers that rise from row to row, as names of rows do (--id {name} leaves"
    assert read.names[0] == name and any(note.startswith(word) for note in read.notes) is said
    kinds = {name: "numeric"}
    assert not read_table(write(name, [str(cell(i)) for i in range(30)]), "y", reading=Reading(kinds=kinds)).notes


def test_numbers_that_are_too_large_are_named_by_their_column():
    X, y = np.array([[1.0, 2.0], [3.0, 1e200]]), [0, 1]
    for names, said in ((None, "column 1 .from 0.;"), (("a", "b"), "column 'b';")):
        with pytest.raises(InputError, match=f"above 1e.150 in {said} rescale that column"):
            Problem(X=X, y=y, feature_names=names)


def test_repeated_names_get_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("kg,kg_1,kg,y,kg\n" + "".join(f"{i},{i % 3},{i % 5},{i % 2},{i % 7}\n" for i in range(30)))
    read = read_table(path, "y")
    assert read.names == ("kg", "kg_1", "kg_2", "kg_3") and read.X[8].tolist() == [8, 2, 3, 1]
    (note,) = read.notes
    assert note == "name is there more than once: 'kg'; the others are called 'kg_2', 'kg_3'"
    assert read_table(path, None, ["kg_3"]).X[8].tolist() == [1]
    assert read_table(path, "y", drop=["kg"]).names == ("kg_1",)
    with pytest.raises(InputError, match="has more than one column 'kg'; rename"):
        read_table(path, "kg")


DATES = {
    "%d-%b-%y": ("05-Feb-24", "17-Mar-24"),
    "%B %d, %Y": ("February 5, 2024", "May 17, 2024"),
    "%b %d, %Y": ("Feb 05, 2024", "May 17, 2024"),
    "%d. %B %Y": ("5. February 2024", "17. May 2024"),
    "%d/%b/%Y:%H:%M:%S %z": ("05/Feb/2024:01:00:00 +0100", "17/Mar/2024:12:00:00 -0100"),
    "%a, %d %b %Y %H:%M:%S %z": ("Mon, 05 Feb 2024 01:00:00 +0100", "Sun, 17 Mar 2024 00:30:00 +0000"),
    "%a, %d %b %Y %H:%M:%S GMT": ("Mon, 05 Feb 2024 00:00:00 GMT", "Sun, 17 Mar 2024 00:00:00 GMT"),
    "%Y-%m": ("2024-02", "2024-11"),
    "%m/%Y": ("02/2024", "11/2024"),
    "%b %Y": ("Feb 2024", "Nov 2024"),
    "%G-W%V": ("2024-W06", "2024-W11"),
}


@pytest.mark.parametrize("form", DATES)
def test_dates_are_found_in_many_formats_and_read_in_new_files(write, form):
    path = write("d", [*DATES[form], "NaT", ""] * 9)
    read = read_table(path, "y", tidy=True)
    when, first = read.features.columns[0], "2024-02-01" if form in ("%Y-%m", "%m/%Y", "%b %Y") else "2024-02-05"
    assert read.forms == {"d": form} and when.kind == "date" and when.values[0] == np.datetime64(first)
    assert when.missing[:4].tolist() == [False, False, True, True] and f"of the format {form}," in read.notes[-1]
    again = read_table(path, "y", ["d"], known={"d": Known("date", form=form)}).features.columns[0]
    np.testing.assert_array_equal(again.values, when.values)


@pytest.mark.parametrize("cell", ["{}. März 2024", "{}.3.", "Mar {}th", "2024 KW {}", "{} Mai 24", "{} de mars"])
def test_what_looks_like_dates_is_said_to(write, cell):
    path = write("d", [cell.format(i % 28 + 1) for i in range(60)])
    read = read_table(path, "y")
    looks = [note for note in read.notes if "looks like dates" in note]
    assert bool(looks) is ("de mars" not in cell) and read.features.columns[0].kind == "categorical"
    assert not read_table(path, "y", reading=Reading(kinds={"d": "categorical"})).notes


@pytest.mark.parametrize(
    "cells", [["Mark 5", "June 2x"], ["10.20.30.40", "1.2.3.4"], ["2.0.10", "0.1.12"], ["nat", "dmz 1"]]
)
def test_what_does_not_look_like_dates(write, cells):
    read = read_table(write("d", cells * 9), "y")
    assert not read.notes and len(read.features.columns[0].levels) == 2


@pytest.mark.parametrize("german_first", [False, True])
def test_dates_of_two_formats_are_refused_and_both_named(write, german_first):
    iso, german = ([f"2024-03-{i % 28 + 1:02d}" for i in range(100)], [f"{i % 28 + 1:02d}.03.2024" for i in range(99)])
    path = write("d", [*german, *iso] if german_first else [*iso, *german])
    with pytest.raises(InputError) as error:
        read_table(path, "y")
    lines = (101, 2) if german_first else (2, 102)
    assert (
        f"two formats, 100 of the format 2026-01-31 ('2024-03-01' in line {lines[0]}) and 99 of the format %d.%m.%Y "
        f"('01.03.2024' in line {lines[1]}): write all of them in one format, or" in str(error.value)
    )
    assert "--na" not in str(error.value)


def test_advice_on_dates(write):
    days = [f"{i % 28 + 1:02d}.01.2020" for i in range(40)]
    known = {"d": Known("date", form="%d.%m.%Y")}
    with pytest.raises(InputError) as error:
        read_table(write("d", [*days, "soon"]), "y", ["d"], known=known)
    said = str(error.value)
    assert "must hold dates of the format %d.%m.%Y, as in the training, but holds 'soon' in line 42; --na soon" in said
    assert "--types" not in said
    read = read_table(write("d", ["2020-01-01"] * 9), "y", tidy=True)
    assert read.notes == ("column 'd' is left out: the same in all rows (--types FILE keeps it)",)
    assert any("become year" in note for note in read_table(write("d", days), "y", tidy=True).notes)


def test_advice_on_a_target_that_is_not_there(write):
    for target, message in (("Y", "did you mean 'y'\\?; --target says"), ("z", "'y'; --target says which column")):
        with pytest.raises(InputError, match=message):
            read_table(write("b", NUMBERS), target)


def test_rounded_numbers_are_said_to_be(write):
    notes = read_table(write("n", [str(2**60 + i % 9) for i in range(40)]), "y", tidy=True).notes
    assert "'1152921504606846977' in line 3), which are rounded; --categorical n reads them as text" in notes[-1]
    assert "'n' is left out: the same in all rows, rounded to doubles (" in notes[0]
    for cells in ([str(2**60 + 256 * i) for i in range(9)], [f"{i}e20" for i in range(9)], ["", "2"] * 9):
        assert not read_table(write("n", cells), "y", tidy=True).notes


def test_rows_of_parquet_files_are_counted_from_0_and_said_so(tmp_path):
    path = parquet(tmp_path / "t.parquet", a="CASE WHEN i = 7 THEN 'x' ELSE (i / 4)::VARCHAR END", y="nullif(i, 3)")
    with pytest.raises(InputError, match=r"'x' in row 7 .from 0.: correct"):
        read_table(path, "y", missing_labels="drop")
    with pytest.raises(InputError, match=r"'' .row 3., rows from 0;"):
        read_table(path, "y", drop=["a"], features=["y"])


def test_rows_without_their_names_are_said_to_be(write):
    (note,) = read_table(write("b", NUMBERS), None, ["b"], carry_if_any=["who"]).notes
    assert note == "there is no column 'who' to name the rows, as in the training"


def test_nothing_is_replaced_in_columns_without_inputs(run, write):
    path = write("b", ["same"] * 39 + [""] * 21)
    code, out, err = run("train", path, "--hidden", "none", "--missing-indicator", "never", "--time-limit", "1", "-q")
    assert code == 0, err
    assert re.search("^b +categorical +left out$", out, re.MULTILINE) and "missing values" not in out
