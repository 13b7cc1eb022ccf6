"""Dates in exports: a device is given year, month, day, weekday and hour as integers, and decides as the model."""

import importlib.util
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bdnn import Network
from bdnn.encoding.codes import PARTS, ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.export.building import integer_program
from bdnn.export.c import C
from bdnn.export.inputs import Interface, device_rows
from bdnn.export.micropython import MicroPython
from bdnn.export.onnx_file import session_of
from bdnn.export.onnx_target import Onnx
from bdnn.export.request import ModelRequest, Request
from bdnn.export.verilog import Verilog, simulated
from bdnn.export.vnnlib import VnnLib
from bdnn.model_file.contents import Model
from export_cases import answers_in_c, requests
from export_loop import cases

ONNX = importlib.util.find_spec("onnx") is not None and importlib.util.find_spec("onnxruntime") is not None
DAY = ColumnCode("day", "date", "2024-03-31T13:00:00", parts=PARTS, missing_bit=True)
DAYS = RawColumn("day", "date", np.array(["2024-01-31", "NaT", "1969-12-31T23:59:59"], dtype="datetime64[us]"))


def model_of(weights, code=DAY, bias=0):
    encoder = Encoder((code,))
    layer = np.array([weights], dtype=np.int64), np.array([bias], dtype=np.int64)
    return Model(Network([layer], "threshold", [0, 1], None, encoder.input_names), encoder=encoder)


def test_the_parts_of_a_date_are_inputs():
    program = integer_program(model_of([1, 1, 1, 1, 1, 1]))
    assert [(each.name, each.low, each.high, each.type) for each in program.inputs] == [
        ("day year", 1, 9999, "int16"), ("day month", 1, 12, "int8"), ("day day", 1, 31, "int8"),
        ("day weekday", 0, 6, "int8"), ("day hour", 0, 23, "int8"),
    ]  # fmt: skip
    rows = device_rows(program.inputs, RawTable((DAYS,)))
    gone = [each.missing for each in program.inputs]
    # the last day of January 2024 was a Wednesday, and so was that of 1969
    assert rows.tolist() == [[2024, 1, 31, 2, 0], gone, [1969, 12, 31, 2, 23]] and None not in gone


@pytest.mark.parametrize("part", [None, *range(5)])
def test_a_missing_date_is_seen_in_a_part_that_is_used(part):
    """The last of March 2024, a Sunday, at 13 o'clock, takes the place of missing dates."""
    weights = np.zeros(6, dtype=np.int64)
    weights[5] = 10_000
    if part is not None:
        weights[part] = 1
    for bias in (0, -10_000, -10_001 - (2024, 3, 31, 6, 13)[part or 0], -10_000 - (2024, 3, 31, 6, 13)[part or 0]):
        model = model_of(weights, bias=bias)
        program = integer_program(model)
        assert [each.part for each in program.inputs] == [PARTS[part or 0]]
        table = RawTable((DAYS,))
        expected = model.network.predict_index(model.encoder.transform(table))
        assert program.run(device_rows(program.inputs, table)).tolist() == expected.tolist()


def test_ranges_are_those_of_parts():
    date = ColumnCode("day", "date", parts=PARTS[:-1])
    wanted = Interface(ranges={"day year": (Fraction(2020), Fraction(2039))}, every_scale=10)
    (year,) = integer_program(model_of([1, 0, 0, 0], date), wanted).inputs
    assert (year.low, year.high, year.scale, year.missing) == (2020, 2039, 1, None)
    with pytest.raises(InputError, match=r"row 1, column 'day year': 1969 .*--range 'day year'=LOW:HIGH"):
        device_rows((year,), RawTable((RawColumn("day", "date", DAYS.values[2:]),)))
    with pytest.raises(InputError, match=r"row 1, column 'day': the value is missing.*--missing day"):
        device_rows((year,), RawTable((RawColumn("day", "date", DAYS.values[1:2]),)))
    with pytest.raises(InputError, match=r"ranges are declared for column 'day', but the columns .* 'day year'"):
        integer_program(model_of([1, 0, 0, 0], date), Interface(ranges={"day": (Fraction(0), Fraction(1))}))


def test_programs_decide_as_the_models():
    listed = cases(7000, 60, dates=True)
    for case, request, rows in listed:
        assert np.array_equal(request.program.run(rows)[: len(case.answers)], case.answers), request.name
        found = MicroPython().decide(request, MicroPython().files(request), rows)
        assert np.array_equal(found, request.program.run(rows)), request.name
    inputs = [each for _, request, _ in listed for each in request.program.inputs if each.kind == "date"]
    assert {each.part for each in inputs} == set(PARTS)
    assert {each.missing is None for each in inputs} == {True, False}


@pytest.mark.filterwarnings("ignore:levels that were not seen")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is installed")
def test_c_decides_as_the_models(tmp_path):
    listed = requests(7000, 40, dates=True)
    found = answers_in_c(listed, tmp_path, ["cc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-O0"])
    for (case, request, _), (answers, wrong) in zip(listed, found, strict=True):
        assert np.array_equal(answers, case.answers) and not wrong, request.name


@pytest.mark.skipif(shutil.which("iverilog") is None or shutil.which("vvp") is None, reason="not installed: iverilog")
def test_circuits_decide_as_the_models():
    listed = cases(7000, 60, dates=True)[:12]
    answers = simulated([(request, Verilog().files(request), rows) for _, request, rows in listed])
    for (_, request, rows), found in zip(listed, answers, strict=True):
        assert np.array_equal(found, request.program.run(rows)), request.name


@pytest.mark.skipif(not ONNX, reason="not installed: onnx, onnxruntime")
def test_onnx_decides_as_the_models():
    for case, request, _ in cases(7000, 60, dates=True):
        asked = ModelRequest(model=case.model, name="model", table=None, interface=case.interface)
        try:
            files = Onnx().files(asked)
        except InputError as error:
            assert "64 bits" in str(error)  # where no range is declared
            continue
        assert np.array_equal(Onnx().decide(asked, files, case.table), case.answers), request.name
        shapes = {each.name: each.shape for each in session_of(files["model.onnx"]).get_inputs()}
        for code in case.model.encoder_in_use.columns:
            assert shapes[code.name] == ["rows", max(len(code.parts), 1)]


@pytest.mark.skipif(not ONNX, reason="not installed: onnx, onnxruntime")
def test_no_radius_moves_a_date():
    model, year = model_of([1, 0, 0, 0, 0, 0]), Interface(ranges={"day year": (Fraction(2000), Fraction(2099))})
    asked = ModelRequest(model=model, name="net", table=RawTable((DAYS,)), interface=year, radius=0.5)
    with pytest.raises(InputError, match=r"column 'day year' is not moved, so that it has no range"):
        VnnLib().files(asked)


def test_names_of_the_files():
    program = integer_program(model_of([1, 1, 0, 1, 0, 1]))
    rows = device_rows(program.inputs, RawTable((DAYS,)))
    request = Request(program=program, name="net", rows=rows, answers=program.run(rows))
    header = C().files(request)["net.h"]
    for line in (
        " * - NET_DAY_YEAR (0): column 'day', year of the date, int16_t, from 1 to 9999; missing: NET_DAY_YEAR_MISSING",
        " * - NET_DAY_WEEKDAY (2): column 'day', weekday of the date, 0 is Monday, int8_t, from 0 to 6; missing:",
        "NET_DAY_YEAR = 0, NET_DAY_MONTH = 1, NET_DAY_WEEKDAY = 2\n",
        "#define NET_DAY_MONTH_MISSING -128\n",
    ):
        assert line in header
    assert "NET_DAY_MONTH = 1\nNET_DAY_MONTH_MISSING = -128\n" in MicroPython().files(request)["net.py"]
    assert "x_day_weekday: column 'day', weekday of the date, 0 is Monday" in Verilog().files(request)["net.v"]


@pytest.mark.parametrize("target", ["micropython", "c"])
def test_a_table_with_dates_and_gaps(run, tmp_path, target):
    """The machines of the examples, some of whose dates are taken out."""
    if target == "c" and shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) is installed")
    lines = (Path(__file__).parents[1] / "examples" / "data" / "machines.csv").read_text("utf-8").splitlines()
    cells = [line.split(";") for line in lines]
    place = cells[1].index("inspected")
    for number, row in enumerate(cells[3:]):
        if number % 7 == 3:
            row[place] = ""
    table, model, out = tmp_path / "gaps.csv", tmp_path / "gaps.json", tmp_path / "out"
    table.write_text("\n".join(";".join(row) for row in cells) + "\n", encoding="utf-8")
    words = ("--id", "machine", "--drop", "speed,temperature,oiled", "--weights", "integer", "--weight-bound", 3)
    code, _, err = run("train", table, *words, "--hidden", 2, "--missing-indicator", "always", "--time-limit", 0.5,
                       "--quiet", "--out", model)  # fmt: skip
    assert code == 0, err
    code, said, err = run("export", model, "--to", target, "--out", out, "--check", table, "--range",
                          "inspected year=2000:2099")  # fmt: skip
    assert code == 0, err
    assert said.splitlines()[-1] == "80 of 80 rows equal"
    inputs = json.loads((out / "bdnn-export.json").read_text())["inputs"]
    dates = [each for each in inputs if each["kind"] == "date"]
    assert dates and all(each["column"] == "inspected" and each["missing"] is not None for each in dates)
    assert {each["part"] for each in dates} <= {"year", "month", "day", "weekday"}
