"""The target vnnlib: properties that hold at attacks and at no point of a ball that is proven robust."""

import csv
import itertools
import re
from fractions import Fraction

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.export.inputs import Interface
from bdnn.export.onnx_file import session_of
from bdnn.export.request import ModelRequest
from bdnn.export.vnnlib import VnnLib, property_text
from bdnn.model_file.contents import Model
from bdnn.network.grid import InputGrid

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TARGET = VnnLib()


def parsed(text):
    """The expressions of a property, as nested lists."""
    words = re.findall(r"[()]|[^\s()]+", re.sub(r";.*", "", text))
    stack = [[]]
    for word in words:
        if word == "(":
            stack.append([])
        elif word == ")":
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(word)
    assert len(stack) == 1
    return stack[0]


def holds(expression, values):
    """Whether an assertion holds."""
    if isinstance(expression, str):
        return values[expression] if expression[0] in "XY" else float(expression)
    op, *arguments = expression
    found = [holds(each, values) for each in arguments]
    return {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "and": lambda *a: all(a), "or": lambda *a: any(a)}[
        op
    ](*found)


class Question:
    """A property and its network."""

    def __init__(self, text, session):
        listed = parsed(text)
        self.session = session
        self.names = [each[1] for each in listed if each[0] == "declare-const"]
        self.n = sum(name.startswith("X_") for name in self.names)
        self.asserted = [each[1] for each in listed if each[0] == "assert"]
        self.box = self.asserted[: 2 * self.n]
        self.unsafe = self.asserted[2 * self.n :]
        self.lower, self.upper = (
            np.array([float(each[2]) for each in self.box if each[0] == op]) for op in (">=", "<=")
        )

    def inside(self, x):
        return all(holds(each, {f"X_{i}": v for i, v in enumerate(x.tolist())}) for each in self.box)

    def satisfied(self, x):
        outputs = self.session.run(["Y"], {"X": x.astype(np.float32)[None, :]})[0][0]
        return all(holds(each, {f"Y_{j}": v for j, v in enumerate(outputs.tolist())}) for each in self.unsafe)


def asked(network, X, radius, ranges=None):
    """Questions about rows of a network."""
    table = RawTable(tuple(RawColumn(f"x{j}", "numeric", X[:, j]) for j in range(X.shape[1])))
    request = ModelRequest(
        model=Model(network), name="net", table=table, interface=Interface(ranges=ranges or {}), radius=radius
    )
    files = TARGET.files(request)
    assert np.array_equal(TARGET.decide(request, files, table), network.predict_index(X))
    session = session_of(files["onnx/net.onnx"])
    listed = [row[1] for row in csv.reader(files["instances.csv"].splitlines())]
    assert len(listed) == len(X) and set(files) == {"instances.csv", "onnx/net.onnx", *listed}
    return [Question(files[path], session) for path in listed]


def random_network(rng, head, classes, integer, grid):
    """A random network of which no class has nearly all points."""
    while True:
        network = any_network(rng, head, classes, integer, grid)
        counts = np.bincount(network.predict_index(rng.normal(0, 1, (200, 3))), minlength=classes)
        if counts.max() < 150:
            return network


def any_network(rng, head, classes, integer, grid):
    widths = [3, 4, 1 if head == "threshold" and classes == 2 else classes]
    layers = []
    for below, above in itertools.pairwise(widths):
        W, b = rng.integers(-3, 4, (above, below)), rng.integers(-3, 4, above)
        layers.append((W, b) if integer else (W + rng.normal(0, 0.1, W.shape), b + rng.normal(0, 0.1, b.shape)))
    made = InputGrid(np.full(3, -2.0), np.full(3, 0.25), 4) if grid else None
    return Network(layers, head, list(range(classes)), made)


def seen_by(network, x):
    """What the real-valued network takes."""
    return x if network.grid is None else network.grid.quantize(x)


@pytest.mark.parametrize("head, classes, integer, grid", [
    ("threshold", 2, True, False), ("argmax", 3, True, False), ("threshold", 2, True, True),
    ("argmax", 3, False, False), ("threshold", 3, False, False), ("argmax", 4, True, True),
])  # fmt: skip
def test_attacks_satisfy_properties_and_robust_rows_do_not(head, classes, integer, grid):
    n_attacks = n_robust = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = random_network(rng, head, classes, integer, grid)
        X = rng.normal(0, 1, (12, 3)).round(2)
        radius = 0.2
        found = bdnn.certify(network, X, radius=radius)
        for row, question in enumerate(asked(network, X, radius)):
            assert (
                question.n == 3
                and question.inside(seen_by(network, X[row]))
                and not question.satisfied(seen_by(network, X[row]))
            )
            if np.isfinite(found.distance[row]):
                # the nearest attack lies on the boundary, which floats of 32 bits miss: a bit further, in the ball
                further = min(1 + 1e-4, radius / found.distance[row])
                attack = X[row] + further * (found.attack[row] - X[row])
                if network.predict_index(attack[None, :]) == network.predict_index(X[row : row + 1]):
                    continue
                assert question.inside(seen_by(network, found.attack[row]))
                assert question.inside(seen_by(network, attack)) and question.satisfied(seen_by(network, attack))
                n_attacks += 1
            elif found.robust[row]:
                inside = rng.uniform(X[row] - radius, X[row] + radius, (60, 3))
                corners = X[row] + radius * (2 * (np.arange(8)[:, None] >> np.arange(3) & 1) - 1)
                assert not any(question.satisfied(seen_by(network, x)) for x in np.vstack([inside, corners]))
                n_robust += 1
    assert n_attacks > 3 and n_robust > 3, (n_attacks, n_robust)


def test_ties_and_zeros_are_decided_as_by_the_network():
    """Integer outputs that are equal or 0: the first class wins, and a neuron fires."""
    network = Network([([[1], [-1]], [0, 0]), ([[1, 0], [0, 1], [1, 0]], [0, 0, 0])], "argmax", [0, 1, 2])
    X = np.array([[0.0], [1.0], [-1.0]])
    assert network.predict_index(X).tolist() == [0, 0, 1]
    assert [question.satisfied(x) for question, x in zip(asked(network, X, 0.0), X, strict=True)] == [False] * 3
    single = Network([([[1]], [0]), ([[1]], [-1])], "threshold", [0, 1])
    assert single.predict_index(X).tolist() == [1, 1, 0]
    questions = asked(single, X, 0.0)
    assert [[question.satisfied(x) for x in X] for question in questions] == [
        [False, False, True], [False, False, True], [True, True, False]
    ]  # fmt: skip


def test_boxes_hold_balls_and_keep_to_ranges():
    network = Network([([[1.0, 1.0, 1.0]], [0.0])], "threshold", [0, 1])
    X = np.array([[0.1, 0.7, 1e-9]])
    (question,) = asked(network, X, 0.3, {"x1": (Fraction(7, 10), Fraction(3, 4))})
    for low, high, x in zip(question.lower, question.upper, X[0], strict=True):
        assert Fraction(float(low)) <= max(Fraction(float(x)) - Fraction(0.3), Fraction(7, 10) if x == 0.7 else -1)
        assert Fraction(float(high)) >= min(Fraction(float(x)) + Fraction(0.3), Fraction(3, 4) if x == 0.7 else 1)
    assert question.upper[1] == 0.75 and abs(question.lower[1] - 0.7) < 1e-15
    with pytest.raises(InputError, match=r"row 1, column 'x1': 0\.7 is not in the declared range"):
        asked(network, X, 0.3, {"x1": (Fraction(0), Fraction(1, 2))})


def test_boxes_are_the_least_that_doubles_allow():
    rng = np.random.default_rng(0)
    X, radius = rng.normal(0, 1, (40, 3)) * 10.0 ** rng.integers(-8, 8, (40, 3)), 0.1
    X[0] = [0.5, 1.5, -2.5]
    network = Network([([[1.0, 1.0, 1.0]], [0.0])], "threshold", [0, 1])
    exact = Fraction(radius)
    for row, question in enumerate(asked(network, X, radius)):
        for x, low, high in zip(X[row], question.lower, question.upper, strict=True):
            below, above = Fraction(float(x)) - exact, Fraction(float(x)) + exact
            assert Fraction(float(low)) <= below < Fraction(float(np.nextafter(low, np.inf)))
            assert Fraction(float(np.nextafter(high, -np.inf))) < above <= Fraction(float(high))


def test_numbers_have_no_exponents():
    text = property_text(["x"], np.array([1e-20, -1e22]), np.array([5e-20, 1e22]), 3, 1)
    assert not re.search(r"\de", text) and "(assert (or (and (>= Y_0 Y_1)) (and (>= Y_2 Y_1))))" in text


def test_what_is_refused(tmp_path):
    X = np.array([[0.5], [1.5], [2.5], [3.5]])
    y = [0, 0, 1, 1]
    clf = BDNNClassifier(weights="integer", method="local_search", time_limit=0.2, random_state=0).fit(X, y)
    for settings, message in (
        ({"data": X}, "needs a radius, by which numbers may be moved"),
        ({"data": X, "radius": -1.0}, "must be a number of at least 0, got -1"),
        ({"radius": 0.1}, "needs a table with the rows in question"),
    ):
        with pytest.raises(InputError, match=message):
            clf.export("vnnlib", tmp_path / "out", **settings)
    ensemble = BDNNEnsembleClassifier(clf, n_estimators=2).fit(X, y)
    with pytest.raises(InputError, match="takes single networks, and this is an ensemble"):
        ensemble.export("vnnlib", tmp_path / "out", data=X, radius=0.1)
    assert not (tmp_path / "out").exists()
    done = clf.export("vnnlib", tmp_path / "out", data=X[:2], check=X, radius=0.1)
    assert done.n_checked == 4 and sum(path.endswith(".vnnlib") for path in done.files) == 2
