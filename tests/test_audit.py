"""The audit: exact losses of networks on all their training data."""

import dataclasses
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import plain
from bdnn import Network, Problem
from bdnn.errors import InputError
from bdnn.problem.audit import Audit, audit

pytestmark = pytest.mark.filterwarnings("error")

HEADS = [("threshold", 2), ("threshold", 3), ("threshold", 5), ("argmax", 2), ("argmax", 3)]


@pytest.mark.parametrize("hidden", [(), (3,)])
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_loss_is_the_exact_sum_rounded_once(head, n_classes, hidden):
    rng = np.random.default_rng([n_classes, len(hidden)])
    m = 60
    X = rng.integers(-2, 3, (m, 3)) / 10
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, m - n_classes)])
    # sums of these depend on the order in floats
    weight = rng.choice([0.1, 0.7, 1e-17, 3e15, 1 / 3, 0.0], m)
    problem = Problem(X=X, y=y, sample_weight=weight, head=head, hidden_layer_sizes=hidden)
    for _ in range(5):
        network = plain.random_network(rng, 3, hidden, range(n_classes), head)
        outputs, fired, predicted = plain.evaluate(network, X)
        losses = [plain.point_loss(head, v, f[-1], c) for v, f, c in zip(outputs, fired, problem.codes, strict=True)]
        exact = sum((Fraction(w) * loss for w, loss in zip(weight.tolist(), losses, strict=True)), Fraction(0))
        result = audit(network, problem)
        assert result.loss == float(exact)
        assert result.n_wrong == sum(p != c for p, c in zip(predicted, problem.codes, strict=True))
        assert (result.solver_loss, result.n_mismatched, result.mismatch) == (None, 0, False)


def test_several_wrong_outputs_are_not_rounded_before_they_are_added():
    # every point is wrong at three outputs, and 3 * 0.1 rounds up
    m = 20
    network = Network([(np.zeros((4, 1)), [-1.0, 1.0, 1.0, -1.0])], head="threshold", classes=range(4))
    y = np.array([0, 3] * 8 + [1, 2, 1, 2])
    problem = Problem(X=np.zeros((m, 1)), y=y, sample_weight=np.full(m, 0.1), head="threshold", hidden_layer_sizes=())
    exact = float(Fraction(0.1) * (16 * 3 + 4 * 1))
    assert audit(network, problem).loss == exact
    assert math.fsum([3 * 0.1] * 16 + [0.1] * 4) != exact


def test_wrong_points_are_counted_by_prediction_not_by_outputs():
    # no output fires, yet the largest is right
    network = Network([(np.zeros((3, 1)), [-1.0, -2.0, -3.0])], head="threshold", classes=[0, 1, 2])
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 1, 2], head="threshold", hidden_layer_sizes=())
    result = audit(network, problem)
    assert (result.loss, result.n_wrong) == (3.0, 2)


def test_points_without_weight_count_as_wrong_but_cost_nothing():
    network = Network([([[0.0]], [1.0])], head="threshold", classes=[0, 1])
    problem = Problem(X=[[0.0], [1.0], [2.0]], y=[0, 0, 1], sample_weight=[2, 0, 5], hidden_layer_sizes=())
    assert audit(network, problem) == Audit(loss=2.0, n_wrong=2, n_rational=0)


def test_ties_and_undecidable_signs_are_counted_and_right():
    network = Network([([[1.0, 1.0, 1.0]], [0.0])], head="threshold", classes=[0, 1])
    X = [[1e16, 1.0, -1e16], [0.1, 0.2, -0.1 - 0.2], [1.0, 1.0, 1.0], [1e16, -1.0, -1e16]]
    problem = Problem(X=X, y=[1, 0, 1, 0], hidden_layer_sizes=())
    result = audit(network, problem)
    # 0.1 + 0.2 - (0.1 + 0.2 rounded up) is negative: off
    assert Fraction(0.1) + Fraction(0.2) - Fraction(0.1 + 0.2) < 0
    assert (result.loss, result.n_wrong, result.n_rational) == (0.0, 0, 3)


@pytest.mark.parametrize(
    ("loss", "promised", "mismatch"),
    [
        (3.0, None, False),
        (3.0, 3.0, False),
        (3.0, 4.0, False),
        (3.0, 3.0 - 1e-7, False),
        (3.0, 3.0 - 1e-5, True),
        (3.0, 0.0, True),
        (1e-9, 0.0, True),
        (0.0, 0.0, False),
        (1e12, 1e12 - 10.0, False),
    ],
)
def test_mismatch_is_a_broken_promise_of_the_solver(loss, promised, mismatch):
    assert Audit(loss, 1, 0, promised).mismatch is mismatch


def test_solver_loss_is_kept_and_the_audit_is_immutable():
    network = Network([([[0.0]], [1.0])], head="threshold", classes=[0, 1])
    problem = Problem(X=[[0.0], [1.0]], y=[0, 1], hidden_layer_sizes=())
    result = audit(network, problem, solver_loss=0.0)
    assert (result.loss, result.solver_loss, result.mismatch) == (1.0, 0.0, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.loss = 0.0


@pytest.mark.parametrize(
    "weight",
    [
        [1.0] * 6,
        [3.0, 0.0, 2.0**52, 1.0, 5.0, 2.0],
        [2.0**53, 1.0, 1.0, 2.0**53, 3.0, 1.0],
        [2.0**60, 1.0, 1.0, 2.0, 2.0**52, 1.0],
        [0.1, 3.0, 0.7, 1e-17, 2.0**52, 1 / 3],
        [1e149, 1.0, 1e-300, 5e-324, 2.0, 1.0],
    ],
)
@pytest.mark.parametrize("block", [1, 2, 4, 2**19])
def test_sums_of_integers_and_of_others_are_rounded_once(monkeypatch, weight, block):
    # four outputs, of which each point has 3 wrong, or 1
    network = Network([(np.zeros((4, 1)), [-1.0, 1.0, 1.0, -1.0])], head="threshold", classes=range(4))
    y = [0, 3, 1, 0, 2, 3]
    problem = Problem(X=np.zeros((6, 1)), y=y, sample_weight=weight, head="threshold", hidden_layer_sizes=())
    exact = sum(Fraction(w) * (3 if label in (0, 3) else 1) for w, label in zip(weight, y, strict=True))
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", block)
    assert audit(network, problem).loss == float(exact)


@pytest.mark.parametrize("radius", [0.0, 0.125])
@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_single_precision_and_blocks_do_not_matter(monkeypatch, head, n_classes, radius):
    rng = np.random.default_rng(n_classes)
    X = (rng.integers(-9, 10, (60, 3)) / 10).astype(np.float32)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 60 - n_classes)])
    data = {"y": y, "head": head, "hidden_layer_sizes": (3,), "robust_radius": radius}
    single, double = Problem(X=X, **data), Problem(X=X.astype(np.float64), **data)
    assert (single.X.dtype, double.X.dtype) == (np.float32, np.float64)
    network = plain.random_network(rng, 3, (3,), range(n_classes), head)
    expected = audit(network, double)
    assert audit(network, single) == expected
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", 9)
    assert audit(network, single) == audit(network, double) == expected


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_borders_of_blocks_lose_no_points(monkeypatch, head, n_classes):
    # every point but one is right, and many lie on a threshold
    X = np.zeros((23, 2), dtype=np.float32)
    y = np.zeros(23, dtype=int)
    bias = [-1.0] if (head, n_classes) == ("threshold", 2) else [1.0] + [-1.0] * (n_classes - 1)
    network = Network([(np.ones((len(bias), 2)), bias)], head=head, classes=range(n_classes))
    for wrong in range(23):
        labels = y.copy()
        labels[wrong] = 1
        for block in (1, 6, 10, 2**19):
            monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", block)
            data = {"X": X, "sample_weight": 2.0 ** np.arange(23), "hidden_layer_sizes": (), "head": head}
            if n_classes == 3:
                labels[(wrong + 1) % 23] = 2
            result = audit(network, Problem(y=labels, **data))
            outputs = 2 if len(bias) > 1 and head == "threshold" else 1
            others = 2.0 ** ((wrong + 1) % 23) if n_classes == 3 else 0.0
            assert (result.loss, result.n_wrong) == (outputs * (2.0**wrong + others), n_classes - 1)


def test_ties_at_zero_in_every_block(monkeypatch):
    # 0.1 + 0.2 - 0.3 in single precision: exactly decided on both sides of every border
    single = np.float32([0.1, 0.2, 0.3])
    value = sum((Fraction(float(v)) * w for v, w in zip(single, (1, 1, -1), strict=True)), Fraction(0))
    X = np.array([single, [1, 1, 2], [1, 1, np.nextafter(np.float32(2), np.float32(3))]] * 5, dtype=np.float32)
    fires = [value >= 0, True, False] * 5
    network = Network([([[1.0, 1.0, -1.0]], [0.0])], head="threshold", classes=[0, 1])
    for block in (1, 6, 12, 2**19):
        monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", block)
        result = audit(network, Problem(X=X, y=np.array(fires, dtype=int), hidden_layer_sizes=()))
        assert (result.loss, result.n_wrong) == (0.0, 0)
        result = audit(network, Problem(X=X, y=1 - np.array(fires, dtype=int), hidden_layer_sizes=()))
        assert (result.loss, result.n_wrong) == (15.0, 15)


@pytest.mark.parametrize(("head", "n_classes"), HEADS)
def test_no_array_as_long_as_the_data_is_made(monkeypatch, head, n_classes):
    m = 100_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, m)
    X = rng.normal(size=(m, 4)).astype(np.float32)
    problem = Problem(X=X, y=y, head=head, hidden_layer_sizes=(2,))
    network = plain.random_network(rng, 4, (2,), range(n_classes), head)
    expected = audit(network, problem)
    monkeypatch.setattr("bdnn.arrays.BLOCK_NUMBERS", 2**11)
    tracemalloc.start()
    try:
        assert audit(network, problem) == expected
        assert tracemalloc.get_traced_memory()[1] < 2 * m
    finally:
        tracemalloc.stop()


def test_a_network_of_other_inputs_is_refused():
    network = Network([([[0.0]], [1.0])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match=r"shape \(m, 1\), got \(2, 2\)"):
        audit(network, Problem(X=[[0.0, 1.0], [1.0, 1.0]], y=[0, 1], hidden_layer_sizes=()))
