"""Integer programs and their C decide as the models do: random networks, ends of ranges, thresholds, ties, layouts."""

import itertools
import shutil
import subprocess
import warnings

import numpy as np
import pytest

from bdnn import Network
from bdnn.devices import DEVICES
from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.export.building import integer_program
from bdnn.export.c import C
from bdnn.export.c_costs import LAYOUTS
from bdnn.export.c_ensembles import blocks_of
from bdnn.export.golden import random_rows
from bdnn.export.inputs import Interface, device_rows
from bdnn.export.program import DeviceInput, IntegerLayer, IntegerProgram, Member, Signal, smallest_type
from bdnn.export.request import Request
from bdnn.export.rulers import ruler_of
from bdnn.export.steps import rises
from bdnn.model_file.contents import Model
from bdnn.network.grid import InputGrid
from export_cases import answers_in_c, avr_program, requests

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic"]
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is installed")


def needs(*tools):
    gone = [tool for tool in tools if shutil.which(tool) is None]
    if "avr-gcc" in tools and not DEVICES["atmega328p"].has_compiler:
        gone.append("avr-libc")
    return pytest.mark.skipif(bool(gone), reason=f"not installed: {', '.join(gone)}")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="levels that were not seen")
        yield


def wrong_in_c(listed, folder, words, layout=None, selftests=True, stacks=None):
    found = answers_in_c(listed, folder, words, layout, selftests, stacks)
    return [
        (request.name, int((answers != case.answers).sum()), wrong)
        for (case, request, _), (answers, wrong) in zip(listed, found, strict=True)
        if wrong or not np.array_equal(answers, case.answers)
    ]


@pytest.mark.parametrize("first", [0, 250, 500, 750])
@needs_cc
def test_a_thousand_networks(tmp_path, first):
    """One compilation for 250 networks; it takes seconds, as it is a thousand models that are made and compiled."""
    listed = requests(first, 250)
    assert len(listed) >= 240  # the others need more than 64 bits
    assert [r.name for case, r, rows in listed if not np.array_equal(r.program.run(rows), case.answers)] == []
    assert wrong_in_c(listed, tmp_path, ["cc", *STRICT, "-O0"], selftests=False) == []
    kinds = {signal.kind for _, r, _ in listed for signal in r.program.signals()}
    assert kinds == {"value", "steps", "equal"}
    assert {r.program.voting for _, r, _ in listed} == {None, "sum", "majority"}


@pytest.mark.parametrize("layout", LAYOUTS)
@needs_cc
def test_layouts_under_sanitizers(tmp_path, layout):
    listed = requests(2000, 20, "size" if layout != "masks" else "speed")
    words = ["cc", *STRICT, "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert wrong_in_c(listed, tmp_path, words, layout) == []


def loops(listed, optimize, stacks):
    """Blocks of several networks."""
    found = [block for _, request, _ in listed for block in blocks_of(request.program, optimize, stacks)]
    return [block for block in found if len(block.numbers) > 1]


@pytest.mark.parametrize("layout", ["packed", "listed", "masks"])
@needs_cc
def test_networks_of_the_same_shape_in_a_loop(tmp_path, layout):
    """Ensembles whose networks are in a loop wherever they can be, and in the layout wherever they can have it."""
    listed = requests(5000, 60, "speed" if layout == "masks" else "size", alike=True)
    assert len(loops(listed, "size", True)) > 30
    assert wrong_in_c(listed, tmp_path, ["cc", *STRICT, "-O0"], layout, selftests=False, stacks=True) == []


@pytest.mark.parametrize("n_used,words,less", [(64, "net_weights", 4), (5, "net_sizes", 2)])
@needs("avr-gcc", "avr-size")
def test_ten_classes_one_against_one_are_one_loop(tmp_path, n_used, words, less):
    """45 ternary networks take a fraction of the flash, also if each has few of the inputs, which it then lists."""
    rng = np.random.default_rng(0)
    inputs = tuple(DeviceInput(f"x{j}", "numeric", 0, 16, declared=True) for j in range(64))
    members = []
    for codes in itertools.combinations(range(10), 2):
        used = np.sort(rng.permutation(64)[:n_used])
        weights = rng.choice([-1, 1], size=(1, n_used))
        members.append(Member(tuple(Signal(int(j), "value") for j in used), (IntegerLayer(weights, (3,)),), codes))
    program = IntegerProgram(inputs, tuple(members), tuple(range(10)), "sum")
    assert [len(block.numbers) for block in blocks_of(program, "size")] == [45]
    rows = random_rows(program, 4, rng)
    request = Request(program=program, name="net", rows=rows, answers=program.run(rows))
    flash = {}
    for stacks in (None, False):
        files = C(stacks=stacks).files(request)
        assert (words in files["net.c"]) or stacks is False
        for path, text in files.items():
            (tmp_path / path).write_text(text, encoding="utf-8")
        subprocess.run(["avr-gcc", "-mmcu=atmega328p", "-Os", "-c", "net.c"], cwd=tmp_path, check=True)
        said = subprocess.run(["avr-size", "net.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        flash[stacks] = int(said.splitlines()[1].split()[0])
    assert less * flash[None] < flash[False]


@needs_cc
def test_loops_over_networks_under_sanitizers(tmp_path):
    listed = requests(5000, 20, alike=True)
    assert {len(block.member.layers) for block in loops(listed, "size", None)} >= {1, 2}
    words = ["cc", *STRICT, "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert wrong_in_c(listed, tmp_path, words) == []


@needs("clang")
def test_clang(tmp_path):
    assert wrong_in_c(requests(3000, 40, "speed"), tmp_path, ["clang", *STRICT, "-O1"]) == []


CROSS = {
    "avr-gcc": ["-mmcu=atmega328p", "-Os"],
    "arm-none-eabi-gcc": ["-mcpu=cortex-m0", "-mthumb", "-Os"],
    "riscv64-unknown-elf-gcc": ["-march=rv32imac", "-mabi=ilp32", "-ffreestanding", "-Os"],
}


@pytest.mark.parametrize("compiler", CROSS)
def test_cross_compilers(tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    if compiler == "avr-gcc" and not DEVICES["atmega328p"].has_compiler:
        pytest.skip("not installed: avr-libc")
    objects = avr_program(requests(4000, 20), tmp_path, [compiler, *STRICT, *CROSS[compiler]], link=False)
    for name, symbols in objects.items():
        # what a compiler's own library does: shifts and products of long integers, copies of arrays
        foreign = [s for s in symbols if not s.startswith("__") and s not in ("memcpy", "memset")]
        assert foreign == [], name


@needs("avr-gcc", "qemu-system-avr")
def test_on_an_emulated_avr(tmp_path):
    alike = requests(5040, 8, alike=True)
    assert any(len(block.numbers) > 2 for block in loops(alike, "size", None))
    listed = [*requests(4000, 20), *alike]
    words = ["avr-gcc", *STRICT[:-1], "-mmcu=atmega2560", "-O1"]
    assert avr_program(listed, tmp_path, words, link=True) == [0] * len(listed)


def test_files_hold_no_floating_point_and_no_heap():
    for _, request, _ in requests(4000, 20):
        text = C().files(request)[f"{request.name}.c"]
        code = [line for line in text.splitlines() if not line.startswith(("/*", "   Made"))]
        for word in ("float", "double", "malloc", "free(", "#include <std", "#include <string", "#include <math"):
            assert not [line for line in code if word in line], word


def ternary(seed=0, d=6, n=12):
    rng = np.random.default_rng(seed)
    layers = [
        (rng.integers(-1, 2, (d, n)), rng.integers(-2, 3, d)),
        (rng.integers(-1, 2, (3, d)), rng.integers(-1, 2, 3)),
    ]
    return Model(Network(layers, "argmax", ["a", "b", "c"]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ternary_weights_need_no_multiplication(layout):
    program = integer_program(ternary(), Interface(ranges={f"x{j}": (0, 9) for j in range(12)}))
    rows = random_rows(program, 4, np.random.default_rng(0))
    request = Request(program=program, name="net", rows=rows, answers=program.run(rows))
    body = C(layout).files(request)["net.c"].split("READ32(p) (*(p))")[-1]
    statements = [line for line in body.splitlines() if " * " in line and not line.strip().startswith(("/*", "const"))]
    assert statements == []


def test_accumulators_are_as_small_as_proven():
    first = integer_program(ternary(n=12), Interface(ranges={f"x{j}": (0, 9) for j in range(12)})).bounds[0][0]
    layer = ternary(n=12).network.layers[0]
    for (low, high), w, b in zip(first, layer.weights, layer.bias, strict=True):
        assert low <= b + 9 * w[w < 0].sum() and b + 9 * w[w > 0].sum() <= high
        assert smallest_type(low, high) == "int8"
    with pytest.raises(InputError, match="do not fit into int64"):
        smallest_type(0, 2**63)


def test_bounds_hold_partial_sums_in_any_order():
    layer = IntegerLayer(np.array([[100, -100]]), (-120,))
    assert layer.bounds([(0, 1), (0, 1)]) == [(-220, 100)]


@pytest.mark.parametrize(
    "step,offset,scale,n_cuts", [(2.0, 0.0, 1, 63), (0.1, -3.0, 10, 63), (100 / 255, 0.5, 100, 63), (0.5, 0.0, 1, 32)]
)
def test_steps_of_a_grid_are_those_of_its_own_arithmetic(step, offset, scale, n_cuts):
    grid = InputGrid(np.array([offset]), np.array([step]), 6)
    k = np.arange(-2000, 9000)
    cuts, values = rises(lambda x: grid.quantize(x[:, None])[:, 0], -2000, 8999, scale)
    found = Signal(0, "steps", cuts, values).of(k, DeviceInput("x", "numeric", -2000, 8999))
    assert np.array_equal(found, grid.quantize((k / scale)[:, None])[:, 0])
    assert len(cuts) == n_cuts


def test_rulers():
    cuts = tuple(int(np.ceil(7732 + 80.16 * n)) for n in range(200))
    ruler = ruler_of(cuts)
    k = np.arange(7000, 25000)
    inside = 1 + (((k - ruler.first) << ruler.bits) + ruler.offset) // ruler.step
    count = np.where(k < ruler.first, 0, np.where(k >= ruler.last, 200, inside))
    assert np.array_equal(count, np.searchsorted(cuts, k, side="right"))
    assert ruler_of((1, 2, 4, 8, 16, 32, 64)) is None
    assert ruler_of((0, 10, 20)) is None  # short as it is


# ------------------------------------------------------------------------------------------------- inputs and refusals

AGE = ColumnCode("age", "numeric", 40.0, thresholds=(18.0, 39.5), missing_bit=True)
COLOR = ColumnCode("color", "categorical", "red", ("blue", "green", "red"), ("pink",))


def one_neuron(*codes, weights=None, bias=0, grid=None, dtype=np.int64):
    encoder = Encoder(codes)
    w = np.ones(encoder.n_inputs) if weights is None else np.array(weights)
    network = Network(
        [(w[None, :].astype(dtype), np.array([bias], dtype))], "threshold", [0, 1], grid, encoder.input_names
    )
    return Model(network, encoder=encoder)


def test_device_integers_of_a_table():
    model = one_neuron(AGE, COLOR, bias=-2)
    program = integer_program(model, Interface(scale={"age": 10}, missing=("color",)))
    age = RawColumn("age", "numeric", np.array([17.9, 18.0, np.nan, -3.0]))
    color = RawColumn("color", "categorical", np.array([0, 1, 2, -1]), ("red", "pink", "plaid"))
    table = RawTable((color, age))  # found by name
    rows = device_rows(program.inputs, table)
    assert [each.type for each in program.inputs] == ["int16", "int8"]
    assert rows.tolist() == [[179, 2], [180, 3], [-32768, 4], [-30, 5]]
    expected = model.network.predict_index(model.encoder.transform(table))
    assert program.run(rows).tolist() == expected.tolist()


def test_columns_without_weights_are_no_inputs():
    model = one_neuron(AGE, COLOR, ColumnCode("flag", "boolean", 0.0), weights=[0, 0, 0, 1, 0, 0, 0, 1], bias=-1)
    assert [each.column for each in integer_program(model).inputs] == ["color", "flag"]
    constant = integer_program(one_neuron(COLOR, weights=[0, 0, 0, 0]))
    assert constant.inputs == () and constant.run(np.zeros((2, 0), dtype=int)).tolist() == [1, 1]


def test_an_ensemble_of_two_members_adds_and_votes():
    source = DeviceInput("x", "numeric", -9, 9)
    members = tuple(
        Member((Signal(0, "value"),), (IntegerLayer(np.array([[w]]), (b,)),), codes)
        for w, b, codes in ((1, 0, (0, 1)), (-1, 3, (-1, 2)))
    )
    program = IntegerProgram((source,), members, ("a", "b", "c"), "sum")
    x = np.arange(-9, 10)[:, None]
    a, c = 2 * x + 1, 2 * (3 - x) + 1
    assert program.run(x).tolist() == np.argmax(np.hstack([-a, a, c]), axis=1).tolist()
    majority = IntegerProgram((source,), members, ("a", "b", "c"), "majority").run(x)
    assert majority.tolist() == [2 if 3 - k >= 0 and 2 * (3 - k) + 1 > abs(2 * k + 1) else (k >= 0) if 3 - k < 0 or
                                 abs(2 * k + 1) >= 2 * (3 - k) + 1 else 2 for k in range(-9, 10)]  # fmt: skip


REFUSED = {
    "scale": (one_neuron(AGE), Interface(), "declare how many of them are one unit of column 'age'.*--scale age=1"),
    "unknown": (one_neuron(AGE), Interface(scale={"agee": 1}), "scales are declared for column 'agee'"),
    "zero scale": (one_neuron(AGE), None, "scale of column 'age' must be an integer from 1"),
    "raw scale": (
        one_neuron(ColumnCode("n", "numeric", 0.0)), Interface(scale={"n": 10}), "its scale is 1; got 10"),
    "continuous": (one_neuron(AGE, dtype=np.float64), Interface(scale={"age": 1}), "continuous weights.*--data"),
    "64 bits": (
        one_neuron(ColumnCode("n", "numeric", 0.0), weights=[2**40]), Interface(), "do not fit into 64 bits.*--range"),
    "32 bits": (one_neuron(AGE), Interface(scale={"age": 1}, ranges={"age": (0, 2**40)}), "do not fit into 32 bits"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_integers_cannot_express_is_refused(what):
    model, interface, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        integer_program(model, Interface(scale={"age": 0}) if interface is None else interface)


def test_rows_that_the_device_cannot_be_given_are_named():
    program = integer_program(one_neuron(AGE, COLOR), Interface(scale={"age": 10}, ranges={"age": (0, 100)}))
    color = RawColumn("color", "categorical", np.array([0, 0], dtype=np.int32), ("red",))
    gap = RawColumn("color", "categorical", np.array([0, -1], dtype=np.int32), ("red",))
    for values, other, message in (
        ([5.0, 5.25], color, r"row 2, column 'age': 5.25 is no integer on the scale 10; .*--scale age=100"),
        ([5.0, 100.5], color, r"row 2, column 'age': 100.5 is not in the range from 0 to 100 .*--range age=LOW:HIGH"),
        ([5.0, 6.0], gap, r"row 2, column 'color': the value is missing.*--missing color"),
    ):
        with pytest.raises(InputError, match=message):
            device_rows(program.inputs, RawTable((RawColumn("age", "numeric", np.array(values)), other)))
    with pytest.raises(InputError, match="row 1, column 'color': 9 is not in the range"):
        program.run(np.array([[0, 9]]))
    with pytest.raises(InputError, match=r"shape \(m, 2\)"):
        program.run(np.array([[0.5, 1.0]]))


def test_continuous_weights_become_integers_that_decide_the_rows_alike():
    rng = np.random.default_rng(0)
    names = ("a", "b")
    network = Network([(rng.normal(size=(2, 2)), rng.normal(size=2)), (rng.normal(size=(1, 2)), rng.normal(size=1))],
                      "threshold", [0, 1], feature_names=names)  # fmt: skip
    X = np.round(rng.normal(size=(40, 2)), 2)
    table = RawTable(tuple(RawColumn(name, "numeric", X[:, j]) for j, name in enumerate(names)))
    with pytest.raises(InputError, match="--scale a=100"):
        integer_program(Model(network), Interface(), table)
    program = integer_program(Model(network), Interface(every_scale=100), table)
    assert np.array_equal(program.run(device_rows(program.inputs, table)), network.predict_index(X))
