"""Certificates for tests: a slow twin of their checker, and a maker of them for tiny data, by enumeration.

Nothing here uses the package: programs, cuts, trees and losses are computed again, in fractions.
"""

import hashlib
import itertools
import json
import math
import struct
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

FUNCTIONS = {
    1: [[[0]]],
    2: [[[0], [1]], [[0, 1]]],
    3: [[[0], [1], [2]], [[0], [1, 2]], [[0, 1], [0, 2]], [[0, 1], [0, 2], [1, 2]], [[0, 1, 2]]],
}
OUTPUTS = {
    1: [([1.0], -0.5)],
    2: [([1.0, 1.0], -1.0), ([1.0, 1.0], -1.5)],
    3: [([1.0] * 3, -1.0), ([2.0, 1.0, 1.0], -2.0), ([2.0, 1.0, 1.0], -2.5), ([1.0] * 3, -2.0), ([0.1] * 3, -0.25)],
}
SCALE = 2**20


class Data:
    """Rows merged one by one."""

    def __init__(self, X, y, weight, classes):
        table = {}
        for x, label, w in zip(X, y, weight, strict=True):
            if w > 0:
                key = tuple(0.0 if v == 0 else float(v) for v in x)
                table.setdefault(key, [Fraction(0), Fraction(0)])[classes.index(label)] += Fraction(w)
        self.rows = sorted(table.items())
        self.points = [[Fraction(v) for v in x] for x, (a, b) in self.rows if a != b]
        self.signs = [1 if b > a else -1 for _, (a, b) in self.rows if a != b]
        weights = [abs(b - a) for _, (a, b) in self.rows if a != b]
        self.base = sum((min(pair) for _, pair in self.rows), Fraction(0))
        common = math.lcm(*(w.denominator for w in weights))
        unit = math.gcd(*(int(w * common) for w in weights)) or common
        self.unit = Fraction(unit, common)
        self.costs = [w / self.unit for w in weights]
        head = f"bdnn-data 1\n{len(X)} {len(X[0])} {len(self.rows)}\n{json.dumps(classes)}\n".encode()
        body = b"".join(struct.pack(f">{len(x)}d", *x) + f"{a} {b}\n".encode() for x, (a, b) in self.rows)
        self.sha256 = hashlib.sha256(head + body).hexdigest()

    def loss(self, layers, head="threshold"):
        total = Fraction(0)
        for x, pair in self.rows:
            signal = [Fraction(v) for v in x]
            for layer in layers:
                values = [
                    sum((Fraction(w) * v for w, v in zip(row, signal, strict=True)), Fraction(bias))
                    for row, bias in zip(layer["weights"], layer["biases"], strict=True)
                ]
                signal = [int(value >= 0) for value in values]
            total += pair[1 - (values.index(max(values)) if head == "argmax" else signal[0])]
        return total


class Program:
    """Columns and rows of one output function, each row a dict of coefficients and a right-hand side."""

    def __init__(self, implicants, data, cuts):
        width = 1 + max(j for s in implicants for j in s)
        sets = [s for k in range(1, width + 1) for s in itertools.combinations(range(width), k)]
        hitting = [t for t in sets if all(set(t) & set(s) for s in implicants)]
        blockers = [t for t in hitting if not any(set(u) < set(t) for u in hitting)]
        wrong = {1: blockers, -1: [tuple(s) for s in implicants]}
        self.z, self.n = {}, len(data.signs)
        for i, sign in enumerate(data.signs):
            for j in range(width):
                self.z[i, j] = i if (j,) in wrong[sign] else self.n
                self.n += self.z[i, j] != i
        self.costs = data.costs + [Fraction(0)] * (self.n - len(data.costs))
        self.cuts = {
            (c, j): ({self.z[i, j]: 1 for i in cut["points"]}, 1) for c, cut in enumerate(cuts) for j in range(width)
        }
        self.links = {}
        for i, sign in enumerate(data.signs):
            for k, q in enumerate(q for q in wrong[sign] if len(q) > 1):
                self.links[i, k] = ({i: 1} | {self.z[i, j]: -1 for j in q}, 1 - len(q))

    def bound(self, proof, scale, fixed):
        rest, value = [scale * w for w in self.costs], Fraction(0)
        for rows, name in ((self.cuts, "cuts"), (self.links, "links")):
            for a, b, multiplier in proof[name]:
                coefficients, rhs = rows[a, b]
                assert multiplier >= 0
                value += multiplier * rhs
                for j, coefficient in coefficients.items():
                    rest[j] -= multiplier * coefficient
        for j, r in enumerate(rest):
            value += r * fixed[j] if j in fixed else min(r, 0)
        return math.ceil(value / scale)


def holds(document, X, y, weight=None):
    """Whether a certificate of the right form proves its claim, by plain recursion."""
    try:
        data = Data(X, y, [1] * len(X) if weight is None else weight, document["data"]["classes"])
        assert document["data"]["sha256"] == data.sha256
        assert document["data"]["n_points"] == len(data.points)
        assert document["scale"] >= 1
        loss, bound = Fraction(document["loss"]), Fraction(document["bound"])
        head = document["architecture"]["head"]
        assert len(document["network"]["layers"][-1]["biases"]) == {"threshold": 1, "argmax": 2}[head]
        assert loss == data.loss(document["network"]["layers"], head) and bound <= loss
        for cut in document["cuts"]:
            assert len(set(cut["points"])) == len(cut["points"]) == len(cut["multipliers"]) > 0
            multipliers = [int(m, 16) for m in cut["multipliers"]]
            assert min(multipliers) > 0 and min(cut["points"]) >= 0
            for k in range(len(X[0]) + 1):
                terms = ((data.points[i] + [1])[k] * data.signs[i] for i in cut["points"])
                assert sum(m * t for m, t in zip(multipliers, terms, strict=True)) == 0
        width = (document["architecture"]["hidden_layer_sizes"] or [1])[0]
        assert sorted(tree["implicants"] for tree in document["trees"]) == FUNCTIONS[width]
        for tree in document["trees"]:
            program, seen = Program(tree["implicants"], data, document["cuts"]), []

            def visit(number, fixed, tree=tree, program=program, seen=seen):
                node = tree["nodes"][number]
                seen.append(number)
                if isinstance(node, int):
                    assert node >= 0
                    proven = program.bound(tree["proofs"][node], document["scale"], fixed)
                    assert data.base + data.unit * proven >= bound
                    return
                column, *children = node
                assert 0 <= column < program.n and column not in fixed and min(children) > number
                for value, child in enumerate(children):
                    visit(child, fixed | {column: value})

            visit(0, {})
            assert sorted(seen) == list(range(len(tree["nodes"])))
            assert {node for node in tree["nodes"] if isinstance(node, int)} == set(range(len(tree["proofs"])))
    except (AssertionError, IndexError, KeyError, ValueError, ZeroDivisionError):
        return False
    return True


def kernel(vectors):
    """The relation between vectors if it is one up to multiples, by elimination in fractions."""
    rows, pivots = [list(r) for r in zip(*vectors, strict=True)], []
    for k in range(len(vectors)):
        pivot = next((r for r in range(len(pivots), len(rows)) if rows[r][k]), None)
        if pivot is None:
            continue
        rows[len(pivots)], rows[pivot] = rows[pivot], rows[len(pivots)]
        top = [v / rows[len(pivots)][k] for v in rows[len(pivots)]]
        rows = [top if r == len(pivots) else [a - row[k] * b for a, b in zip(row, top, strict=True)]
                for r, row in enumerate(rows)]  # fmt: skip
        pivots.append(k)
    free = [k for k in range(len(vectors)) if k not in pivots]
    if len(free) != 1:
        return None
    solution = [Fraction(0)] * len(vectors)
    solution[free[0]] = Fraction(1)
    for r, k in enumerate(pivots):
        solution[k] = -rows[r][free[0]]
    return solution


def inseparable(data, n):
    """All minimal inseparable sets, with multipliers without a common divisor."""
    signed = [[s * v for v in (*x, Fraction(1))] for s, x in zip(data.signs, data.points, strict=True)]
    cuts = []
    for size in range(2, n + 3):
        for points in itertools.combinations(range(len(signed)), size):
            relation = kernel([signed[i] for i in points])
            if relation and min(relation) > 0:
                common = math.lcm(*(v.denominator for v in relation))
                integers = [int(v * common) for v in relation]
                cuts.append({"points": list(points), "multipliers": [hex(v // math.gcd(*integers)) for v in integers]})
    return cuts


def proof_of_relaxation(program, fixed):
    """Multipliers from the duals of the linear relaxation, rounded to integers over `SCALE`."""
    names = [("cuts", *key) for key in program.cuts] + [("links", *key) for key in program.links]
    rows = list(program.cuts.values()) + list(program.links.values())
    if not rows:
        return {"cuts": [], "links": []}
    A, b = np.zeros((len(rows), program.n)), np.array([-rhs for _, rhs in rows])
    for r, (coefficients, _) in enumerate(rows):
        for j, coefficient in coefficients.items():
            A[r, j] = -coefficient
    bounds = [(fixed.get(j, 0), fixed.get(j, 1)) for j in range(program.n)]
    result = linprog([float(w) for w in program.costs], A, b, bounds=bounds)
    if result.status == 2:
        # no point of the box meets all rows: look for the least sum of violations instead
        A, c = np.hstack([A, -np.eye(len(rows))]), [0.0] * program.n + [1.0] * len(rows)
        result = linprog(c, A, b, bounds=bounds + [(0, None)] * len(rows))
        factor = 100 * sum(program.costs)
    else:
        factor = 1
    duals = [round(-v * SCALE * factor) for v in result.ineqlin.marginals]
    proof = {"cuts": [], "links": []}
    for (kind, a, b), dual in zip(names, duals, strict=True):
        if dual > 0:
            proof[kind].append([a, b, dual])
    return proof


def grown(program, data, bound):
    """Nodes and proofs of a tree that proves a bound, columns branched on in their order; leaves share proofs."""
    nodes, proofs = [], []

    def grow(fixed, known):
        number = len(nodes)
        nodes.append(None)

        def proves(proof):
            return data.base + data.unit * program.bound(proof, SCALE, fixed) >= bound

        # multipliers of nodes above often are good enough, as in fixing by reduced costs
        proof = next((proof for proof in (*proofs, *known) if proves(proof)), None) or proof_of_relaxation(
            program, fixed
        )
        if proves(proof):
            if proof not in proofs:
                proofs.append(proof)
            nodes[number] = proofs.index(proof)
        else:
            column = next(j for j in range(program.n) if j not in fixed)
            children = [grow(fixed | {column: value}, [*known, proof]) for value in (0, 1)]
            nodes[number] = [column, *children]
        return number

    grow({}, [])
    return {"nodes": nodes, "proofs": proofs}


def neurons(data):
    """What a neuron can fire on all merged rows, with weights that do so with a margin."""
    rows = np.array([x for x, _ in data.rows])
    A = np.hstack([rows, np.ones((len(rows), 1))])
    found = {}
    for fired in itertools.product((0, 1), repeat=len(rows)):
        signs = np.array([1 if f else -1 for f in fired])
        result = linprog(np.zeros(A.shape[1]), -signs[:, None] * A, -np.ones(len(rows)), bounds=(None, None))
        if result.status == 0:
            found[fired] = result.x.tolist()
    return found


def best(data, hidden):
    """A network of least loss by enumeration of everything."""
    found = neurons(data)
    candidates = []
    for layer in itertools.combinations_with_replacement(found, hidden or 1):
        for implicants in FUNCTIONS[hidden or 1]:
            output = [any(all(layer[j][r] for j in s) for s in implicants) for r in range(len(data.rows))]
            loss = sum((pair[1 - o] for (_, pair), o in zip(data.rows, output, strict=True)), Fraction(0))
            candidates.append((loss, layer, implicants))
    loss, layer, implicants = min(candidates)
    layers = [{"weights": [found[f][:-1] for f in layer], "biases": [found[f][-1] for f in layer]}]
    if hidden:
        weights, bias = OUTPUTS[hidden][FUNCTIONS[hidden].index(implicants)]
        layers.append({"weights": [weights], "biases": [bias]})
    return loss, layers


def two_outputs(layer):
    """An argmax layer that decides like a neuron whose pre-activation is 0 or far from it."""
    (weights,), (bias,) = layer["weights"], layer["biases"]
    bias += 1e-3
    return {"weights": [[-0.25 * w for w in weights], weights], "biases": [-0.25 * bias, bias]}


def made(X, y, weight=None, hidden=0, bound=None, head="threshold"):
    """A certificate of the optimum of tiny data."""
    classes = sorted(set(y))
    data = Data(X, y, [1] * len(X) if weight is None else weight, classes)
    loss, layers = best(data, hidden)
    if head == "argmax":
        layers[-1] = two_outputs(layers[-1])
    cuts = inseparable(data, len(X[0]))
    trees = []
    for implicants in FUNCTIONS[hidden or 1]:
        tree = grown(Program(implicants, data, cuts), data, loss if bound is None else bound)
        trees.append({"implicants": implicants} | tree)
    return {
        "format": "bdnn-certificate",
        "version": 1,
        "data": {
            "sha256": data.sha256,
            "n_rows": len(X),
            "n_features": len(X[0]),
            "n_points": len(data.points),
            "classes": classes,
        },
        "architecture": {
            "hidden_layer_sizes": [hidden] if hidden else [],
            "head": head,
            "weights": "continuous",
            "fit_intercept": True,
        },
        "network": {"layers": layers},
        "loss": str(loss),
        "bound": str(loss if bound is None else bound),
        "scale": SCALE,
        "cuts": cuts,
        "trees": trees,
    }
