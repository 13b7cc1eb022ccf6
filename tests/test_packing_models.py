"""Models as few bytes: equal decisions on raw tables, the specification read by another reader, hostile bytes."""

import contextlib
import csv
import json
import math
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import bdnn
import plain
from bdnn import Network, Schema
from bdnn.cli import cli
from bdnn.encoding.codes import PARTS, ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError, ModelFileError, PackedError
from bdnn.model_file.contents import EnsembleMember, EnsembleModel, Model
from bdnn.model_file.packed import pack, unpack
from bdnn.model_file.writing import save_model
from bdnn.network.column_format import ColumnFormat
from bdnn.network.grid import InputGrid
from bdnn.network.packing import packed, packed_size
from bdnn.network.packing_numbers import Writer
from export_cases import random_case
from packed_evaluation import answer
from packed_reader import Reader

CASES = 40
FUZZED = 10_000

pytestmark = pytest.mark.filterwarnings("ignore:levels that were not seen")


@cache
def case(seed):
    return random_case(seed)


def schemas(model, table):
    """What is known without rows, and what they say."""
    return Schema.of(model), Schema.of(model, table)


def rows_of(table):
    """The rows of a table as plain values, None where missing."""
    columns = []
    for column in table.columns:
        values = [column.levels[k] for k in column.values] if column.kind == "categorical" else column.values.tolist()
        columns.append([None if gap else value for value, gap in zip(values, column.missing, strict=True)])
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("seed", range(CASES))
def test_models_decide_the_same(seed):
    given = case(seed)
    for schema in schemas(given.model, given.table):
        data = pack(given.model, schema)
        again = bdnn.from_bytes(data, schema)
        np.testing.assert_array_equal(again.predict(given.table), given.answers)
        assert len(again.to_bytes(schema)) <= len(data)
        if isinstance(given.model, Model):
            assert packed_size(given.model.network, schema, given.model.encoder) == len(data)


@pytest.mark.parametrize("seed", range(CASES))
def test_the_specification_is_enough_to_read_them(seed):
    given = case(seed)
    for schema in schemas(given.model, given.table):
        known = json.loads(json.dumps(schema.to_dict()))
        read = Reader(pack(given.model, schema), known)
        assert [answer(read, known, row) for row in rows_of(given.table)[::3]] == given.answers[::3].tolist()


def thresholds_model(thresholds, named=True, **fill):
    codes = tuple(ColumnCode(f"c{j}", "numeric", thresholds=t, used=bool(t), **fill) for j, t in enumerate(thresholds))
    encoder = Encoder(codes, named)
    net = Network([(np.ones((1, encoder.n_inputs), dtype=int), [-2])], head="threshold", classes=[0, 1])
    return Model(net, encoder=encoder)


def test_thresholds_keep_their_values_on_real_columns_and_become_integers_on_others():
    model = thresholds_model([(0.1, 2.5, math.pi), (0.5, 3.5), ()])
    real = unpack(pack(model, Schema.of(model)), Schema.of(model))
    assert [code.thresholds for code in real.encoder.columns] == [(0.1, 2.5, math.pi), (0.5, 3.5), ()]
    schema = Schema([ColumnFormat("c0"), ColumnFormat("c1", low=-1, bits=4), ColumnFormat("c2", low=0, bits=9)], [0, 1])
    whole = unpack(pack(model, schema), schema)
    assert [code.thresholds for code in whole.encoder.columns] == [(0.1, 2.5, math.pi), (1.0, 4.0), ()]
    tenths = Schema([ColumnFormat("c0"), ColumnFormat("c1", low=-10, bits=7, scale=10), ColumnFormat("c2")], [0, 1])
    assert unpack(pack(model, tenths), tenths).encoder.columns[1].thresholds == (0.5, 3.5)
    # outside the range, and two that are the same integer: as they are
    for odd in ((0.5, 99.5), (0.25, 0.75)):
        model = thresholds_model([(), odd])
        schema = Schema([ColumnFormat("c0"), ColumnFormat("c1", low=-1, bits=4)], [0, 1])
        assert unpack(pack(model, schema), schema).encoder.columns[1].thresholds == odd


def test_float16_thresholds_take_16_bits():
    rng = np.random.default_rng(0)
    each = sorted(rng.normal(size=40).astype(np.float16).astype(float).tolist())
    model = thresholds_model([tuple(each)])
    assert 78 <= len(pack(model, Schema.of(model))) <= 100
    more = sorted(rng.normal(size=40).astype(np.float32).astype(float).tolist())
    model = thresholds_model([tuple(more)])
    assert 158 <= len(pack(model, Schema.of(model))) <= 180


def test_thresholds_of_a_column_are_a_choice():
    schema = Schema([ColumnFormat("c0", low=0, bits=8)], [0, 1])
    model = thresholds_model([tuple(float(t) for t in range(3, 250, 2))])
    assert len(pack(model, schema)) < 255 / 8 + 30  # of 124 thresholds of 8 bits each


def table(m=120):
    rng = np.random.default_rng(3)
    day = np.datetime64("2024-02-28T22:00", "us") + rng.integers(0, 90_000, m) * np.timedelta64(1, "m")
    gap = rng.random((4, m)) < 0.2
    columns = [
        RawColumn("age", "numeric", np.where(gap[0], np.nan, rng.integers(17, 90, m))),
        RawColumn("on", "boolean", np.where(gap[1], np.nan, rng.integers(0, 2, m))),
        RawColumn("day", "date", np.where(gap[2], np.datetime64("NaT", "us"), day)),
        RawColumn("kind", "categorical", np.where(gap[3], -1, rng.integers(0, 5, m)).astype(np.int32), tuple("abcdz")),
    ]
    return RawTable(tuple(columns))


@pytest.mark.parametrize("seed", range(12))
def test_every_kind_of_column_and_gap(seed):
    rng = np.random.default_rng(seed)
    bit = bool(seed % 2)
    encoder = Encoder((
        ColumnCode("age", "numeric", 41.0, thresholds=((), (20.5, 41.0, 60.5))[seed % 3 > 0], missing_bit=bit),
        ColumnCode("on", "boolean", 1.0, missing_bit=bit),
        ColumnCode("day", "date", "2024-03-01T05:30:00", parts=PARTS if seed % 4 else PARTS[:-1], missing_bit=bit),
        ColumnCode("kind", "categorical", ("b", "d", "?")[seed % 3], ("a", "b", "c"), ("d", "e"), missing_bit=not bit),
    ))  # fmt: skip
    # differences of years decide as often as hours
    X = encoder.transform(table())
    W = rng.choice([-1, 0, 0, 1], size=(4, encoder.n_inputs))
    net = Network([(W, -(W * X[:4]).sum(axis=1).astype(int)), (rng.integers(-2, 3, (3, 4)), [0, 1, 0])],
                  head="argmax", classes=list("xyz"), feature_names=encoder.input_names)  # fmt: skip
    model = Model(net, encoder=encoder)
    for schema in schemas(model, table()):
        data = pack(model, schema)
        np.testing.assert_array_equal(bdnn.from_bytes(data, schema).predict(table()), net.predict(X))
        read = Reader(data, schema.to_dict())
        rows = [tuple(each) for each in rows_of(table())]
        assert [schema.classes[answer(read, schema.to_dict(), row)] for row in rows] == net.predict(X).tolist()


def test_a_schema_without_gaps_takes_no_replacements():
    encoder = Encoder((ColumnCode("a", "numeric", 0.1, missing_bit=True), ColumnCode("b", "numeric", 7.5)))
    net = Network([([[1, 5, -1]], [0])], head="threshold", classes=[0, 1], feature_names=encoder.input_names)
    model = Model(net, encoder=encoder)
    full = RawTable((RawColumn("a", "numeric", np.array([1.0, 2.0])), RawColumn("b", "numeric", np.array([1.5, 0.5]))))
    wide, narrow = schemas(model, full)
    assert len(pack(model, narrow)) < len(pack(model, wide))
    again = unpack(pack(model, narrow), narrow)
    assert [code.fill for code in again.encoder.columns] == [None, None]
    assert again.network.predict(again.encoder.transform(full)).tolist() == [0, 1]
    unknown = Schema([ColumnFormat("a", missing=True), ColumnFormat("b")], [0, 1])
    older = Model(Network([([[1, 1]], [0])], head="threshold", classes=[0, 1], feature_names=["a", "b"]))
    with pytest.raises(InputError, match="nothing to replace them with"):
        pack(older, unknown)


@pytest.mark.parametrize("weights", [[1, 0], [0, 0]])
@pytest.mark.parametrize("thresholds", [(), (1.5,)])
def test_a_column_that_decides_nothing_may_be_missing(weights, thresholds):
    encoder = Encoder((ColumnCode("a", "numeric", thresholds=thresholds), ColumnCode("b", "numeric", used=False)))
    net = Network([([weights[: encoder.n_inputs]], [-1])], head="threshold", classes=[0, 1],
                  feature_names=encoder.input_names)  # fmt: skip
    full, gaps = np.array([1.0, 2.0]), np.full(2, np.nan)
    rows = RawTable((RawColumn("a", "numeric", full), RawColumn("b", "numeric", gaps)))
    model = Model(net, encoder=encoder)
    schema = Schema.of(model)
    assert not any(column.missing for column in schema.columns)
    again = unpack(pack(model, schema), schema)
    assert (
        again.network.predict(again.encoder.transform(rows)).tolist() == net.predict(encoder.transform(rows)).tolist()
    )
    with contextlib.nullcontext() if not any(weights) else pytest.raises(InputError, match="nothing to replace"):
        again.encoder.transform(RawTable((RawColumn("a", "numeric", gaps), RawColumn("b", "numeric", gaps))))


def test_shared_inputs_and_grids_of_members_are_stored_once():
    rng = np.random.default_rng(0)
    grid = InputGrid(rng.normal(size=9), rng.random(9) + 0.1, 8)

    def ensemble(count):
        members = []
        for _ in range(count):
            features = np.sort(rng.permutation(9)[:6])
            own = InputGrid(grid.offset[features], grid.step[features], 8)
            net = Network([(rng.choice([-1, 1], size=(3, 6)), [0, 1, 2])], head="argmax", classes=[0, 1, 2], grid=own)
            members.append(EnsembleMember(net, features))
        return EnsembleModel(np.arange(3), 9, None, tuple(members), {"scheme": "multiclass", "voting": "sum"}, {})

    models = [ensemble(count) for count in (2, 12)]
    sizes = [len(pack(model, Schema.of(model))) for model in models]
    assert 10 * 18 / 8 < sizes[1] - sizes[0] < 10 * 12  # the grid of a member alone takes 6 * 16 bytes
    assert sizes[0] > 9 * 14


@pytest.mark.parametrize("classes", [[[0, 1], [1, 2]], [[-1, 2], [-1, 0]], [[2, 0, 1]], [[0, 1, 2], [0, 2]]])
def test_members_of_other_classes_than_the_scheme_says(classes):
    rng = np.random.default_rng(1)
    members = tuple(
        EnsembleMember(
            Network([(rng.integers(-3, 4, (len(c), 4)), np.arange(len(c)))], head="argmax", classes=c), np.arange(4)
        )
        for c in classes
    )
    model = EnsembleModel(np.arange(3), 4, None, members, {"scheme": "one_vs_one", "voting": "majority"}, {})
    schema = Schema.of(model, X := rng.integers(-5, 6, (80, 4)).astype(float))
    again = bdnn.from_bytes(pack(model, schema), schema)
    assert [m.network.classes.tolist() for m in again.members_] == classes
    from bdnn.estimators.ensemble import ensemble_of

    np.testing.assert_array_equal(again.predict(X), ensemble_of(model).predict(X))


def test_continuous_members_keep_their_sums():
    rng = np.random.default_rng(1)
    members = tuple(
        EnsembleMember(plain.random_network(rng, 3, (4,), [0, 1, 2], "argmax"), np.sort(rng.permutation(5)[:3]))
        for _ in range(4)
    )
    model = EnsembleModel(np.arange(3), 5, None, members, {"scheme": "multiclass", "voting": "sum"}, {})
    schema = Schema.of(model)
    again = unpack(pack(model, schema), schema)
    for mine, other in zip(again.members, members, strict=True):
        for layer, same in zip(mine.network.layers, other.network.layers, strict=True):
            np.testing.assert_array_equal(layer.weights, same.weights)
            np.testing.assert_array_equal(layer.bias, same.bias)


def refuses(data, schema):
    try:
        unpack(data, schema)
    except PackedError as error:
        assert str(error) and len(str(error)) <= 300
        return True
    return False


def test_hostile_bytes_give_one_error():
    rng = np.random.default_rng(1)
    pairs = [(pack(c.model, s), s) for c in map(case, range(12)) for s in schemas(c.model, c.table)]
    pairs.append((b"\1", Schema([ColumnFormat(f"x{j}") for j in range(200)], range(10))))
    refused = 0
    for k in range(FUZZED):
        data, schema = pairs[int(rng.integers(len(pairs)))]
        if k % 2:
            damaged = bytearray(data)
            for at in rng.integers(len(data), size=rng.integers(1, 4)):
                damaged[at] = rng.integers(256)
            data = bytes(damaged[: rng.integers(1, len(data) + 1)] if k % 6 == 1 else damaged)
        else:
            data = rng.bytes(int(rng.integers(0, 24)))
            data = data[:1].replace(data[:1], bytes([(data or b"\0")[0] & 252 | int(rng.integers(3))])) + data[1:]
        refused += refuses(data, schema)
    assert FUZZED / 2 < refused < FUZZED


def test_few_bytes_do_not_take_much_memory():
    schema = Schema([ColumnFormat(f"x{j}") for j in range(30)], [0, 1, 2])

    def start(kind):
        out = Writer()
        out.digit(kind, 4)
        return out

    wide, many, deep, repeated = start(1), start(2), start(1), start(1)
    for out in (wide, deep):
        for value, base in ((0, 3), (0, 3), (0, 2), (0, 2), (0, 2)):  # all columns, no grid, threshold head, integers
            out.digit(value, base)
    wide.count(1)
    wide.count(2**40)  # hidden neurons
    deep.count(2**30)  # layers
    many.digit(2, 3)
    many.digit(0, 2)
    many.count(2**50)  # members
    repeated.digit(1, 3)
    repeated.digit(2, 3)
    repeated.count(2**45)  # inputs
    texts = [out.to_bytes(0, 0) for out in (wide, many, deep, repeated)]
    tracemalloc.start()
    for data in [*texts, b"\xff" * 20, b"\xfd" * 20, b"\1" + b"\xff" * 19, bytes([2] * 20), bytes(20)[:-1] + b"\1"]:
        refuses(data, schema)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert all(refuses(data, schema) for data in texts)


def test_errors_say_what_is_wrong():
    net = Network([([[1, -1]], [0])], head="threshold", classes=["no", "yes"])
    with pytest.raises(PackedError, match="version"):
        Network.from_bytes(b"\7", net.schema)
    with pytest.raises(ModelFileError, match="left behind the end"):
        Network.from_bytes(b"\0\7", net.schema)
    assert Network.from_bytes(net.to_bytes() + b"\0\0", net.schema) == net
    with pytest.raises(InputError, match="other classes"):
        net.to_bytes(Schema(net.schema.columns, ["yes", "no"]))
    with pytest.raises(InputError, match="takes 2 inputs"):
        net.to_bytes(Schema([ColumnFormat("a")], ["no", "yes"]))
    model = thresholds_model([(0.5,), (1.5, 2.5)])
    data, schema = pack(model, Schema.of(model)), Schema.of(model)
    with pytest.raises(PackedError, match=r"read them with bdnn\.from_bytes"):
        Network.from_bytes(data, schema)
    with pytest.raises(InputError, match="other columns"):
        packed(model.network, Schema([ColumnFormat("c1"), ColumnFormat("c0")], [0, 1]), model.encoder)


def command(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_packed_file_is_a_model_file(tmp_path):
    given = next(each for each in map(case, range(40)) if isinstance(each.model, Model) and len(each.table.columns) > 3)
    table, model, out = tmp_path / "rows.csv", tmp_path / "model.json", tmp_path / "model.bdnn"
    lines = [["" if v is None else str(v) for v in row] for row in rows_of(given.table)]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([given.table.names, *lines])
    save_model(model, given.model)
    wide = len(command("pack", model, "--out", out)) and out.stat().st_size
    said = command("pack", model, "--out", out, "--data", table)
    assert said.startswith(f"{out.stat().st_size} bytes") and 0 < out.stat().st_size <= wide
    assert Schema.from_dict(json.loads(Path(f"{out}.schema.json").read_text(encoding="utf-8"))).named
    assert command("predict", out, table) == command("predict", model, table)
    np.testing.assert_array_equal(bdnn.load(out).predict(given.table), given.answers)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"named": true}', "[" * 100_000, '{"named": NaN}'])
def test_a_schema_file_that_is_none(tmp_path, text):
    packed_file = tmp_path / "model.bdnn"
    packed_file.write_bytes(b"\0")
    Path(f"{packed_file}.schema.json").write_text(text)
    with pytest.raises(ModelFileError, match="its schema"):
        bdnn.load(packed_file)
