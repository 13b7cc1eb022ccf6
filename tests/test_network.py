"""The network: the definition of prediction, its loss, its size; compared with a plain twin in rationals."""

import dataclasses
import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest

import plain
from bdnn import Network
from bdnn.errors import BDNNError, InputError
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer

pytestmark = pytest.mark.filterwarnings("error")

THREE = ("a", "b", "c")
HEADS = [("threshold", ("no", "yes")), ("threshold", THREE), ("argmax", ("no", "yes")), ("argmax", THREE)]


def same_as_twin(net, X):
    outputs, fired, predicted = plain.evaluate(net, X)
    assert net.predict_index(X).tolist() == predicted
    assert net.predict(X).tolist() == [net.classes[k] for k in predicted]
    n_thresholded = len(net.layers) - (net.head == "argmax")
    activations = net.activations(X)
    assert len(activations) == n_thresholded
    for k, layer in enumerate(activations):
        assert layer.dtype == np.uint8
        assert layer.tolist() == [pattern[k] for pattern in fired]
    decisions = net.decision_function(X)
    assert decisions.shape == ((len(X),) if net.widths[-1] == 1 else (len(X), net.widths[-1]))
    for got, exact in zip(decisions.reshape(len(X), -1).tolist(), outputs, strict=True):
        for a, value in zip(got, exact, strict=True):
            assert np.sign(a) == (value > 0) - (value < 0)
            assert abs(value) > 1e308 or a == pytest.approx(float(value), rel=1e-9, abs=1e-12 * _magnitude(net, X))
    for label in range(len(net.classes)):
        losses, _ = net.losses(X, np.full(len(X), label))
        expected = [plain.point_loss(net.head, v, f[-1], label) for v, f in zip(outputs, fired, strict=True)]
        assert losses.tolist() == expected


def _magnitude(net, X):
    return (1.0 + float(np.abs(X).max())) * max(float(np.abs(W).max(initial=0.0)) for W, _ in net.layers)


@pytest.mark.parametrize("hidden", [(), (3,), (4, 2)])
@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(("head", "classes"), HEADS)
def test_random_networks_equal_the_twin(head, classes, integer, hidden):
    rng = np.random.default_rng([len(classes), integer, len(hidden)])
    for _ in range(4):
        net = plain.random_network(rng, 3, hidden, classes, head, integer)
        # integers and tenths: many pre-activations are exactly zero, or would be on paper
        same_as_twin(net, np.vstack([rng.integers(-3, 4, (15, 3)), rng.integers(-9, 10, (15, 3)) / 10]))


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(("head", "classes"), HEADS)
def test_networks_with_a_grid_equal_the_twin(head, classes, integer):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(30, 3)) * np.array([1.0, 1e6, 1e-6]) + np.array([0.0, 1e7, 0.0])
    for bits in (1, 3, 16):
        grid = InputGrid.spanning(X[:20], bits)
        same_as_twin(plain.random_network(rng, 3, (2,), classes, head, integer, grid), X)


@pytest.mark.parametrize("name", plain.ADVERSARIAL)
def test_adversarial_first_layers_equal_the_twin(name):
    X, W, b = plain.ADVERSARIAL[name](np.random.default_rng(1))
    same_as_twin(Network([(W[:1], b[:1])], head="threshold", classes=[0, 1]), X)
    same_as_twin(Network([(W, b)], head="argmax", classes=THREE), X)
    same_as_twin(Network([(W, b)], head="threshold", classes=THREE), X)
    same_as_twin(Network([(W, b), ([[1.0, -1.0, 1.0]], [-0.5])], head="threshold", classes=[0, 1]), X)


def test_zero_fires_in_every_layer():
    net = Network(
        [([[1.0, -1.0], [0.0, 0.0]], [0.0, 0.0]), ([[1.0, 1.0]], [-2.0]), ([[-1.0]], [1.0])],
        head="threshold",
        classes=["off", "on"],
    )
    X = [[0.3, 0.3], [0.3, np.nextafter(0.3, 1)]]
    assert [a.tolist() for a in net.activations(X)] == [[[1, 1], [0, 1]], [[1], [0]], [[1], [1]]]
    assert net.predict(X).tolist() == ["on", "on"]
    assert net.decision_function(X).tolist() == [0.0, 1.0]


def test_argmax_ties_go_to_the_lowest_index_in_any_order():
    weights = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    net = Network([(weights, np.zeros(4))], head="argmax", classes=list("abcd"))
    assert net.predict([[1, 1], [2, 1], [1, 2], [0, 0]]).tolist() == ["a", "b", "a", "a"]
    # 0.1 + 0.2 > 0.3 by less than a float shows next to 1e16
    near = Network(
        [
            ([[0.3, 1.0], [0.1, 1.0]], [1e16, 1e16]),
        ],
        head="argmax",
        classes=["a", "b"],
    )
    assert near.predict([[1e-30, 0.0], [-1e-30, 0.0], [0.0, 0.0]]).tolist() == ["a", "b", "a"]


def test_one_hot_prediction_is_the_largest_output_and_agrees_with_a_single_fired_one():
    rng = np.random.default_rng(3)
    net, X = plain.random_network(rng, 3, (4,), THREE, "threshold"), rng.normal(size=(200, 3))
    fired = net.activations(X)[-1]
    single = fired.sum(axis=1) == 1
    assert 0 < single.sum() < len(X)
    assert np.array_equal(net.predict_index(X)[single], np.argmax(fired, axis=1)[single])


def test_a_batch_predicts_like_its_rows():
    rng = np.random.default_rng(4)
    net, X = plain.random_network(rng, 5, (7,), THREE, "argmax"), rng.normal(size=(60, 5))
    assert net.predict(X).tolist() == [net.predict(row[None])[0] for row in X]
    assert net.predict(np.zeros((0, 5))).shape == (0,)


def test_losses_count_rational_evaluations():
    net = Network([([[1.0, 1.0, 1.0]], [0.0])], head="threshold", classes=[0, 1])
    assert net.losses([[1e16, 1.0, -1e16], [1.0, 1.0, 1.0]], [0, 0])[0].tolist() == [1, 1]
    assert net.losses([[1e16, 1.0, -1e16], [1.0, 1.0, 1.0]], [0, 0])[1] == 1
    assert net.losses([[0.5, 0.25, 1.0]], [1])[1] == 0


@pytest.mark.parametrize("codes", [[0], [0, 1, 1], [[0], [1]], [0.0, 1.0], ["a", "b"], 0])
def test_losses_refuse_codes_that_do_not_fit(codes):
    net = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match=r"codes must be integers of shape \(2,\), got"):
        net.losses([[1.0], [2.0]], codes)


def test_number_of_parameters():
    net = plain.random_network(np.random.default_rng(0), 5, (4, 3), THREE, "argmax")
    assert net.n_parameters == (5 * 4 + 4) + (4 * 3 + 3) + (3 * 3 + 3)
    assert (net.n_features, net.widths, net.is_integer) == (5, (4, 3, 3), False)


def test_bytes_are_those_of_the_packed_network():
    """What they are is tested in test_packing.py."""
    rng = np.random.default_rng(0)
    for integer, at_least, at_most in ((False, 8, 8.5), (True, 0.25, 0.5)):
        net = plain.random_network(rng, 20, (10,), THREE, "argmax", integer=integer)
        assert net.size_bytes == len(net.to_bytes())
        assert at_least * net.n_parameters < net.size_bytes < at_most * net.n_parameters
        grid = InputGrid(rng.normal(size=20), rng.random(20), 8)
        more = dataclasses.replace(net, grid=grid).size_bytes - net.size_bytes
        assert 12 * 20 < more <= 16 * 20 + 4


def base():
    grid = InputGrid(np.array([0.0, 1.0]), np.array([1.0, 2.0]), 8)
    return {
        "layers": [([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])],
        "head": "argmax",
        "classes": [0, 1],
        "grid": grid,
        "feature_names": ["u", "v"],
    }


def test_equal_networks():
    assert Network(**base()) == Network(**base())
    assert Network(**base()) == Network(**(base() | {"classes": np.array([0, 1], dtype=np.int8)}))
    text = base() | {"classes": ["a", "b"]}
    assert Network(**text) == Network(**(text | {"classes": np.array(["a", "b"], dtype=object)}))
    with pytest.raises(TypeError):
        hash(Network(**base()))
    assert Network(**base()) != "a network"


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [([[1.0, 2.0], [3.0, np.nextafter(4.0, 5)]], [5.0, 6.0])]},
        {"layers": [([[1.0, 2.0], [3.0, 4.0]], [5.0, 7.0])]},
        {"layers": [([[1, 2], [3, 4]], [5, 6])]},
        {"layers": [([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])]},
        {"head": "threshold", "classes": [0, 1, 2], "layers": [(np.ones((3, 2)), np.ones(3))]},
        {"classes": [0, 2]},
        {"classes": [1, 0]},
        {"classes": [False, True]},
        {"classes": [0.0, 1.0]},
        {"classes": ["0", "1"]},
        {"grid": None},
        {"grid": InputGrid(np.array([0.0, 1.0]), np.array([1.0, 2.0]), 7)},
        {"grid": InputGrid(np.array([0.0, 1.5]), np.array([1.0, 2.0]), 8)},
        {"grid": InputGrid(np.array([0.0, 1.0]), np.array([1.0, 2.5]), 8)},
        {"feature_names": None},
        {"feature_names": ["u", "w"]},
    ],
)
def test_different_networks(change):
    assert Network(**base()) != Network(**(base() | change))


def test_immutable_and_independent_of_the_callers_arrays():
    W, b, classes = np.array([[1.0, 2.0]]), np.array([3.0]), np.array([0, 1])
    offset = np.zeros(2)
    net = Network([(W, b)], head="threshold", classes=classes, grid=InputGrid(offset, np.ones(2), 8))
    W[0, 0], b[0], classes[0], offset[0] = 9.0, 9.0, 9, 9.0
    assert net.layers[0].weights.tolist() == [[1.0, 2.0]]
    assert (net.layers[0].bias[0], net.classes[0], net.grid.offset[0]) == (3.0, 0, 0.0)
    for array in (*net.layers[0], net.classes, net.grid.offset, net.grid.step):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for thing, name in ((net, "layers"), (net, "head"), (net.grid, "bits")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
    assert isinstance(net.layers[0], Layer)


W1, B1 = [[1.0, 2.0]], [0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": []}, "at least one layer, got none"),
        ({"layers": 3}, "layers must be a sequence of pairs (weights, bias), got 3"),
        ({"layers": [1]}, "layer 1 must be a pair (weights, bias), got 1"),
        ({"layers": [(W1, B1, B1)]}, "layer 1 must be a pair (weights, bias)"),
        ({"layers": [([1.0, 2.0], B1)]}, "layer 1 needs weights of shape (d, d_in)"),
        ({"layers": [(W1, 0.0)]}, "got (1, 2) and ()"),
        ({"layers": [(W1, [0.0, 0.0])]}, "got (1, 2) and (2,)"),
        ({"layers": [(np.zeros((0, 2)), [])]}, "got (0, 2) and (0,)"),
        ({"layers": [([[1.0], [1.0, 2.0]], [0.0, 0.0])]}, "layer 1 has rows that differ in length"),
        ({"layers": [([["a", "b"]], B1)]}, "the weights of layer 1 must be numbers, got <U1"),
        ({"layers": [([[True, False]], [False])]}, "the weights of layer 1 must be numbers, got bool"),
        ({"layers": [([[1j, 0]], B1)]}, "the weights of layer 1 must be numbers, got complex128"),
        ({"layers": [([[10**30, 0]], [0])]}, "the weights of layer 1 must be numbers, got object"),
        ({"layers": [([[math.nan, 0.0]], B1)]}, "the weights of layer 1 must be finite"),
        ({"layers": [(W1, [math.inf])]}, "the weights of layer 1 must be finite"),
        ({"layers": [(np.full((1, 2), np.longdouble("1e400")), B1)]}, "the weights of layer 1 must be finite"),
        ({"layers": [([[2**53 + 1, 0]], [0])]}, "layer 1 must not exceed 2**53"),
        ({"layers": [([[0, 0]], [-(2**53) - 1])]}, "layer 1 must not exceed 2**53"),
        ({"layers": [([[0, 0]], [-(2**63)])]}, "layer 1 must not exceed 2**53"),
        ({"layers": [(np.array([[2**64 - 1, 0]], dtype=np.uint64), [0])]}, "layer 1 must not exceed 2**53"),
        ({"layers": [(W1, B1), ([[1]], [0])]}, "all continuous (float) or all integer, got both"),
        ({"layers": [(W1, B1), ([[1.0, 1.0]], B1)]}, "layer 2 takes 2 inputs but layer 1 has 1 neurons"),
        ({"head": "softmax"}, "head must be one of threshold, argmax, got 'softmax'"),
        ({"head": None}, "head must be one of threshold, argmax, got None"),
        ({"head": np.array(["argmax", "x"])}, "head must be one of threshold, argmax"),
        ({"head": "argmax"}, "a argmax head for 2 classes needs 2 output(s), the last layer has 1"),
        ({"classes": [0, 1, 2]}, "a threshold head for 3 classes needs 3 output(s), the last layer has 1"),
        ({"classes": [0]}, "at least two different labels, got [0]"),
        ({"classes": [1, 1]}, "at least two different labels, got [1, 1]"),
        ({"classes": [[0, 1]]}, "classes must have shape (m,), got (1, 2)"),
        ({"classes": [0.0, math.nan]}, "classes must not hold missing labels, but there is no label in 1 of 2 rows"),
        ({"classes": [0, "a"]}, "classes must be of one kind"),
        ({"classes": None}, "classes must have shape (m,), got ()"),
        ({"grid": "8"}, "grid must be an InputGrid or None, got '8'"),
        ({"grid": InputGrid([0.0], [1.0], 8)}, "the grid covers 1 features but the first layer takes 2"),
        ({"feature_names": ["a"]}, "feature_names must have one name per column (2), got 1"),
        ({"feature_names": "ab"}, "feature_names must be a sequence of 2 names"),
    ],
)
def test_bad_networks_are_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Network(**({"layers": [(W1, B1)], "head": "threshold", "classes": [0, 1]} | changes))
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, BDNNError)


def test_largest_integers_are_accepted():
    net = Network([(np.array([[-(2**53), 2**53]]), np.array([2**53]))], head="threshold", classes=[0, 1])
    assert net.is_integer
    assert net.predict([[1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [2.5, 1.0]]).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0, 2.0], "inputs must have shape (m, 2), got (2,)"),
        ([[1.0, 2.0, 3.0]], "inputs must have shape (m, 2), got (1, 3)"),
        ([[1.0]], "inputs must have shape (m, 2), got (1, 1)"),
        (1.0, "inputs must have shape (m, 2), got ()"),
        ([[1.0, math.nan]], "inputs hold NaN or infinity"),
        ([[-math.inf, 1.0]], "inputs hold NaN or infinity"),
        ([["1", "2"]], "inputs must be real numbers: got text"),
        ([[1j, 2]], "inputs must be real numbers: got complex"),
        ([[1.0], [1.0, 2.0]], "inputs must be real numbers"),
        ([[10**400, 1]], "inputs must be real numbers"),
        (None, "inputs must be real numbers: got NoneType"),
    ],
)
def test_bad_inputs_are_refused_by_every_method(X, message):
    net = Network([(W1, B1)], head="threshold", classes=[0, 1])
    calls = (net.predict, net.predict_index, net.decision_function, net.activations, lambda X: net.losses(X, [0]))
    for call in calls:
        with pytest.raises(InputError, match=re.escape(message)):
            call(X)


def results(net, X, codes):
    return [
        *(layer.tolist() for layer in net.activations(X)),
        *(
            a.tolist()
            for a in (net.predict(X), net.predict_index(X), net.decision_function(X), net.losses(X, codes)[0])
        ),
        net.losses(X, codes)[1],
    ]


def mixed_inputs(rng, n):
    """Multiples of 1/8, in some rows integers; sums of all are exact, so they do not depend on their order."""
    X = rng.integers(-9, 10, size=(50, n)) / 8
    X[::3] = np.rint(X[::3])
    return X


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("hidden", [(), (4,), (3, 2)])
@pytest.mark.parametrize(("head", "classes"), [("threshold", 2), ("threshold", 3), ("argmax", 2), ("argmax", 3)])
def test_blocks_and_precision_do_not_matter(monkeypatch, head, classes, hidden, integer, grid):
    rng = np.random.default_rng(classes + len(hidden))
    X, codes = mixed_inputs(rng, 3), rng.integers(0, classes, size=50)
    widths = (3, *hidden, 1 if head == "threshold" and classes == 2 else classes)
    # few integers make many ties, which are counted in rows that are not integers only
    layers = [(rng.integers(-2, 3, (d, n)), rng.integers(-1, 2, d)) for n, d in itertools.pairwise(widths)]
    if not integer:
        layers = [(W / 2.0, b / 2.0) if k == 0 and rng.integers(2) else (W + 0.0, b + 0.0)
                  for k, (W, b) in enumerate(layers)]  # fmt: skip
    net = Network(layers, head, range(classes), InputGrid.spanning(X, 3) if grid else None)
    expected = results(net, X, codes)
    assert results(net, X.astype(np.float32), codes) == expected
    assert sum(net.losses(X[i : i + 1], codes[i : i + 1])[1] for i in range(50)) == expected[-1]
    for block in (1, 9, 40):
        monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", block)
        assert results(net, X, codes) == expected
        assert results(net, X.astype(np.float32), codes) == expected
    nothing = [np.shape(part) for part in results(net, X[:0], codes[:0])]
    assert nothing[-1] == () and all(shape[0] == 0 for shape in nothing[:-1])


def test_single_precision_is_decided_exactly():
    # in single precision the sum is 0; as doubles, and exactly, it is not
    X = np.array([[0.1, 0.2, 0.3]], dtype=np.float32)
    exact = sum(map(Fraction, X[0, :2].tolist())) - Fraction(float(X[0, 2]))
    assert X[0, 0] + X[0, 1] - X[0, 2] == 0 and exact < 0
    net = Network([([[1.0, 1.0, -1.0]], [0.0])], head="threshold", classes=["on or zero", "wrong"][::-1])
    assert net.decision_function(X)[0] == float(exact)
    assert net.check_inputs(X) is X


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_inputs_are_found_in_any_block(monkeypatch, bad):
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", 2)
    net = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])
    X = np.ones((5, 1), dtype=np.float32)
    X[4] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        net.predict(X)
