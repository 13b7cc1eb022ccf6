"""Rules that are the leaves of trees, packed as trees: equal decisions, two readers, and what they take."""

import contextlib

import numpy as np
import pytest

from bdnn import Network, Schema
from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import PackedError
from bdnn.model_file.contents import Model
from bdnn.model_file.packed import pack, unpack
from bdnn.network.column_format import ColumnFormat
from bdnn.network.packing import packed_size
from bdnn.network.packing_numbers import Writer
from packed_evaluation import answer
from packed_reader import Reader

TREES = 3
"""The first digit."""


def leaves_of(rng, bits, leaves):
    """Return the paths of a random tree: for each leaf, bits with 1 or -1."""
    paths = [{}]
    while len(paths) < min(leaves, 2**bits):
        path = paths.pop(int(rng.choice([k for k, each in enumerate(paths) if len(each) < bits])))
        free = [j for j in range(bits) if j not in path]
        bit = int(rng.choice(free))
        paths += [path | {bit: -1}, path | {bit: 1}]
    return paths


def forest(rng, bits=12, trees=20, leaves=5, classes=2, together=False, largest=3, zeros=True):
    """Return a network whose hidden neurons are the leaves of trees."""
    outputs = 1 if classes == 2 else classes
    W, V = [], []
    for number in range(trees):
        for path in leaves_of(rng, bits, int(rng.integers(2, leaves + 1))):
            W.append([path.get(j, 0) for j in range(bits)])
            value = rng.integers(-largest, largest + 1, outputs)
            value = value if zeros else np.where(value, value, 1)
            V.append(value if together or outputs == 1 else np.where(np.arange(outputs) == number % outputs, value, 0))
    W, V = np.array(W), np.array(V).T
    head = "threshold" if classes == 2 else "argmax"
    return Network([(W, -(W > 0).sum(axis=1)), (V, rng.integers(-2, 3, outputs))], head=head, classes=range(classes))


def schema_of(bits, classes):
    return Schema([ColumnFormat(f"x{j}", low=0, bits=1) for j in range(bits)], range(classes))


def kind(data):
    return data[0] % 4


@pytest.mark.parametrize(("classes", "together"), [(2, False), (3, False), (3, True), (4, False)])
@pytest.mark.parametrize("seed", range(6))
def test_trees_decide_the_same(seed, classes, together):
    rng = np.random.default_rng(seed)
    complete = seed % 2 == 0  # no leaf is left out
    net = forest(rng, classes=classes, together=together, trees=int(rng.integers(1, 25)), zeros=not complete)
    schema, X = schema_of(12, classes), rng.integers(0, 2, (200, 12))
    data = net.to_bytes(schema)
    assert packed_size(net, schema) == len(data)
    again = Network.from_bytes(data, schema)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    read = Reader(data, schema.to_dict())
    assert [answer(read, schema.to_dict(), row) for row in X[::9].tolist()] == net.predict(X)[::9].tolist()
    once_more = again.to_bytes(schema)
    np.testing.assert_array_equal(Network.from_bytes(once_more, schema).predict(X), net.predict(X))
    assert once_more == data or not complete
    if seed:
        assert kind(data) == TREES


@pytest.mark.parametrize("seed", range(4))
def test_neurons_in_any_order_are_trees(seed):
    rng = np.random.default_rng(seed)
    net, schema, X = forest(rng), schema_of(12, 2), rng.integers(0, 2, (300, 12))
    order = rng.permutation(net.widths[0])
    (W, b), (V, c) = net.layers
    mixed = Network([(W[order], b[order]), (V[:, order], c)], head=net.head, classes=net.classes)
    data = mixed.to_bytes(schema)
    np.testing.assert_array_equal(Network.from_bytes(data, schema).predict(X), net.predict(X))
    read = Reader(data, schema.to_dict())
    assert [answer(read, schema.to_dict(), row) for row in X[::9].tolist()] == net.predict(X)[::9].tolist()


def test_a_tree_takes_its_nodes_not_its_paths():
    """Of 4 bytes a tree: 7 nodes that ask for one of 64 bits, and 8 leaves of 7 values, would take 65 bits."""
    rng = np.random.default_rng(0)
    sizes = []
    for trees in (20, 60):
        W, V = [], []
        for _ in range(trees):
            asked = rng.choice(64, 7, replace=False)
            for leaf in range(8):
                row, at = np.zeros(64, dtype=int), 0
                for level in (4, 2, 1):
                    side = leaf // level % 2
                    row[asked[at]] = 2 * side - 1
                    at = 2 * at + 1 + side
                W.append(row)
                V.append(rng.choice([-3, -2, -1, 1, 2, 3]))
        W = np.array(W)
        net = Network([(W, -(W > 0).sum(axis=1)), ([V], [0])], head="threshold", classes=[0, 1])
        sizes.append(packed_size(net, schema_of(64, 2)))
    each = 8 * (sizes[1] - sizes[0]) / 40
    assert 6 * 6 + 8 * np.log2(6) - 2 < each < 7 * 6 + 8 * np.log2(7) + 2


def test_rules_of_no_tree_are_packed_as_before():
    W = np.zeros((3, 30), dtype=int)
    W[0, :2], W[1, 2:5], W[2, 5:9] = 1, 1, -1  # none excludes another
    net = Network([(W, -(W > 0).sum(axis=1)), ([[1, 2, -1]], [-1])], head="threshold", classes=[0, 1])
    schema = schema_of(30, 2)
    again = Network.from_bytes(net.to_bytes(schema), schema)
    X = np.random.default_rng(0).integers(0, 2, (200, 30))
    np.testing.assert_array_equal(again.predict(X), net.predict(X))


def model_of(thresholds, seed=0):
    rng = np.random.default_rng(seed)
    codes = tuple(ColumnCode(f"c{j}", "numeric", 0.5, thresholds=t, used=bool(t)) for j, t in enumerate(thresholds))
    encoder = Encoder(codes, True)
    return Model(forest(rng, encoder.n_inputs, 30, 6), encoder=encoder)


@pytest.mark.parametrize(
    "thresholds",
    [
        [(0.5, 1.5, 2.25), (-3.5, -0.25, 0.0, 8.0)],
        [(0.1, 0.2, 0.7), (5.0,)],  # no few bits of single precision
        [(-1e6, -64.0, 1e6), (2.0**-30, 1.0, 3.0)],
        [(-2.0,), (0.0,), (4096.0, 4112.0)],
    ],
)
def test_thresholds_of_trees_keep_their_values(thresholds):
    model = model_of(thresholds)
    schema = Schema.of(model)
    data = pack(model, schema)
    assert kind(data) == TREES
    again = unpack(data, schema)
    assert [code.thresholds for code in again.encoder.columns] == thresholds
    read = Reader(data, schema.to_dict())
    assert [tuple(read.cuts[j]) for j in range(len(thresholds))] == thresholds
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.choice([*t, t[0] - 1, t[-1] + 1], 50) for t in thresholds])
    rows = RawTable(tuple(RawColumn(f"c{j}", "numeric", column) for j, column in enumerate(X.T)))
    expected = model.network.predict(model.encoder.transform(rows))
    np.testing.assert_array_equal(again.network.predict(again.encoder.transform(rows)), expected)
    assert [answer(read, schema.to_dict(), row) for row in X.tolist()] == expected.tolist()


def test_short_thresholds_take_few_bits():
    near = tuple(1000.0 + k for k in range(20))
    far = tuple(1000.0 + k + (k % 3) * 2.0**-13 for k in range(20))
    sizes = [len(pack(m, Schema.of(m))) for m in (model_of([near, (1.0,)]), model_of([far, (1.0,)]))]
    assert sizes[0] + 20 < sizes[1]


def test_hostile_trees_give_one_error():
    rng = np.random.default_rng(2)
    pairs = []
    for classes, together in ((2, False), (3, False), (3, True)):
        net, schema = forest(rng, classes=classes, together=together), schema_of(12, classes)
        pairs.append((net.to_bytes(schema), schema))
    model = model_of([(0.5, 1.5, 2.25), (-3.5, -0.25, 0.0, 8.0)])
    pairs.append((pack(model, Schema.of(model)), Schema.of(model)))
    refused = 0
    for k in range(3000):
        data, schema = pairs[k % len(pairs)]
        damaged = bytearray(data if k % 3 else rng.bytes(int(rng.integers(1, 30))))
        damaged[0] = damaged[0] & 248 | TREES
        for at in rng.integers(len(damaged), size=rng.integers(1, 4)):
            damaged[at] = rng.integers(256) & 248 | TREES if at == 0 else rng.integers(256)
        with contextlib.suppress(PackedError):
            unpack(bytes(damaged), schema)
            continue
        refused += 1
    assert 1000 < refused < 3000


def begun(bits, classes=2):
    out = Writer()
    for value, base in ((TREES, 4), (0, 2), (0, 3), (0, 3), (0, 2)):  # trees, inputs as they are, all, threshold head
        out.digit(value, base)
    out.integers(np.zeros(1, dtype=np.int64))
    return out


def test_trees_that_cannot_be():
    schema = schema_of(2, 2)
    later = Writer()
    later.digit(TREES, 4)
    later.digit(1, 2)
    none, twice, deep, many = begun(2), begun(2), begun(2), begun(2)
    none.integers(np.zeros(1, dtype=np.int64))
    twice.integers(np.ones(1, dtype=np.int64))
    twice.choice([1], 2)  # one tree, of bit 0
    for flags in ([1, 0], [0, 0]):
        twice.digit(0, 2)
        twice.digits(np.array(flags), 2)
    twice.digit(0, 2)
    twice.digit(0, 2)  # bit 0 once more
    deep.integers(np.ones(1, dtype=np.int64))
    deep.choice([1], 2)
    for _ in range(70):
        deep.digit(0, 2)
        deep.digits(np.array([1, 0]), 2)
    many.integers(np.array([2**40]))
    for out, text in (
        (later, "version"),
        (none, "no trees"),
        (twice, "asks twice"),
        (deep, "levels"),
        (many, "numbers"),
    ):
        with pytest.raises(PackedError, match=text):
            unpack(out.to_bytes(0, 0), schema)
    on_reals = Schema([ColumnFormat("a"), ColumnFormat("b")], [0, 1])
    with pytest.raises(PackedError, match="no bits"):
        unpack(none.to_bytes(0, 0), on_reals)
