"""The styles in which users keep tables: each is read with the right columns, or one message says what to type."""

import bz2
import gzip
import lzma

import duckdb
import numpy as np
import pytest

from bdnn.errors import InputError
from bdnn.tables import GUESS, Known, Reading, read_table
from bdnn.tables.layout import find_layout

ROWS = [(i * 37 % 500 / 100, (i * 17 % 70 - 30) / 10, "ab"[i % 2]) for i in range(30)]
X = np.array([(a, b) for a, b, _ in ROWS])
LABELS = [label for *_, label in ROWS]


def table(sep=",", decimal=".", head="x,z,lab", end="\n", last=""):
    """The same rows in another dress."""
    lines = [head.replace(",", sep) + last] if head else []
    lines += [f"{a:.2f}{sep}{b:.1f}{sep}{c}{last}".replace(".", decimal) for a, b, c in ROWS]
    return end.join(lines) + end


def with_row_names(sep, head, decimal="."):
    lines = [f'"{i + 1}"{sep}{a:.2f}{sep}{b:.1f}{sep}"{c}"'.replace(".", decimal) for i, (a, b, c) in enumerate(ROWS)]
    return "\n".join([head, *lines]) + "\n"


def aligned():
    return "\n".join("  ".join(cell.rjust(7) for cell in line.split(",")) for line in table().splitlines()) + "\n"


STYLES = {
    "plain": (table(), []),
    "carriage returns": (table(end="\r"), []),
    "windows": (table(end="\r\n"), []),
    "mixed ends": (table().replace("\n", "\r\n", 9), []),
    "no end": (table().rstrip(), []),
    "gzip": (gzip.compress(table().encode()), []),
    "bzip2": (bz2.compress(table().encode()), []),
    "xz": (lzma.compress(table().encode()), []),
    "excel, german": ("\ufeff" + table(";", ",", end="\r\n"), ["byte-order", "semicolons", "decimal"]),
    "excel, utf-16": (table("\t", end="\r\n").encode("utf-16"), ["UTF-16", "tabs"]),
    "utf-16 without a mark": (table().encode("utf-16-be"), ["UTF-16"]),
    "sep": ("sep=;\r\n" + table(";", end="\r\n"), ["semicolons", "1 line is left out"]),
    "tabs, decimal commas": (table("\t", ","), ["tabs", "decimal"]),
    "bars": (table("|"), ["bars"]),
    "carets": (table("^"), ["'^'"]),
    "aligned": (aligned(), ["blanks"]),
    "uci": (table(head=""), ["column1"]),
    "uci, semicolons": (table(";", ",", head=""), ["semicolons", "column1", "decimal"]),
    "write.csv": (with_row_names(",", '"","x","z","lab"'), ["row numbers"]),
    "write.csv2": (with_row_names(";", '"";"x";"z";"lab"', ","), ["semicolons", "decimal", "row numbers"]),
    "write.table": (with_row_names(" ", '"x" "z" "lab"'), ["blanks", "names of rows", "row numbers"]),
    "pandas": (with_row_names(",", ",x,z,lab"), ["row numbers"]),
    "savetxt": ("# x,z,lab\n" + table(head=""), ["comment line"]),
    "matlab": ("% made by hand\n%\n" + table(), ["2 lines are left out"]),
    "logger": ("Logger: X1\nSerial,12345\n\nStart;2020-01-01\n" + table(), ["4 lines are left out"]),
    "toa5": ('"TOA5","CR1000","1","2","3"\n"x","z","lab"\n"V","m",""\n"Avg","Smp",""\n' + table(head=""),
             ["1 line is left out", "units ('V', 'm', '')"]),
    "units": (table().replace("lab\n", "lab\n[m/s],°C,-\n", 1), ["units"]),
    "psql": (table("|", head=" x | z | lab ", last=" ").replace("\n", "\n---+---+---\n", 1), ["bars", "a rule"]),
    "titles": ("Report;;\n;;\n;2024;\n" + table(";"), ["semicolons", "3 lines are left out before the header"]),
    "comment between": (
        ("# a\n" + table()).replace("\n", "\n# b\n", 9),
        ["2 lines are left out before the header", "among the rows: in 8 lines, the first is 4"],
    ),
    "comment below": (table() + "  # made by hand, in 2020\n#\n", ["among the rows: in 2 lines, the first is 32"]),
    "air quality": (
        table(";", ",", last=";;") + ";;;;\n;;;;\n",
        ["semicolons", "decimal", "2 rows are", "without a name"],
    ),
    "trailing commas": (table(last=",").replace("lab,", "lab", 1), ["no value is known"]),
    "blank lines": (table().replace("\n", "\n\n", 5) + "\n   \n", []),
    "header again": (table() + "x,z,lab\n", ["the header is there again in line 32"]),
    "header twice again": (table().replace("b\n", "b\nx, z,lab\n", 2), ["again in 2 lines, the first is 2"]),
    "nul": (table().replace("4.44", "4.\x0044"), ["NUL"]),
    "wine": (table(";").replace("x;z;lab", '"x";"z";"lab"'), ["semicolons"]),
    "spaces around": (table().replace(",", " , "), []),
    "quotes": (table().replace("0.37", '"0.37"'), []),
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def writer(data, name="t[1].csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return writer


@pytest.mark.parametrize("style", STYLES)
def test_styles(write, style):
    data, notes = STYLES[style]
    read = read_table(write(data), GUESS, tidy=True)
    np.testing.assert_array_equal(read.X, X)
    assert read.labels.tolist() == LABELS and read.rows.tolist() == list(range(30))
    assert read.names == (("column1", "column2") if "uci" in style else ("x", "z"))
    said = [note for note in read.notes if "target" not in note]
    assert len(said) == len(notes), said
    for part in notes:
        assert any(part in note for note in said), (part, said)


ERRORS = {
    "ragged": (table() + "1,2\n", "line 32: 2 cells, but the header has 3; write missing cells"),
    "ragged, long": (table() + "1,2,a,7\n", "line 32: 4 cells.*in double quotes, or give another --delimiter$"),
    "ragged, all of them": (
        "who,x,lab\n" + "".join(f"Doe, {('Ann', 'Bob')[i % 2]},{i},{i % 2}\n" for i in range(9)),
        "line 2: 4 cells, but the header has 3; put text that holds ',' in double quotes, or .*add the name",
    ),
    "quote": (table() + '"1,2,a\n', "line 32: not a CSV file.*quote"),
    "names": (table(head="x,y,y"), "more than one column 'y'"),
    "slip": (table().replace("0.37", "unknown"), "'x'.*'unknown' in line 3: .*--na unknown .*--categorical x"),
    "notation": (table().replace("0.37", "0x1F"), "'0x1F' in line 3; accepted are"),
    "infinite": ('a,"b\nc",lab\n1,"2\n",a\n\n2,inf,b\n3,1,a\n', "holds 'inf' in line 6"),
    "after a preamble": ("Logger\n\n" + table() + "inf,1,a\n", "'inf' in line 34"),
    "thousands": (
        "x,y\n" + "".join(f'1\'{i + 100},{i % 2}\n"1,{i + 100}",0\n' for i in range(30)),
        "thousands.*--drop x",
    ),
    "thousands and units": ("x;y\n" + "".join(f"{i + 1}.234,5 €;{i % 2}\n" for i in range(30)), "currencies"),
    "money": ("x,y\n" + "".join(f"${i + 1}.50,{i % 2}\n" for i in range(30)), "currencies.*--drop x"),
    "footer": (
        table() + "(30 rows)\n",
        r"line 32: 1 cell, but the header has 3; if this is a note \('\(30 rows\)'\) and no row, remove the line",
    ),
    "totals": (table() + "Total,9.1,\n", "'Total' in line 32.*may hold totals of the rows above it.*: remove it"),
    "excel": (b"PK\x03\x04" + b"x" * 99, "Excel.*CSV"),
    "json lines": ('{"a": 1, "y": 0}\n' * 9, "JSON Lines.*read_json.*lines=True"),
    "json": ('[{"a": 1,\n "y": 0}]\n', "JSON array.*read_json"),
    "json, one object": ('{\n"a": [1, 2],\n"y": [0, 1]}\n', "is JSON and not a table"),
    "arff": ("% made by hand\n@RELATION r\n@attribute a real\n@data\n1\n", "ARFF.*one line of names"),
    "libsvm": ("1 1:0.5 4:2\n0\n0 2:1\n", "LIBSVM.*load_svmlight_file"),
    "html": ("<table><tr><td>a</td></tr></table>\n", "HTML.*read_html"),
    "xml": ('<?xml version="1.0"?>\n<Workbook/>\n', "XML.*save the sheet as CSV"),
    "binary": (bytes(range(256)) * 9, "neither a text file nor a Parquet"),
    "damaged parquet": (b"PAR1" + b"x" * 99, "cannot be read as a table"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_read_says_what_to_type(write, case):
    data, message = ERRORS[case]
    with pytest.raises(InputError, match=message) as error:
        read_table(write(data), GUESS, tidy=True)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("text", ['j,y\n"{""a"": 1}",0\n"[1]",1\n', "1 10:30 12:45\n0 11:30 12:50\n", "[a],{b}\n1,2\n"])
def test_tables_that_only_look_like_other_files(write, text):
    assert read_table(write(text)).names


def kinds(read):
    return {column.name: column.kind for column in read.features.columns}


def test_kinds_of_columns(write):
    gaps = ("\\N", "?")
    lines = [
        f"{i % 30:05d},{'TRUE' if i % 3 else 'false'},{'red' if i % 4 else ' blue '},{i % 28 + 1:02d}/03/2020,"
        f"2020-01-{i % 28 + 1:02d}T1{i % 10}:00:00,{i % 5},1,{i % 5},n{i},{gaps[i % 6 > 0]},{i % 2}"
        for i in range(40)
    ]
    path = write("zip,on,color,day,at,v,one,w,note,gone,y\n" + "\n".join(lines) + "\n")
    read = read_table(path, GUESS, tidy=True)
    expected = dict.fromkeys(("zip", "color"), "categorical") | {"on": "boolean", "day": "date", "at": "date"}
    assert kinds(read) == expected | {"v": "numeric"}
    color = read.features.columns[2]
    assert color.levels == ("blue", "red") and color.values.tolist()[:2] == [0, 1]
    assert str(read.features.columns[3].values[0]) == "2020-03-01T00:00:00.000000"
    notes = "; ".join(read.notes)
    for part in (
        "leading zeros",
        "'one' is left out: the same",
        "'w' is left out: equal to column 'v'",
        "'note' is left out: text that differs in all rows; ",
        "'gone' is left out: no value",
        "format %d/%m/%Y",
    ):
        assert part in notes, part
    asked = {"zip": "numeric", "v,on": "categorical", "one": "numeric", "note": "drop", "day": "date:%d/%m/%Y"}
    again = read_table(path, "y", reading=Reading(kinds=asked), drop=["at,gone"], tidy=True)
    assert kinds(again) == {"zip": "numeric", "on": "categorical", "color": "categorical", "day": "date",
                            "v": "categorical", "one": "numeric", "w": "numeric"}  # fmt: skip
    assert again.features.columns[1].levels == ("false", "true") and again.drop == ("at", "gone")


def test_missing_values(write):
    text = "a,b,y\n1,NA,0\n-,red,1\nnone,none,0\n4,-,1\n#N/A,null,0\n-999,x,1\n" + "5,red,0\n6,x,1\n" * 3
    read = read_table(write(text), "y")
    a, b = read.features.columns
    np.testing.assert_array_equal(a.values[:6], [1, np.nan, np.nan, 4, np.nan, -999])
    assert set(b.levels) == {"-", "none", "red", "x"} and np.flatnonzero(b.missing).tolist() == [0, 4]
    text = text.replace("NA,0", "NA,NA").replace("none,none", "1,none").replace("\n-,", "\n1,")
    read = read_table(write(text.replace("#N/A", "")), "y", reading=Reading(na=("-999", "red")))
    a, b = read.features.columns
    assert np.flatnonzero(a.missing).tolist() == [4, 5] and set(b.levels) == {"NA", "none", "-", "null", "x"}
    assert read.labels.tolist()[:2] == ["NA", "1"]


def test_columns_are_read_as_a_model_has_them(write):
    known = {"size": Known("numeric"), "code": Known("categorical", frozenset(["1", "7", "true"])),
             "on": Known("boolean"), "day": Known("date", form="%d/%m/%Y")}  # fmt: skip
    path = write(
        "day;extra;on;code;size\n03/04/2020;a;1;1.0;1,5\n;b;FALSE;TRUE;\n05/04/2020;;;07;TRUE\n".replace(
            ";TRUE\n", ";2\n"
        )
    )
    read = read_table(path, None, tuple(known), known=known)
    size, code, on, day = read.features.columns
    np.testing.assert_array_equal(size.values, [1.5, np.nan, 2])
    assert [code.levels[i] for i in code.values] == ["1", "true", "07"]
    np.testing.assert_array_equal(on.values, [1, 0, np.nan])
    assert str(day.values[0])[:10] == "2020-04-03"
    for cell, message in (("x", "'size' .* must hold numbers, as in the training, but holds 'x' in line 3"),
                          ("1_0", "'1_0' in line 3; accepted are")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_table(write(f"size\n3\n{cell}\n"), None, ["size"], known={"size": Known("numeric")})


def test_a_model_finds_the_names_that_its_table_does_not_have(write):
    rows = "".join(f"{i % 30},{i % 7},{i % 5 * 1.5},{'ab'[i % 2]},{i % 3},{i % 2}\n" for i in range(40))
    path = write("age,v,v,,,y\n" + rows)
    trained = read_table(path, GUESS)
    assert trained.names == ("age", "v", "v_1", "column4", "column5")
    known = {name: Known("categorical" if name == "column4" else "numeric") for name in trained.names}
    np.testing.assert_array_equal(read_table(path, "y", tuple(known), known=known).X[:, 2], trained.X[:, 2])
    # a header of other columns is one, too
    with pytest.raises(InputError, match="has no columns 'v_1', 'column4', 'column5'; its columns are 'age', 'v', 'x'"):
        read_table(write("age,v,x\n1,2,3\n4,5,6\n"), None, tuple(known), known=known)


def test_a_line_that_holds_a_name_that_the_user_gave_is_the_header(write):
    path = write(
        "2021,2023,2024,y\n" + "".join(f"{i % 9},{i % 7},{i % 5},{'no' if i % 2 else 'yes'}\n" for i in range(40))
    )
    assert read_table(path, GUESS).header is False
    for read in (
        read_table(path, "y"),
        read_table(path, GUESS, drop=["2021,2023"]),
        read_table(path, GUESS, reading=Reading(kinds={"2024": "categorical"})),
    ):
        assert read.header and read.names[-1] == "2024" and read.target == "y" and len(read.labels) == 40


def test_a_last_column_without_a_name_is_the_target_if_it_is_filled(write):
    read = read_table(write(table(head="x,z,")), GUESS, tidy=True)
    assert read.target == "column3" and read.names == ("x", "z") and read.labels.tolist() == LABELS
    assert "the target is the last column, which has no name and is called 'column3' (--target)" in read.notes


def test_points_before_three_digits_do_not_say_that_points_are_decimal_signs():
    for cells, decimal in (("1.234;12.345;1,5", ","), ("1.234;2.50;1,5", "."), ("0.234;2.500;1,5", ".")):
        text = "a;b;c;y\n" + f"{cells};0\n{cells};1\n" * 9
        assert find_layout("t", text, True).decimal == decimal, cells


def test_a_row_of_totals_among_text_is_said(write):
    text = "city,x,y\n" + "".join(f"{('Ulm', 'Bonn')[i % 2]},{i % 7},{i % 3 % 2}\n" for i in range(30))
    assert not any("totals" in note for note in read_table(write(text), "y").notes)
    notes = read_table(write(text + "Total:,90,1\n"), "y").notes
    assert "line 32 may hold totals of the rows above it ('Total:'): remove it if it does" in notes


def test_a_second_line_of_names_is_said(write):
    notes = read_table(write(table(head="Person,,Env\nAge,Income,lab")), GUESS).notes
    assert any("units, or names ('Age', 'Income', 'lab'); if these are the names, remove" in note for note in notes)


def test_what_the_first_lines_do_not_show(write, monkeypatch):
    monkeypatch.setattr("bdnn.tables.source._SAMPLE_BYTES", 2**10)
    text = "x;y\n" + "".join(f"{i % 7};{i % 2}\n" for i in range(600)) + "1,5;0\n"
    read = read_table(write(text), "y")
    assert read.X[-1, 0] == 1.5 and any("decimal" in note for note in read.notes)
    text = "x,c,y\n" + "".join(f"{i % 7}.000000001,{'ab'[i % 2]},{i % 2}\n" for i in range(600)) + "1,\xfc,0\n"
    read = read_table(write(text.encode("latin-1")), "y")
    assert read.features.columns[1].levels == ("a", "b", "ü") and any("Windows" in note for note in read.notes)


def test_parquet_and_zstandard(tmp_path):
    columns = "i * 0.5 AS a, i % 4 = 0 AS t, DATE '2020-01-01' + i::INT AS d, 'q' || (i % 3) AS c, i % 2 AS y"
    source = f"SELECT {columns} FROM range(30) r(i)"
    database = duckdb.connect()
    for name, how in (("t.parquet", "FORMAT parquet"), ("t.csv.zst", "HEADER, COMPRESSION zstd")):
        database.execute(f"COPY ({source}) TO '{tmp_path / name}' ({how})")
        read = read_table(tmp_path / name, GUESS)
        assert kinds(read) == {"a": "numeric", "t": "boolean", "d": "date", "c": "categorical"}
        assert read.X[3, :2].tolist() == [1.5, 0] and read.labels.dtype.kind == "i" and read.target == "y"
        assert str(read.features.columns[2].values[1])[:10] == "2020-01-02"


def test_standard_input_is_read_once_and_asked_twice(run, tmp_path, monkeypatch, write):
    path = write(table())
    with path.open("rb") as file:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": file})())
        monkeypatch.setattr("bdnn.tables.source._copies", {})
        np.testing.assert_array_equal(read_table("-", "lab").X, X)
        np.testing.assert_array_equal(read_table("-", "lab").X, X)


def test_long_cells_of_columns_that_are_dropped(write, monkeypatch):
    lines = [f"{'w' * 20_000}{i},{i % 7},{i % 2}" for i in range(20)]
    path = write("note,x,y\n" + "\n".join(lines) + "\n")
    for drop in ((), ("note",)):
        assert read_table(path, "y", drop=drop, tidy=True).names == ("x",)
    # a line that is longer than the reader takes
    monkeypatch.setattr("bdnn.tables.database._LONGEST_LINE", 2**16)
    huge = write("note,x,y\n" + "\n".join([*lines, "w" * 300_000 + ",1,0"]) + "\n")
    assert read_table(huge, "y", drop=["note"]).X[-1, 0] == 1


def test_commands_carry_names_and_tell_what_becomes_of_columns(run, tmp_path, write):
    rows = [
        f"k{i},{('red', 'green', 'blue')[i % 3]},{i % 7},{1 + i % 2},{'yes' if i % 3 == 0 else 'no'}" for i in range(30)
    ]
    path, model = write("who,color,size,w,answer\n" + "\n".join(rows) + "\n"), tmp_path / "m.json"
    words = ("--id", "who", "--weight", "w", "--hidden", "none", "--method", "exact", "--quiet", "--out", model)
    code, out, err = run("train", path, *words)
    assert (code, err) == (0, "t[1].csv: the target is the last column, 'answer' (--target)\n")
    assert "color   categorical  3 bits for 3 levels" in out and "size    numeric      as it is" in out
    assert "color   categorical" in run("inspect", model)[1]
    new = write("size,color,who\n3,pink,a\n,red,b\n", "new.csv")
    code, out, err = run("predict", model, new, "--keep", "size,color")
    assert (code, out.splitlines()[0]) == (0, "who,size,color,prediction") and out.splitlines()[2] == "b,,red,yes"
    assert "levels that were not seen in the training, in 1 row of column 'color'" in err
    assert run("evaluate", model, path)[1].count("100.00%") > 1
    code, _, err = run("predict", model, write("size,who\n1,a\n", "less.csv"))
    assert code == 2 and "has no column 'color'" in err


def test_certificates_of_mixed_tables(run, tmp_path, write):
    rows = [f"{('red', 'green', 'NA')[i % 3]},{i % 7},{'yes' if i % 3 == 0 or i == 7 else 'no'}" for i in range(30)]
    path, proof = write("color,size,y\n" + "\n".join(rows) + "\n"), tmp_path / "c.json"
    words = ("--hidden", "none", "--method", "exact", "--quiet", "--certificate", proof)
    assert run("train", path, *words)[0] == 0
    code, out, err = run("verify", proof, path)
    assert (code, err) == (0, "") and out.startswith("verified") and "in 'color' by" in out
    path.write_text(path.read_text().replace("red", "green"))
    assert run("verify", proof, path)[0] == 1
