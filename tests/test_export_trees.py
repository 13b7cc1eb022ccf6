"""Rules that are leaves of trees, in C: equal to a walk down the trees, in every layout, and small."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from bdnn.export.c import C
from bdnn.export.c_costs import best_layouts
from bdnn.export.c_ensembles import layer_types
from bdnn.export.golden import random_rows
from bdnn.export.groves import TREE_LAYOUTS, grove_of
from bdnn.export.micropython import MicroPython
from bdnn.export.program import DeviceInput, IntegerLayer, IntegerProgram, Member, Signal
from bdnn.export.request import Request
from export_cases import answers_in_c, avr_program
from test_export import STRICT, needs, needs_cc


def random_signals(rng, inputs, count):
    """Return bits of all kinds: thresholds, codes, some codes, and those of values that may be missing."""
    found = set()
    while len(found) < count:
        i = int(rng.integers(len(inputs)))
        cut = int(rng.integers(-9, 10))
        kind = rng.choice(["steps", "steps", "equal", "codes", "missing"])
        if kind == "steps":
            found.add(Signal(i, "steps", (cut,), (0, 1)))
        elif kind == "missing":
            found.add(Signal(i, "steps", (cut,), (0, 1), int(rng.integers(2))))
        else:
            found.add(Signal(i, "equal", tuple(range(cut, cut + 1 + 2 * (kind == "codes"))), (0, 1)))
    return sorted(found, key=repr)


def random_tree(rng, bits, depth, values):
    """Return nested tuples (bit, low, high) with leaves that are tuples of values."""
    if depth == 0 or not bits or (rng.random() < 0.25 and depth < 3):
        return values()
    bit = bits[rng.integers(len(bits))]
    rest = [other for other in bits if other != bit]
    return bit, random_tree(rng, rest, depth - 1, values), random_tree(rng, rest, depth - 1, values)


def is_leaf(tree):
    return isinstance(tree[0], tuple)


def leaf_of(tree, bits):
    while not is_leaf(tree):
        tree = tree[2] if bits[tree[0]] else tree[1]
    return np.array(tree[0])


def rules_of(tree, way=()):
    """Yield leaves that have a value, with the bits on the way to them: 1 or -1."""
    if is_leaf(tree):
        if any(tree[0]):
            yield dict(way), tree[0]
        return
    yield from rules_of(tree[1], (*way, (tree[0], -1)))
    yield from rules_of(tree[2], (*way, (tree[0], 1)))


def random_trees(seed, n_bits=12, n_trees=6, outputs=1, shared=False, largest=40):
    """Return a program of trees, rows, and what walking down the trees answers."""
    rng = np.random.default_rng(seed)
    inputs = tuple(DeviceInput(f"x{j}", "numeric", -12, 12, missing=-13, declared=True) for j in range(5))
    signals = random_signals(rng, inputs, n_bits)
    trees = []
    while len(trees) < n_trees:
        of = int(rng.integers(outputs))

        def values(of=of):
            drawn = rng.integers(-largest, largest + 1, outputs) * (rng.random() < 0.9)
            return (tuple(int(v) if shared or k == of else 0 for k, v in enumerate(drawn)),)

        tree = random_tree(rng, list(range(n_bits)), 3, values)
        if not is_leaf(tree) and any(True for _ in rules_of(tree)):
            trees.append(tree)
    rules = [rule for tree in trees for rule in rules_of(tree)]
    order = rng.permutation(len(rules)) if seed % 2 else np.arange(len(rules))
    hidden = np.zeros((len(rules), n_bits), dtype=np.int64)
    last = np.zeros((outputs, len(rules)), dtype=np.int64)
    for row, k in enumerate(order.tolist()):
        for bit, sign in rules[k][0].items():
            hidden[row, bit] = sign
        last[:, row] = rules[k][1]
    bias = tuple(int(b) for b in rng.integers(-5, 6, outputs))
    layers = (IntegerLayer(hidden, tuple((-(hidden > 0).sum(axis=1)).tolist())), IntegerLayer(last, bias))
    classes = tuple(range(max(outputs, 2)))
    program = IntegerProgram(inputs, (Member(tuple(signals), layers, classes),), classes)
    rows = random_rows(program, 60, rng)
    bits = np.stack([signal.of(rows[:, signal.input], inputs[signal.input]) for signal in signals], axis=1)
    sums = np.array([bias + sum(leaf_of(tree, row) for tree in trees) for row in bits])
    answers = (sums[:, 0] >= 0).astype(int) if outputs == 1 else sums.argmax(axis=1)
    return program, rows, answers


SHAPES = [
    {}, {"n_trees": 1}, {"largest": 300}, {"outputs": 3, "n_trees": 9}, {"outputs": 4, "shared": True},
    {"n_bits": 270, "n_trees": 70}, {"outputs": 3, "n_bits": 270, "n_trees": 60, "shared": True},
    {"outputs": 5, "n_bits": 40, "n_trees": 30, "largest": 2000},
]  # fmt: skip


def cases(optimize="size", repeats=2):
    found = []
    for number, shape in enumerate(SHAPES * repeats):
        program, rows, answers = random_trees(number, **shape)
        assert np.array_equal(program.run(rows), answers), shape
        request = Request(program=program, name=f"n{number}", optimize=optimize, rows=rows[:8], answers=answers[:8])
        found.append((SimpleNamespace(answers=answers), request, rows))
    return found


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("layout", [None, *TREE_LAYOUTS])
@needs_cc
def test_walks_under_sanitizers(tmp_path, layout, optimize):
    words = ["cc", *STRICT, "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    listed = cases(optimize)
    for (case, request, _), (answers, wrong) in zip(listed, answers_in_c(listed, tmp_path, words, layout), strict=True):
        assert not wrong and np.array_equal(answers, case.answers), request.name


@needs_cc
def test_members_of_ensembles(tmp_path):
    """Votes and sums of networks of trees beside others."""
    listed = []
    for seed in range(8):
        parts = [random_trees(2 * seed + k, outputs=3, shared=k == 0)[0] for k in range(2)]
        members = tuple(part.members[0] for part in parts)
        program = IntegerProgram(parts[0].inputs, members, (0, 1, 2), ("sum", "majority")[seed % 2])
        rows = random_rows(program, 60, np.random.default_rng(seed))
        request = Request(program=program, name=f"n{seed}", rows=rows[:4], answers=program.run(rows[:4]))
        listed.append((SimpleNamespace(answers=program.run(rows)), request, rows))
    for layout in (None, *TREE_LAYOUTS):
        found = answers_in_c(listed, tmp_path / str(layout), ["cc", *STRICT, "-O0"], layout)
        assert [wrong for _, wrong in found] == [0] * len(listed)
        assert all(np.array_equal(a, case.answers) for (case, _, _), (a, _) in zip(listed, found, strict=True))


def test_in_micropython():
    target, walks = MicroPython(), 0
    for optimize in ("size", "speed"):
        for case, request, rows in cases(optimize):
            files = target.files(request)
            text = files[f"{request.name}.py"]
            walks += "def _trees(" in text or "def _shared(" in text
            assert np.array_equal(target.decide(request, files, rows), case.answers), request.name
    assert walks > 20


def test_every_rule_is_found_as_a_leaf():
    for seed in range(20):
        program, _, _ = random_trees(seed, outputs=1 + seed % 3, shared=seed % 4 == 0)
        grove = grove_of(program.members[0])
        assert grove is not None
        neurons = sorted(leaf for _, leaf in grove.leaves if leaf is not None)
        assert neurons == list(range(len(program.members[0].layers[0].bias)))
    # in the order in which they were made, rules of a tree are put together again
    program, _, _ = random_trees(0, n_trees=6)
    found = grove_of(program.members[0])
    assert found is not None and len(found.trees) == 6


@pytest.mark.parametrize("change", ["bias", "weight", "value", "layers"])
def test_other_networks_are_no_trees(change):
    program, _, _ = random_trees(1)
    member = program.members[0]
    signals, (hidden, last) = list(member.signals), member.layers
    if change == "bias":
        hidden = IntegerLayer(hidden.weights, (hidden.bias[0] + 1, *hidden.bias[1:]))
    elif change == "weight":
        hidden = IntegerLayer(hidden.weights * 2, tuple(2 * b for b in hidden.bias))
    elif change == "value":
        signals[0] = Signal(0, "value")
    layers = (hidden, last) if change != "layers" else (hidden, IntegerLayer(np.eye(len(hidden.bias), dtype=int),
              tuple([-1] * len(hidden.bias))), last)  # fmt: skip
    assert grove_of(Member(tuple(signals), layers, member.codes)) is None


@needs("avr-gcc", "qemu-system-avr")
def test_on_an_emulated_avr(tmp_path):
    listed = [case for optimize in ("size", "speed") for case in cases(optimize, 1)]
    for number, (_, request, _) in enumerate(listed):
        object.__setattr__(request, "name", f"n{number}")
    words = ["avr-gcc", *STRICT[:-1], "-mmcu=atmega2560", "-O1"]
    assert avr_program(listed, tmp_path, words, link=True) == [0] * len(listed)


def test_the_layout_is_what_costs_least():
    """Many trees are a table where flash counts, and code or a table with distances where cycles do."""
    member, types = {}, {}
    for n_trees in (1, 40, 400):
        program = random_trees(0, n_bits=30, n_trees=n_trees)[0]
        member[n_trees], types[n_trees] = program.members[0], layer_types(program.bounds[0])
    chosen = {
        (n, optimize): best_layouts(member[n], types[n], optimize).of_trees
        for n in member for optimize in ("size", "speed")
    }  # fmt: skip
    assert chosen == {
        (1, "size"): "branches", (40, "size"): "trees", (400, "size"): "trees",
        (1, "speed"): "branches", (40, "speed"): "branches", (400, "speed"): "jumps",
    }  # fmt: skip
    assert best_layouts(member[40], types[40], "size", forced="masks").grove is None


@needs("avr-gcc", "avr-size")
def test_a_table_of_trees_takes_a_fraction_of_the_flash(tmp_path):
    program, rows, answers = random_trees(3, n_bits=60, n_trees=60)
    request = Request(program=program, name="net", rows=rows[:4], answers=answers[:4])
    flash = {}
    for layout in ("trees", "masks", "packed"):
        for path, text in C(layout).files(request).items():
            (tmp_path / path).write_text(text, encoding="utf-8")
        words = ["avr-gcc", "-mmcu=atmega328p", "-Os", "-std=c99", "-c", "net.c", "-o", "net.o"]
        subprocess.run(words, cwd=tmp_path, check=True)
        out = subprocess.run(["avr-size", "net.o"], cwd=tmp_path, check=True, capture_output=True, text=True)
        flash[layout] = int(out.stdout.splitlines()[1].split()[0])
    assert 2 * flash["trees"] < min(flash["masks"], flash["packed"]), flash
