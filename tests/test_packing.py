"""Networks and models as few bytes: equal decisions, the specification read by another reader, hostile bytes."""

import contextlib
import csv
import itertools
import json
import math
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

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
from bdnn.network.packing_numbers import Reader as Numbers
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


def formats(rng, n, kinds=("real", "integer", "bit")):
    """Columns of numbers, and rows that keep to them."""
    listed, columns = [], []
    for j in range(n):
        kind = rng.choice(kinds)
        low, bits = (int(rng.integers(-9, 9)), int(rng.integers(1, 6))) if kind == "integer" else (0, 1)
        if kind == "real":
            listed.append(ColumnFormat(f"x{j}"))
            columns.append(rng.choice([rng.normal(size=80), rng.integers(-3, 4, 80) / 2]))
        else:
            listed.append(ColumnFormat(f"x{j}", low=low, bits=bits))
            columns.append(rng.integers(low, low + 2**bits, 80).astype(float))
    return listed, np.column_stack(columns)


def a_grid(rng, n):
    bits = int(rng.integers(1, 17))
    step, offset = rng.random(n) + 0.1, np.round(rng.normal(size=n), int(rng.integers(0, 4)))
    kind = rng.integers(3)
    if kind == 1:  # from the least to the largest value of a table
        step = (np.round(offset + 1 + rng.random(n), 2) - offset) / (2.0**bits - 1)
    elif kind == 2:
        step = 2.0 ** rng.integers(-3, 4, n)
        offset = step * rng.integers(-5, 5, n)
    return InputGrid(offset, step, bits)


@pytest.mark.parametrize("seed", range(90))
def test_networks_decide_the_same(seed):
    rng = np.random.default_rng(seed)
    n, C = int(rng.integers(1, 8)), int(rng.integers(2, 5))
    listed, X = formats(rng, n, [("real",), ("integer", "bit"), ("real", "integer", "bit")][seed % 3])
    schema = Schema(listed, [f"class {c}" for c in range(C)], bool(seed % 2))
    hidden = tuple(rng.integers(1, 7, rng.integers(0, 4)).tolist())
    head = ["argmax", "threshold"][int(rng.integers(2))]
    net = plain.random_network(
        rng, n, hidden, schema.classes, head, integer=bool(rng.random() < 0.7),
        grid=a_grid(rng, n) if rng.random() < 0.4 else None, bound=int(rng.choice([1, 1, 2, 9, 200, 2**40])),
    )  # fmt: skip
    for known in (schema, net.schema):
        data = net.to_bytes(known)
        assert packed_size(net, known) == len(data)
        again = Network.from_bytes(data, known)
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
        assert again.n_features == n and again.is_integer == net.is_integer
        read = Reader(data, known.to_dict())
        assert [known.classes[answer(read, known.to_dict(), row)] for row in X[::4].tolist()] == net.predict(X)[
            ::4
        ].tolist()
    assert net.size_bytes == len(net.to_bytes())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_integer_networks_decide_the_same_on_all_inputs(seed, n):
    """Every reduction, on inputs of 0 to 3, all of them."""
    rng = np.random.default_rng(seed)
    C = int(rng.integers(2, 4))
    listed = [ColumnFormat(f"x{j}", low=0, bits=2) for j in range(n)]
    hidden = tuple(rng.integers(1, 5, rng.integers(0, 3)).tolist())
    net = plain.random_network(rng, n, hidden, range(C), ["argmax", "threshold"][seed % 2], integer=True)
    X = np.array(list(itertools.product(range(4), repeat=n)), dtype=float)
    schema = Schema(listed, range(C))
    np.testing.assert_array_equal(Network.from_bytes(net.to_bytes(schema), schema).predict(X), net.predict(X))


@pytest.mark.parametrize("C", [2, 3, 7, 64])
@pytest.mark.parametrize("depth", [0, 2])
def test_a_constant_is_one_byte(C, depth):
    for c in {0, C // 2, C - 1}:
        hidden = [(np.zeros((3, 5 if not k else 3), dtype=int), np.zeros(3, dtype=int)) for k in range(depth)]
        last = np.zeros((C, 3 if depth else 5), dtype=int), (np.arange(C) == c).astype(int)
        net = Network([*hidden, last], head="argmax", classes=np.arange(C))
        assert len(net.to_bytes()) == net.size_bytes == 1
        assert set(Network.from_bytes(net.to_bytes(), net.schema).predict(np.eye(5)).tolist()) == {c}


def test_what_does_not_matter_is_left_out():
    W, b = np.array([[2, 0, -4], [0, 0, 0], [6, 0, 2]]), np.array([3, 5, -1])
    net = Network([(W, b), ([[3, 1, 0]], [-2])], head="threshold", classes=[0, 1])
    schema = Schema([ColumnFormat(f"x{j}", low=0, bits=1) for j in range(3)], [0, 1])
    again = Network.from_bytes(net.to_bytes(schema), schema)
    # one neuron, of weights 1 and -2 after the division by 2, at least -1.5; the second one always gives 1
    assert [layer.weights.tolist() for layer in again.layers] == [[[1, 0, -2]], [[1]]]
    assert [layer.bias.tolist() for layer in again.layers] == [[1], [-1]]


def test_two_outputs_become_one_and_the_least_bias_0():
    net = Network([([[1, 2], [3, -1]], [4, 6])], head="argmax", classes=[0, 1])
    bits = Schema([ColumnFormat("a", low=0, bits=3), ColumnFormat("b", low=0, bits=3)], [0, 1])
    again = Network.from_bytes(net.to_bytes(bits), bits)
    assert (again.head, again.layers[0].weights.tolist(), again.layers[0].bias.tolist()) == (
        "threshold",
        [[2, -3]],
        [1],
    )
    real = Network.from_bytes(net.to_bytes(), net.schema)  # 1 more is not enough where sums are no integers
    assert (real.head, real.layers[0].bias.tolist()) == ("argmax", [0, 2])


def test_rules_say_nothing_about_their_biases():
    rng = np.random.default_rng(0)
    W = rng.choice([-1, 0, 1], size=(20, 40), p=[0.05, 0.9, 0.05])
    schema = Schema([ColumnFormat(f"x{j}", low=0, bits=1) for j in range(40)], [0, 1])
    last = rng.choice([-1, 1], size=(1, 20)), [0]
    sizes = [
        packed_size(Network([(W, -(W > 0).sum(axis=1) + more), last], head="threshold", classes=[0, 1]), schema)
        for more in (0, np.arange(20) % 2)
    ]
    assert sizes[0] + 3 <= sizes[1]


def test_sparse_weights_take_what_their_entropy_is():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.1, 0.5):
        W = np.where(rng.random((50, 200)) < share, rng.choice([-1, 1], size=(50, 200)), 0)
        net = Network(
            [(W, np.zeros(50, dtype=int)), (np.ones((1, 50), dtype=int), [-5])], head="threshold", classes=[0, 1]
        )
        share = np.mean(W != 0)
        entropy = -share * math.log2(share / 2) - (1 - share) * math.log2(1 - share)
        assert entropy * W.size / 8 - 2 < net.size_bytes < entropy * W.size / 8 + 50


def test_large_sparse_layers_say_where_their_weights_are():
    rng = np.random.default_rng(0)
    W = np.zeros((450, 300), dtype=np.int64)
    for row in W[1:]:
        row[rng.choice(300, rng.integers(1, 6), replace=False)] = 1
    W *= rng.choice([-3, -2, -1, 1, 2], W.shape)
    net = Network([(W, rng.integers(-2, 3, 450)), (rng.integers(-3, 4, (3, 450)), [0, 1, 2])], head="argmax",
                  classes=list("abc"))  # fmt: skip
    schema = Schema([ColumnFormat(f"x{j}", low=0, bits=1) for j in range(300)], list("abc"))
    data, X = net.to_bytes(schema), rng.integers(0, 2, (40, 300))
    assert len(data) == packed_size(net, schema) < 0.25 * W.size / 8
    np.testing.assert_array_equal(Network.from_bytes(data, schema).predict(X), net.predict(X))
    read = Reader(data, schema.to_dict())
    assert [schema.classes[answer(read, schema.to_dict(), row)] for row in X[:4].tolist()] == net.predict(
        X[:4]
    ).tolist()
    for _ in range(8):  # hostile ones
        wrong = bytearray(data)
        wrong[rng.integers(len(wrong))] ^= 1 << rng.integers(8)
        with contextlib.suppress(PackedError):
            Network.from_bytes(bytes(wrong), schema)


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
        Network.from_bytes(b"\3", net.schema)
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


@pytest.mark.parametrize("classes", [["a", "b"], [True, False], [3, -1, 7], [0.5, 1.5], ["x\0y", "z"]])
def test_schemas_as_plain_values(classes):
    columns = [
        ColumnFormat("a", low=-3, bits=5, scale=10, missing=True),
        ColumnFormat("b", "categorical", levels=("u", "v"), rare=("w",)),
        ColumnFormat("c", "date"),
    ]
    schema = Schema(columns, classes, named=False)
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema and [type(c) for c in again.classes] == [type(c) for c in classes]


@pytest.mark.parametrize(
    "change",
    [
        {"named": 1}, {"classes": []}, {"classes": [1, "a"]}, {"classes": [[1], [2]]}, {"columns": []},
        {"columns": [3]},
        {"columns": [{"name": "a"}, {"name": "a"}]}, {"columns": [{"name": "a", "bits": 3}]}, {"more": 1},
        {"columns": [{"name": "a", "low": 0, "bits": 17}]}, {"columns": [{"name": "a", "low": True, "bits": 1}]},
        {"columns": [{"name": "a", "kind": "other"}]}, {"columns": [{"name": "a", "levels": ["x"]}]},
        {"columns": [{"name": "a", "low": 0, "bits": 1, "scale": 0}]}, {"columns": [{"name": "a", "levels": "x"}]},
    ],
)  # fmt: skip
def test_schemas_that_are_none(change):
    with pytest.raises(InputError):
        Schema.from_dict({"named": True, "classes": [0, 1], "columns": [{"name": "a"}]} | change)


def test_formats_of_data():
    X = np.array([[0.0, 1.5, 17.0, 1e9, math.pi], [1.0, -2.25, 90.0, 2.0, 1.0]])
    encoder = Encoder.identity(None, 5, None)
    model = Model(Network([(np.ones((1, 5)), [0.0])], head="threshold", classes=[0, 1]), encoder=encoder)
    found = [(c.low, c.bits, c.scale) for c in Schema.of(model, X).columns]
    assert found == [(0, 1, 1), (-225, 9, 100), (17, 7, 1), (None, None, 1), (None, None, 1)]


@pytest.mark.parametrize("seed", range(30))
def test_numbers_come_back(seed):
    rng = np.random.default_rng(seed)
    reals = [rng.normal(size=5), np.round(rng.normal(size=7), 3), rng.normal(size=4).astype(np.float16).astype(float),
             np.array([5e-324, -1.7e308]), np.array([0.1, 1e15, -0.0])]  # fmt: skip
    integers = [rng.integers(-(2**k), 2**k, size=rng.integers(0, 40)) for k in (0, 1, 3, 10, 50, 53)]
    draws, digits = rng.integers(0, 5, 100) // 2, rng.integers(0, 2**40, 9)
    choice = sorted(rng.permutation(50)[:20].tolist())
    out = Writer()
    for values in reals:
        out.reals(values)
    for values in integers:
        out.integers(values)
    out.urn(draws, 3)
    out.digits(digits, 2**40)
    out.choice(choice, 50)
    out.count(seed)
    data = out.to_bytes(0, 0)
    assert out.size(0, 0) == len(data)
    back = Numbers(data, 0)
    assert all(np.array_equal(back.reals(len(values)), values) for values in reals)
    assert all(np.array_equal(back.integers(len(values)), values) for values in integers)
    assert np.array_equal(back.urn(100, 3), draws) and np.array_equal(back.digits(9, 2**40), digits)
    assert (back.choice(20, 50), back.count()) == (choice, seed)
    back.end()


def test_more_numbers_than_bytes_are_made_up_by_zeros():
    """Equal neurons without end: the only networks that fewer bytes would hold than their reader allows."""
    W = np.ones((3000, 40), dtype=int)
    net = Network([(W, np.full(3000, -3)), (np.ones((1, 3000), dtype=int), [-1])], head="threshold", classes=[0, 1])
    data = net.to_bytes()
    assert net.size_bytes == len(data) and data.endswith(b"\0")
    assert Network.from_bytes(data, net.schema).n_parameters == net.n_parameters


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
