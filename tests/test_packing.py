"""Networks as few bytes: equal decisions, the specification read by another reader, and what is left out."""

import contextlib
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain
from bdnn import Network, Schema
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, PackedError
from bdnn.model_file.contents import Model
from bdnn.network.column_format import ColumnFormat
from bdnn.network.grid import InputGrid
from bdnn.network.packing import packed_size
from bdnn.network.packing_numbers import Reader as Numbers
from bdnn.network.packing_numbers import Writer
from packed_evaluation import answer
from packed_reader import Reader


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


@pytest.mark.parametrize("seed", range(45))
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


@pytest.mark.parametrize("seed", range(12))
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


def test_few_bytes_are_not_very_many_layers():
    net = Network([([[1]], [0])], head="threshold", classes=[0, 1])
    with pytest.raises(PackedError, match="more than 1000 hidden layers"):
        Network.from_bytes((1 + 288 * ((1 << 20) - 1)).to_bytes(8, "little").ljust(2100, b"\0"), net.schema)
    layers = [([[1]], [-1])] * 1002
    with pytest.raises(InputError, match="more than 1000 hidden layers cannot be packed, got 1001"):
        Network(layers, head="threshold", classes=[0, 1]).to_bytes()
