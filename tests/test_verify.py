"""The checker of certificates against a slow twin, on certificates made by enumeration."""

import ast
import copy
import math
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import bdnn
from bdnn.checker import check as verify
from bdnn.checker import class_weight as verify_class_weight
from bdnn.checker import data as verify_data
from bdnn.checker import file as verify_file
from bdnn.checker import functions as verify_functions
from bdnn.checker import lemmas as verify_lemmas
from bdnn.checker import proofs as verify_proofs
from bdnn.checker import refutations as verify_refutations
from bdnn.checker import rows as verify_rows
from bdnn.checker import trees as verify_trees
from bdnn.checker import values as verify_parts
from bdnn.errors import CertificateError, InputError
from certificates import FUNCTIONS, Data, Program, holds, made
from certified import ALTERNATING, CASES, NOTHING, TIED, changed, check, documents, refused

MODULES = (
    verify, verify_class_weight, verify_data, verify_file, verify_functions, verify_lemmas, verify_parts, verify_proofs,
    verify_refutations, verify_rows, verify_trees,
)  # fmt: skip


@pytest.fixture(scope="module")
def certificates():
    return documents()


@pytest.mark.parametrize("name", CASES)
def test_a_certificate_of_the_optimum_is_verified(name, certificates):
    X, y, weight, hidden = CASES[name]
    document = certificates[name]
    assert holds(document, X, y, weight)
    verified = check(document, X, y, weight)
    assert verified.optimal and verified.loss == verified.bound == Fraction(document["loss"])
    assert verified.n_cuts == len(document["cuts"]) and verified.n_trees == len(FUNCTIONS[hidden or 1])
    assert verified.n_leaves == sum(isinstance(n, int) for tree in document["trees"] for n in tree["nodes"])
    assert ("no hidden layers" in verified.statement) == (hidden == 0) and "optimal" in verified.statement
    assert ("the larger wins" in verified.statement) == name.startswith("argmax")


def test_the_cases_are_not_trivial(certificates):
    assert sum(Fraction(document["loss"]) > 0 for document in certificates.values()) >= 5
    trees = [tree for document in certificates.values() for tree in document["trees"]]
    branches = sum(isinstance(n, list) for tree in trees for n in tree["nodes"])
    proofs = [proof for tree in trees for proof in tree["proofs"]]
    assert branches > 20 and any(proof["links"] for proof in proofs) and any(proof["cuts"] for proof in proofs)
    assert any(1 < len(tree["proofs"]) < (len(tree["nodes"]) + 1) // 2 - 1 for tree in trees)


def test_a_smaller_bound_is_a_bound_and_a_larger_one_none(certificates):
    X, y, weight, hidden = CASES["two hidden"]
    weaker = made(X, y, weight, hidden, bound=Fraction(1, 2))
    verified = check(weaker, X, y, weight)
    assert not verified.optimal and verified.bound == Fraction(1, 2) < verified.loss
    assert "below 1/2 on these 7 rows; the stored network has loss" in verified.statement
    weaker["bound"] = certificates["two hidden"]["bound"]
    assert "leaf " in refused(weaker, X, y, weight, match=r"of tree \d proves .*, the claim needs")


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_rows_does_not_matter_and_all_else_of_the_data_does(name, certificates):
    X, y, weight, _ = CASES[name]
    document = certificates[name]
    weight = [1.0] * len(X) if weight is None else weight
    order = np.random.default_rng(0).permutation(len(X))
    assert check(document, [X[k] for k in order], [y[k] for k in order], np.array(weight)[order]).optimal
    for row in range(len(X)):
        if weight[row] == 0:
            continue
        moved, relabelled, reweighted = copy.deepcopy((X, y, weight))
        moved[row][-1] = math.nextafter(moved[row][-1], 9.0)
        relabelled[row] = next(c for c in y if c != y[row])
        reweighted[row] = math.nextafter(weight[row], 9.0)
        for data in ((moved, y, weight), (X, relabelled, weight), (X, y, reweighted)):
            refused(document, *data, match="data: (sha256|n_points)")
    refused(document, X + X[:1], y + y[:1], [*weight, 0.0], match="data: n_rows")
    refused(document, [[*x, 0.0] for x in X], y, weight, match="data: n_features")
    refused(document, X, [f"{label}!" for label in y], weight, match="data: label")


@pytest.mark.parametrize("seed", range(6))
def test_random_data(seed):
    rng = np.random.default_rng(seed)
    n, hidden = 1 + seed % 2, seed // 2
    X = (rng.integers(-3, 4, (8, n)) / rng.choice([2, 10])).tolist()
    y, weight = rng.permutation([0, 1] * 4).tolist(), rng.choice([0.0, 0.3, 1.0, 2.0], 8).tolist()
    document = made(X, y, weight, hidden)
    assert holds(document, X, y, weight) and check(document, X, y, weight).optimal
    # a network that is worse leaves room for a claim that is wrong
    data = Data(X, y, weight, [0, 1])
    layers = [*document["network"]["layers"][:-1], {"weights": [[0.0] * (hidden or n)], "biases": [1.0]}]
    worse, wrong = data.loss(layers), Fraction(document["loss"]) + data.unit
    document |= {"network": {"layers": layers}, "loss": str(worse)}
    assert not check(document, X, y, weight).optimal and worse >= wrong
    assert not holds(document | {"bound": str(wrong)}, X, y, weight)
    refused(document | {"bound": str(wrong)}, X, y, weight, match="leaf .* proves")


def places(value, path=()):
    """Paths to everything in a JSON value, itself included."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changes(value):
    """Other values in place of one."""
    yield None
    if isinstance(value, bool):
        yield from (not value, int(value))
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value, float(value), value + 0.5, str(value), 10**400, 2**70, True)
    elif isinstance(value, float):
        yield from (math.nextafter(value, 1e9), math.nextafter(value, -1e9), -value, value + 1, str(value), math.nan)
    elif isinstance(value, str):
        yield from (value + "0", value[1:], "-" + value, "", value + " ", [value], "1" + value, 0)
        if value.startswith("0x"):
            yield from (hex(int(value, 16) + 1), hex(2 * int(value, 16)))
    elif isinstance(value, list):
        yield from ([*value, *value[-1:]], value[:-1], value[::-1], [*value, 0], [], {}, [value])
        yield from ([*value[:k], value[k + 1], value[k], *value[k + 2 :]] for k in range(len(value) - 1))
    elif isinstance(value, dict):
        yield from ({name: v for name, v in value.items() if name != left_out} for left_out in value)
        yield from (value | {"more": 1}, [], list(value.values()))


HARMLESS = {
    "bound": "a smaller bound",
    "scale": "the leaves prove the same",
    "cuts": "the points of a cut, with their multipliers, in another order; a cut that no leaf uses",
    "network": "another network of the same loss",
    "trees": "multipliers that still prove the claim",
}
"""Where a change may leave a proof, and which; the slow twin decides whether it does."""


@pytest.mark.parametrize(
    "name", ["ties and decimals", "two hidden", "plane", "plane, two hidden", "argmax", "argmax, two hidden"]
)
def test_every_change_of_the_file_is_noticed_unless_it_still_is_a_proof(name, certificates):
    X, y, weight, _ = CASES[name]
    document = certificates[name]
    tried, still = 0, {}
    for path in places(document):
        value = document
        for key in path:
            value = value[key]
        for other in changes(value):
            # 1.0 and 1 are equal, and yet one of them is no count
            if other == value and type(other) is type(value):
                continue
            tried += 1
            candidate = changed(document, path, other)
            try:
                bdnn.verify_certificate(candidate, X, y, weight) if isinstance(candidate, dict) else 1 / 0
            except (CertificateError, ZeroDivisionError):
                continue
            assert path[0] in HARMLESS and holds(candidate, X, y, weight), (path, value, other)
            assert isinstance(other, type(value)) or path[0] == "network", (path, value, other)
            still.setdefault(path[0], []).append((path, value, other))
    assert tried > 500 and sum(map(len, still.values())) < tried / 3
    assert all(Fraction(other) < Fraction(value) for _, value, other in still.get("bound", []))


@pytest.mark.parametrize("name", ["two hidden", "plane, two hidden"])
def test_nothing_that_is_a_proof_is_refused(name, certificates):
    X, y, weight, _ = CASES[name]
    document, rng = certificates[name], random.Random(0)
    tree_paths = [p for p in places(document["trees"]) if p and isinstance(p[-1], int)]
    proofs = 0
    for path in rng.sample(tree_paths, min(300, len(tree_paths))):
        value = document["trees"]
        for key in path:
            value = value[key]
        if type(value) is not int or value + 1 in (2**70,):
            continue
        for other in (value + 1, abs(value - 1), 2 * value):
            candidate = changed(document, ("trees", *path), other)
            if holds(candidate, X, y, weight):
                proofs += 1
                assert check(candidate, X, y, weight).optimal
            else:
                refused(candidate, X, y, weight)
    assert proofs > 5


def test_a_network_one_ulp_off(certificates):
    # the output of the neuron is decided by equality at one row
    X, y = [[1.0], [2.0], [3.0]], [0, 1, 1]
    document = made(X, y)
    document["network"]["layers"] = [{"weights": [[1.0]], "biases": [-2.0]}]
    assert check(document, X, y).loss == 0
    document["network"]["layers"][0]["biases"] = [math.nextafter(-2.0, -3.0)]
    refused(document, X, y, match="loss: the network has loss 1, the file says 0")


def test_trees_must_be_trees(certificates):
    X, y, weight, _ = CASES["two hidden"]
    document = certificates["two hidden"]
    t = next(t for t, tree in enumerate(document["trees"]) if len(tree["nodes"]) > 3)
    nodes = document["trees"][t]["nodes"]

    def with_nodes(*replaced, more=()):
        changed_nodes = [*nodes, *more]
        for k, node in replaced:
            changed_nodes[k] = node
        return changed(document, ("trees", t, "nodes"), changed_nodes)

    column, zero, one = nodes[0]
    refused(with_nodes((0, [column, zero, zero])), X, y, weight, match=f"node {zero} of tree {t}: is a child of node 0")
    refused(with_nodes((0, [column, 0, one])), X, y, weight, match="child 0 is not between 1 and")
    refused(with_nodes((0, [column, zero, len(nodes)])), X, y, weight, match="is not between")
    refused(with_nodes(more=[0]), X, y, weight, match=f"node {len(nodes)} of tree {t}: is the child of no node")
    refused(with_nodes((0, [10**6, zero, one])), X, y, weight, match="there is no column 1000000")
    branch = next(k for k, node in enumerate(nodes) if k and isinstance(node, list))
    refused(with_nodes((branch, [column, *nodes[branch][1:]])), X, y, weight, match=f"column {column} is fixed already")
    refused(changed(document, ("trees", t, "nodes"), []), X, y, weight, match="has no nodes")
    for node, match in ((-1, "got -1"), (True, "got True"), (2**70, "got 1180"), ({}, "got a dict"), (0.0, "got 0.0")):
        refused(with_nodes((0, node)), X, y, weight, match=f"node 0 of tree {t}: must be a list or .*{match}")
    for node in ([column, zero], [column, zero, one, 0], [True, zero, one], [column, -1, one], [column, zero, 2**31]):
        refused(with_nodes((0, node)), X, y, weight, match=f"node 0 of tree {t}: must ")
    refused(document | {"trees": document["trees"][:1]}, X, y, weight, match="1 of 2 output functions have no tree")
    refused(document | {"trees": document["trees"][:1] * 2}, X, y, weight, match="another tree has the same function")


def test_leaves_and_proofs_must_fit_together(certificates):
    X, y, weight, _ = CASES["two hidden"]
    document = certificates["two hidden"]
    t = next(t for t, tree in enumerate(document["trees"]) if len(tree["proofs"]) > 1)
    tree = document["trees"][t]
    n = len(tree["proofs"])

    def with_tree(**parts):
        return changed(document, ("trees", t), tree | parts)

    leaf = tree["nodes"].index(n - 1)
    beyond = [*tree["nodes"][:leaf], n, *tree["nodes"][leaf + 1 :]]
    refused(with_tree(nodes=beyond), X, y, weight, match=f"node {leaf} of tree {t}: there is no proof {n}, only {n}")
    more = [*tree["proofs"], tree["proofs"][0]]
    refused(with_tree(proofs=more), X, y, weight, match=f"proof {n} of tree {t}: belongs to no leaf")
    refused(with_tree(proofs=[]), X, y, weight, match="there is no proof 0, only 0")
    refused(with_tree(proofs=[[], *tree["proofs"][1:]]), X, y, weight, match=f"proof 0 of tree {t}: must be an object")
    # the order of proofs does not matter
    turned = [n - 1 - node if isinstance(node, int) else node for node in tree["nodes"]]
    assert check(with_tree(proofs=tree["proofs"][::-1], nodes=turned), X, y, weight).optimal


def test_multipliers_of_rows_that_do_not_exist(certificates):
    X, y, weight, _ = CASES["two hidden"]
    document = certificates["two hidden"]
    for proof, match in (
        ({"cuts": [[len(document["cuts"]), 0, 1]], "links": []}, "proof 0 of tree 0: there is no cut"),
        ({"cuts": [[0, 2, 1]], "links": []}, "there is no cut"),
        ({"cuts": [], "links": [[7, 0, 1]]}, "there is no link"),
        ({"cuts": [], "links": [[0, 1, 1]]}, "there is no link"),
        ({"cuts": [], "links": [[2**40, 0, 1]]}, "there is no link"),
        ({"cuts": [], "links": [[2**70, 0, 1]]}, "names a row that does not exist"),
        ({"cuts": [[-(2**70), 0, 1]], "links": []}, "names a row that does not exist"),
    ):
        tree = document["trees"][0] | {"nodes": [0], "proofs": [proof]}
        refused(changed(document, ("trees", 0), tree), X, y, weight, match=match)


def chain(columns, n_proofs, rng):
    """A long branch whose leaves use all of the proofs; also each leaf's proof and box."""
    nodes, boxes, fixed = [], [], {}
    proofs = [k % n_proofs for k in range(len(columns) + 1)]
    for column, proof in zip(columns, proofs, strict=False):
        value, number = rng.randrange(2), len(nodes)
        nodes += [[column, number + 2, number + 1] if value else [column, number + 1, number + 2], proof]
        boxes.append((proof, fixed | {column: value}))
        fixed = fixed | {column: 1 - value}
    return [*nodes, proofs[-1]], [*boxes, (proofs[-1], fixed)]


@pytest.mark.parametrize("digits", [10, 40, 59, 62, 70, 300])
@pytest.mark.parametrize("decimal", [False, True])
def test_bounds_are_exact_for_numbers_of_all_sizes(digits, decimal, certificates, monkeypatch):
    if digits in (40, 70):
        for name in ("_BATCH_NUMBERS", "_GROUP_NUMBERS", "_CLIMBERS"):
            monkeypatch.setattr(verify_trees, name, 2)
    X, y, weight = TIED if decimal else ALTERNATING
    document = certificates["two hidden, ties and decimals" if decimal else "two hidden"]
    data, rng = Data(X, y, weight, document["data"]["classes"]), random.Random(digits)
    scale = 2**digits
    for implicants in FUNCTIONS[2]:
        program = Program(implicants, data, document["cuts"])
        for turn in range(8):
            columns, proofs = rng.sample(range(program.n), min(3 * (turn // 2), program.n)), []
            for k in range(1 + turn % 3 if columns else 1):
                # sizes that need other kinds of integers, side by side
                size = (digits, 10, 70)[k]
                proof = {"cuts": [[*r, rng.getrandbits(size)] for r in program.cuts if rng.random() < 0.4]}
                proof["links"] = [[*r, rng.getrandbits(size)] for r in program.links if rng.random() < 0.4]
                proofs.append(proof)
            nodes, below = chain(columns, len(proofs), rng)
            proven = min(data.base + data.unit * program.bound(proofs[leaf], scale, box) for leaf, box in below)
            claim = min(proven, data.base)
            first = {"implicants": implicants, "nodes": nodes, "proofs": proofs}
            second = {"implicants": FUNCTIONS[2][implicants == FUNCTIONS[2][0]], "nodes": [0], "proofs": [NOTHING]}
            trees = {"trees": [first, second], "scale": scale}
            assert check(document | trees | {"bound": str(claim)}, X, y, weight).bound == claim
            if proven < data.base:
                tight = document | trees | {"bound": str(claim + data.unit)}
                refused(tight, X, y, weight, match=r"leaf \d+ of tree 0 proves")


def test_the_first_of_two_equal_outputs_wins(certificates):
    X, y, weight, _ = CASES["argmax"]
    for second, label in ((0.0, "a"), (5e-324, "b"), (-5e-324, "a")):
        layers = [{"weights": [[0.1], [0.1]], "biases": [0.0, second]}]
        lost = sum(Fraction(w) for w, given in zip(weight, y, strict=True) if given != label)
        document = certificates["argmax"] | {"network": {"layers": layers}, "loss": str(lost)}
        assert holds(document, X, y, weight)
        assert check(document, X, y, weight).loss == lost
        refused(document | {"loss": str(lost + 1)}, X, y, weight, match="loss: the network has loss")


@pytest.mark.parametrize("weighted", [False, True])
def test_merged_data_and_losses_agree_with_the_twin(weighted):
    rng = np.random.default_rng(3)
    X = rng.choice([-0.0, 0.0, 0.1, 1e-300, -2.5, 5e-324, 1e150, 3.0], (60, 2))
    y, weight = rng.choice(["n", "p"], 60).tolist(), rng.choice([0.0, 0.1, 2.0, 1e-20], 60) if weighted else None
    twin = Data(X.tolist(), y, [1] * 60 if weight is None else weight.tolist(), ["n", "p"])
    data = verify.merged(X, y, weight)
    assert (list(data.signs), list(data.costs), data.unit, data.base) == (
        twin.signs, twin.costs, twin.unit, twin.base)  # fmt: skip
    assert [[Fraction(v) for v in data.values[k].tolist()] for k in data.points] == twin.points
    assert verify.data_hash(data) == twin.sha256
    for width in (1, 3):
        W, b = rng.choice([0.1, -3e-7, 1.0, 1e149], (width, 2)), rng.choice([0.0, -0.1, -1e150], width)
        layers = [(W.tolist(), b.tolist()), ([[0.1] * width], [-0.2])]
        assert verify_data.network_loss(layers, data) == twin.loss([dict(weights=w, biases=c) for w, c in layers])
        layers[-1] = [[0.1] * width, [0.3] * width], [-0.2, -0.2]
        lost = verify_data.network_loss(layers, data, "argmax")
        assert lost == twin.loss([dict(weights=w, biases=c) for w, c in layers], "argmax")


def test_bad_data():
    for X, y, weight in (
        ([[math.nan]], [0], None), ([[1.0]], [0, 1], None), ([["a"]], [0], None), ([1.0], [0], None),
        ([[1.0], [2.0]], [0, None], None), ([[1.0], [2.0]], [0, math.nan], None), ([[1.0], [2.0]], [0, 0], None),
        ([[1.0], [2.0]], [0, "1"], None), ([[1.0], [2.0]], [0, 1], [1.0]), ([[1.0], [2.0]], [0, 1], [1.0, -1.0]),
        ([[1.0], [2.0]], [0, 1], [0.0, 0.0]), ([[1.0], [2.0]], [0, [1]], None), ([[]], [0], None),
    ):  # fmt: skip
        with pytest.raises(InputError):
            verify.merged(X, y, weight)


def test_the_checker_is_independent():
    # files are written by what writes all files
    allowed = {"bdnn.errors", "bdnn.files", *(module.__name__ for module in MODULES), "numpy", "numpy.typing"}
    for module in MODULES:
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
        assert foreign <= allowed, f"{module.__name__} imports {sorted(foreign - allowed)}"
    code = "import sys, bdnn.checker.check; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    solvers = {
        "highspy",
        "bdnn._native",
        "scipy.optimize",
        "sklearn",
        "bdnn.branch_and_cut",
        "bdnn.search",
        "bdnn.methods",
    }
    assert "bdnn.checker.check" in done.stdout.split() and not solvers & set(done.stdout.split())
