"""Accuracy per byte: models survive being written to bytes, sizes are those of the bytes, choices keep the budget."""

import importlib
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from bdnn import Network

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
OWN = (
    "bitstream",
    "sources",
    "coding",
    "packed_trees",
    "packed_dense",
    "packed_networks",
    "packed_shared",
    "pool",
    "codebook",
    "plans",
    "opponents",
    "diet",
    "slim",
    "ours",
)
STUDY = ("common", "registry", "datasets", "rivals", "verify", "runner", "tables")
NAMES = (*OWN, *STUDY, "cells", "report", "figs", "optimal")


@pytest.fixture
def bench(monkeypatch):
    if not (BENCHMARKS / "bytes").is_dir():
        pytest.skip("the benchmarks are not part of this distribution")
    others = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    for folder in ("study", ".", "bytes"):
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    with threadpool_limits(1):  # threads of other workers are on the same processors
        yield {name: importlib.import_module(name) for name in OWN}
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(others)


def table(bench, load=load_wine, seed=0):
    X, y = load(return_X_y=True)
    X = np.column_stack([X, X[:, 0] > np.median(X[:, 0]), np.rint(X[:, 1])])  # a 0/1 and an integer column
    rows = np.random.default_rng(seed).permutation(len(y))[:180]
    third = len(rows) // 3
    cuts = rows[:third], rows[third : 2 * third], rows[2 * third :]
    parts = dict(zip(("train", "validation", "test"), cuts, strict=True))
    sources = bench["sources"]
    columns = sources.Columns.of(X)
    return sources.Split(
        {p: X[i] for p, i in parts.items()}, {p: y[i] for p, i in parts.items()}, int(y.max()) + 1, columns
    )


def again(model, split):
    data = model.encode()
    assert len(data) == model.size
    decoded = model.decoded(data)
    for part in split.X.values():
        assert np.array_equal(decoded.predict(part), model.predict(part))
    assert decoded.encode() == data
    return decoded


def test_bits_come_back(bench):
    rng = np.random.default_rng(0)
    stream, actions = bench["bitstream"], []
    out = stream.Writer()
    for _ in range(300):
        kind = rng.choice(["unsigned", "signed", "count", "real"])
        width = int(rng.integers(1, 20))
        if kind == "unsigned":
            actions.append((kind, width, int(rng.integers(2**width))))
        elif kind == "signed":
            actions.append((kind, width, int(rng.integers(-(2 ** (width - 1)), 2 ** (width - 1)))))
        elif kind == "count":
            actions.append((kind, None, int(rng.integers(1000))))
        else:
            actions.append((kind, 32, float(np.float32(rng.normal()))))
        kind, width, value = actions[-1]
        bits = out.bits
        out.count(value) if kind == "count" else getattr(out, kind)(value, width)
        if kind == "count":
            assert out.bits - bits == stream.count_bits(value)
    data = stream.Reader(out.to_bytes())
    for kind, width, value in actions:
        assert (data.count() if kind == "count" else getattr(data, kind)(width)) == value
    with pytest.raises(ValueError, match="fit"):
        stream.Writer().unsigned(4, 2)
    with pytest.raises(ValueError, match="early"):
        data.unsigned(64)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_a_packed_tree_decides_as_scikit_learn(bench, load):
    split = table(bench, load)
    fitted = DecisionTreeClassifier(random_state=0).fit(split.X["train"], split.y["train"])
    model = bench["packed_trees"].Trees(
        split.columns, split.classes, [bench["opponents"]._converted(fitted, split, 32)], width=32
    )
    again(model, split)
    # float32 thresholds lie between the same training values
    assert np.array_equal(model.predict(split.X["train"]), fitted.predict(split.X["train"]))


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_every_candidate_of_every_rival_survives_its_bytes(bench, load, monkeypatch):
    split, rivals = table(bench, load), bench["opponents"]
    monkeypatch.setattr(rivals, "MOST", 40)
    monkeypatch.setattr(rivals, "_shapes", lambda n, outputs: [(2, 3)])
    for train in (rivals.trees, rivals.forests, rivals.boosting, rivals.logistic, rivals.networks):
        for pool in train(split, 0).values():
            assert pool
            for candidate in pool[:: max(1, len(pool) // 8)]:
                again(candidate.final(), split)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_binarized_networks_survive_their_bytes(bench, load):
    packed, inputs = bench["packed_networks"], importlib.import_module("bdnn.compact.inputs")
    split, rng = table(bench, load), np.random.default_rng(1)
    (source, _), X = packed.known(split), bench["pool"].everything(split)[0]
    outputs = 1 if split.classes == 2 else split.classes
    for trial in range(16):
        if trial % 2:
            feature = rng.integers(X.shape[1], size=9)
            above = X[rng.integers(len(X), size=9), feature]
            pairs = [(int(j), source.threshold(int(j), float(t))) for j, t in zip(feature, above, strict=True)]
            front = inputs.BitInputs.of(pairs)
        else:
            front = inputs.GridInputs.of(rng.permutation(X.shape[1])[:6], X, source, 1 + trial % 6)
        sizes, P = [len(front.feature), *rng.integers(1, 6, size=trial % 3), outputs], int(rng.integers(1, 9))
        layers = [
            (rng.integers(-P, P + 1, size=(d, k)) * (rng.random((d, k)) < 0.6), rng.integers(-9, 9, size=d))
            for k, d in pairwise(sizes)
        ]
        network = Network(layers, head="threshold" if outputs == 1 else "argmax", classes=range(split.classes))
        model = packed.Binarized.of(split, front, network)
        again(model, split)
        assert np.array_equal(model.predict(X), network.predict(front.values(X)))


def test_the_straight_through_rival_sees_what_ours_sees(bench):
    split, plans = table(bench, load_breast_cancer), bench["plans"]
    given = plans.Fronts(split, 0)
    rows = bench["pool"].everything(split)
    named = {name: given.whole(name) for name in given.names}
    for name, front in named.items():
        assert 1 < len(front.feature) <= int(name.split()[0])
        seen = front.values(rows[0])
        assert seen.min() >= 0 and seen.max() <= (255 if "8 bits" in name else 15 if "4 bits" in name else 3)
    found = {plan: [bench["pool"].Candidate(9, 0.5, None)] for plan in plans.plain_plans(given)}
    assert {plan.hidden for plan in plans.hidden_plans(split, given, found)} == {3, 12, 32}


def random_tree(rng, split, leaves, bench):
    """Return nodes in preorder, with storable thresholds and numbered leaves."""
    n, X = len(split.columns), split.X["train"]
    feature, threshold, left, right = [-1], [0.0], [0], [0]
    open_ = [0]
    while len(open_) < leaves:
        node = open_.pop(int(rng.integers(len(open_))))
        which = rng.integers(n, size=1)
        value = X[rng.integers(len(X)), which]
        feature[node], left[node], right[node] = int(which[0]), len(feature), len(feature) + 1
        threshold[node] = float(bench["coding"].storable(value, which, split.columns, 16)[0])
        open_ += left[node], right[node]
        for each, nothing in ((feature, -1), (threshold, 0.0), (left, 0), (right, 0)):
            each += [nothing, nothing]
    number = np.cumsum(np.array(feature) < 0) - 1
    packed = bench["packed_trees"]
    tree = packed.Tree.preorder(*map(np.array, (feature, threshold, left, right)), number)
    leaf = tree.feature < 0
    return packed.Tree(tree.feature, tree.threshold, tree.right, np.where(leaf, np.cumsum(leaf) - 1, 0))


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_sums_of_trees_with_shared_conditions_survive_their_bytes(bench, load):
    split, rng = table(bench, load), np.random.default_rng(4)
    outputs, packed = 1 if split.classes == 2 else split.classes, bench["packed_shared"]
    for trial in range(24):
        number = outputs * int(rng.integers(1, 6))
        width = outputs if trial % 2 else 1
        trees = [
            random_tree(rng, split, 3 if trial % 3 == 0 else int(rng.integers(1, 7)), bench) for _ in range(number)
        ]
        codebook = np.unique(rng.integers(-127, 128, size=1 + trial % 9))
        entries = [rng.integers(len(codebook), size=((tree.feature < 0).sum(), width)) for tree in trees]
        baseline = rng.integers(-300, 300, size=outputs)
        model = packed.Shared(split.columns, split.classes, trees, entries, codebook, baseline)
        decoded = again(model, split)
        assert decoded.conditions == model.conditions
        sums = np.tile(baseline, (len(split.X["test"]), 1))
        for k, (tree, entry) in enumerate(zip(trees, entries, strict=True)):
            values = codebook[entry[tree.leaves(split.X["test"])]]
            sums += values if width == outputs else values * (np.arange(outputs) == k % outputs)
        expected = sums[:, 0] > 0 if outputs == 1 else sums.argmax(axis=1)
        assert np.array_equal(model.predict(split.X["test"]), expected)


def test_short_thresholds_lie_between_the_values(bench):
    packed, rng = bench["packed_shared"], np.random.default_rng(5)
    assert packed.short_half(-1.0, 1.0) == 0.0 and packed.short_half(0.9, 1.7) == 1.0
    for low, high in rng.normal(loc=[[0.0, 1e3]], scale=50.0, size=(200, 2)):
        found = packed.short_half(low, high)
        assert low <= found < high and float(np.float16(found)) == found
    # nothing of float16 is in between
    assert packed.short_half(1.0 + 1e-6, 1.0 + 2e-6) == 1.0


def test_codebooks_of_few_values_are_the_best(bench):
    codebook, rng = bench["codebook"], np.random.default_rng(8)
    for trial in range(20):
        values, weights = rng.normal(size=7), rng.integers(1, 9, size=7)
        found = codebook._means(values, weights, 2 + trial % 2)

        def error(centers, values=values, weights=weights):
            return np.sum(weights * ((values[:, None] - centers) ** 2).min(axis=1))

        ordered = np.argsort(values)
        for cuts in combinations(range(1, 7), 1 + trial % 2):
            parts = np.split(ordered, cuts)
            assert error(found) <= error(np.array([np.average(values[p], weights=weights[p]) for p in parts])) + 1e-6


def test_a_diet_pays_for_every_new_feature_and_threshold(bench):
    split, diet = table(bench, load_breast_cancer), bench["diet"]
    X, y = split.X["train"], split.y["train"]
    conditions = diet.Conditions.of(X, split.columns, 12)
    values = np.random.default_rng(6).normal(size=(len(y), 2))
    assert np.allclose(conditions.sums(values), conditions.passed @ values)
    used, errors = [], []
    for penalty in (0.0, 1e-3):
        whole = diet.Booster(conditions, X.shape[1], y, 2, penalty).boosted(4, 0.3, 30)
        used.append({pair for tree in whole.trees for pair in zip(tree.feature, tree.threshold, strict=True)})
        sums = whole.baseline + sum(v[tree.leaves(X), 0] for tree, v in zip(whole.trees, whole.values, strict=True))
        errors.append(np.mean((sums > 0) != y))
    assert 1 < len(used[1]) < len(used[0]) / 2
    assert errors[0] <= errors[1] < 0.1


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_weights_of_score_cards_only_improve(bench, load):
    split, slim, rng = table(bench, load), bench["slim"], np.random.default_rng(7)
    y, outputs = split.y["train"], 1 if split.classes == 2 else split.classes
    seen = (split.X["train"] > np.median(split.X["train"], axis=0)).astype(int)

    def objective(W, b):
        sums = seen @ W.T + b
        predicted = sums[:, 0] >= 0 if outputs == 1 else sums.argmax(axis=1)
        return np.sum(predicted != y) + 0.002 * len(y) * np.count_nonzero(W)

    W, b = rng.integers(-2, 3, size=(outputs, seen.shape[1])), rng.integers(-2, 3, size=outputs)
    found = slim.improved(seen, y, W, b, 2, 0.002)
    assert objective(*found) < objective(W, b) and np.abs(found[0]).max() <= 2
    for k in range(outputs):
        for j in range(seen.shape[1]):
            for value in range(-2, 3):
                other = found[0].copy()
                other[k, j] = value
                assert objective(other, found[1]) >= objective(*found) - 1e-9


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_every_candidate_of_the_later_rivals_survives_its_bytes(bench, load, monkeypatch):
    split = table(bench, load)
    monkeypatch.setattr(bench["diet"], "SHAPES", ((2, 0.5), (4, 0.5)))
    monkeypatch.setattr(bench["diet"], "VALUES", (12,))
    monkeypatch.setattr(bench["diet"], "PENALTIES", (1e-4,))
    monkeypatch.setattr(bench["diet"], "MOST_TREES", {True: 27, False: 27})
    monkeypatch.setattr(bench["slim"], "THRESHOLDS", (12,))
    monkeypatch.setattr(bench["slim"], "BOUNDS", (2, 20))
    for train in (bench["diet"].diet, bench["slim"].slim):
        survive(train(split, 0), split)


def survive(pools, split):
    for pool in pools.values():
        assert pool and max(candidate.validation for candidate in pool) > 0.75
        for candidate in pool[:: max(1, len(pool) // 8)]:
            again(candidate.final(), split)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_sums_of_figs_are_those_of_imodels(bench, load, monkeypatch):
    pytest.importorskip("imodels", reason="needs the extra bench")
    split, figs = table(bench, load), importlib.import_module("figs")
    monkeypatch.setattr(figs, "RULES", {True: 6})
    X, y = split.X["train"], split.y["train"]
    fast, plain = figs.Growing(max_rules=6, random_state=0).fit(X, y), figs.FIGSClassifier(max_rules=6)
    np.random.seed(0)  # noqa: NPY002 - it breaks ties by this generator
    assert np.array_equal(fast.predict(split.X["test"]), plain.fit(X, y).predict(split.X["test"]))
    nodes = fast.history[-1]
    made = [figs._tree(each, X, split.columns) for each in nodes]
    sums = sum(values[tree.leaves(X)] for tree, values in made)
    assert np.array_equal(sums.argmax(axis=1), fast.predict(X))
    survive(figs.figs(split, 0), split)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_optimal_trees_survive_their_bytes(bench, load, monkeypatch):
    for name in ("pycontree", "pystreed"):
        pytest.importorskip(name, reason="needs the extra bench")
    split, optimal = table(bench, load), importlib.import_module("optimal")
    monkeypatch.setattr(optimal, "SEARCHES", ((1, 0.0), (2, 0.0)))
    monkeypatch.setattr(optimal, "DEPTHS", {2: (10, (1, 3))})
    rows = split.X["train"], split.y["train"]
    one, two = (optimal._of_all_thresholds(split, rows, depth, 0.0).model(1) for depth in (1, 2))
    stump = DecisionTreeClassifier(max_depth=1).fit(*rows)
    grown = DecisionTreeClassifier(max_depth=2).fit(*rows)
    assert np.mean(one.predict(rows[0]) == rows[1]) >= stump.score(*rows)
    assert np.mean(two.predict(rows[0]) == rows[1]) >= grown.score(*rows)
    survive(optimal.optimal(split, 0), split)


def test_beginnings_of_sums_of_trees_are_models_of_their_own(bench, monkeypatch):
    split, rivals, pool = table(bench, load_wine), bench["opponents"], bench["pool"]
    monkeypatch.setattr(rivals, "MOST", 40)
    X = split.X["test"]
    for train in (rivals.boosting, rivals.forests):
        whole = next(iter(train(split, 0).values()))[-1].final()
        path = pool.Beginnings(whole)
        for number, (predicted, size) in enumerate(zip(path.predictions(X), path.sizes(), strict=True)):
            model = path.model(number)
            assert size == model.size == len(model.encode())
            assert np.array_equal(model.predict(X), predicted)
            assert np.array_equal(again(model, split).predict(X), predicted)


def test_candidates_are_judged_by_rows_they_were_not_trained_on(bench):
    split, pool = table(bench, load_wine), bench["pool"]
    coding, seen = bench["coding"], []

    def remembering(rows):
        seen.append({row.tobytes() for row in rows[0]})
        return pool.Path([coding.Constant(split.columns, split.classes, k) for k in range(split.classes)])

    found = pool.judged(split, remembering, str)
    y = pool.everything(split)[1]
    assert [each.validation for each in found] == [np.mean(y == k) for k in range(split.classes)]
    rows = [{row.tobytes() for row in X} for _, (X, _) in pool.folds(split)]
    assert len(rows) == 4 and not any(a & b for a, b in zip(seen, rows, strict=True))
    assert set.union(*rows) == {row.tobytes() for row in pool.everything(split)[0]}
    test = {row.tobytes() for row in split.X["test"]}
    found[0].final()
    assert len(seen) == 5 and not any(some & test for some in seen)


def test_the_choice_keeps_the_budget_and_takes_the_best(bench):
    split, pool = table(bench, load_breast_cancer), bench["pool"]
    candidates = bench["opponents"].trees(split, 0)["decision tree"]
    found = pool.chosen(candidates, split)
    for budget in pool.BUDGETS:
        fitting = [each for each in candidates if each.size <= budget and each.final().size <= budget]
        assert found[str(budget)]["bytes"] <= budget
        assert found[str(budget)]["validation"] == max(each.validation for each in fitting)
    assert pool.chosen([], split)["32"]["bytes"] == 1
    huge = pool.Candidate(1, 1.0, candidates[-1].final)
    smallest = pool.Candidate(1, 0.0, candidates[0].final)
    assert pool.best([huge, smallest], candidates[-1].final().size - 1)[0] is smallest
    with pytest.raises(ValueError, match="no candidate"):
        pool.best([huge], 1)


def test_ours_are_read_back_from_bytes_that_fit(bench, monkeypatch):
    split = table(bench, load_wine)
    monkeypatch.setattr(bench["ours"], "SECONDS", 3.0)
    candidates = bench["ours"].ours(split, 0)["ours"]
    for candidate in candidates:
        model = candidate.final()
        data = model.encode()
        assert len(data) == candidate.size
        assert np.array_equal(model.decoded(data).predict(split.X["test"]), model.predict(split.X["test"]))
    found = bench["pool"].chosen(candidates, split)
    assert found["128"]["validation"] >= found["32"]["validation"] - 0.05 > 0.6
