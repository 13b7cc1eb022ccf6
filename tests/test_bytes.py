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
    decoded = type(model).decode(data, split.columns, split.classes)
    for part in split.X.values():
        assert np.array_equal(decoded.predict(part), model.predict(part))
    assert decoded.encode() == data
    return decoded


def test_bits_come_back(bench):
    rng = np.random.default_rng(0)
    stream, actions = bench["bitstream"], []
    out = stream.Writer()
    for _ in range(300):
        kind = rng.choice(["unsigned", "signed", "count", "real", "digits"])
        width = int(rng.integers(1, 20))
        if kind == "unsigned":
            actions.append((kind, width, int(rng.integers(2**width))))
        elif kind == "signed":
            actions.append((kind, width, int(rng.integers(-(2 ** (width - 1)), 2 ** (width - 1)))))
        elif kind == "count":
            actions.append((kind, None, int(rng.integers(1000))))
        elif kind == "real":
            actions.append((kind, 32, float(np.float32(rng.normal()))))
        else:
            actions.append((kind, int(rng.integers(2, 20)), rng.integers(0, 2, size=int(rng.integers(30)))))
        kind, width, value = actions[-1]
        bits = out.bits
        out.count(value) if kind == "count" else getattr(out, kind)(value, width)
        if kind == "count":
            assert out.bits - bits == stream.count_bits(value)
    data = stream.Reader(out.to_bytes())
    for kind, width, value in actions:
        if kind == "digits":
            assert np.array_equal(data.digits(len(value), width), value)
        else:
            assert (data.count() if kind == "count" else getattr(data, kind)(width)) == value
    with pytest.raises(ValueError, match="fit"):
        stream.Writer().unsigned(4, 2)
    with pytest.raises(ValueError, match="early"):
        data.unsigned(64)


@pytest.mark.parametrize("base", range(2, 30))
def test_digits_take_no_more_bits_than_one_by_one(bench, base):
    stream, rng = bench["bitstream"], np.random.default_rng(base)
    values = rng.integers(0, base, size=101)
    out = stream.Writer()
    out.digits(values, base)
    assert 101 * np.log2(base) <= out.bits <= 101 * stream.width_of(base)
    assert np.array_equal(stream.Reader(out.to_bytes()).digits(101, base), values)


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
    packed, Network = bench["packed_networks"], importlib.import_module("bdnn").Network
    split, rng = table(bench, load), np.random.default_rng(1)
    n, outputs = len(split.columns), 1 if split.classes == 2 else split.classes
    for trial in range(30):
        if trial % 2:
            feature = rng.integers(n, size=9)
            threshold = split.X["train"][rng.integers(len(split.y["train"]), size=9), feature]
            front = packed.Front.of_bits(feature, threshold, split.columns, 16 if trial % 4 == 1 else 32)
        else:
            front = packed.Front.of_grid(rng.permutation(n)[:6], split.X["train"], split.columns, 1 + trial % 6)
        sizes, P = [len(front.chosen), *rng.integers(1, 6, size=trial % 3), outputs], int(rng.integers(1, 9))
        layers = [
            (rng.integers(-P, P + 1, size=(d, k)) * (rng.random((d, k)) < 0.6), rng.integers(-9, 9, size=d))
            for k, d in pairwise(sizes)
        ]
        head = "threshold" if outputs == 1 else "argmax"
        model = packed.Binarized(
            split.columns, split.classes, front, Network(layers, head=head, classes=range(split.classes))
        )
        again(model, split)
        pruned = model.without_idle_inputs()
        again(pruned, split)
        assert pruned.size <= model.size + 1
        assert np.array_equal(pruned.predict(split.X["test"]), model.predict(split.X["test"]))


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_rules_are_hidden_neurons_and_survive_their_bytes(bench, load):
    packed, Network = bench["packed_networks"], importlib.import_module("bdnn").Network
    split, rng = table(bench, load), np.random.default_rng(3)
    n, outputs = len(split.columns), 1 if split.classes == 2 else split.classes
    X = split.X["train"]
    for trial in range(20):
        pairs = []
        for _ in range(6):
            feature = rng.integers(n, size=1)
            stored = bench["coding"].storable(X[rng.integers(len(X)), feature], feature, split.columns, 16)
            pairs.append((int(feature[0]), float(stored[0])))
        pairs = sorted(set(pairs))
        rules = []
        for _ in range(1 + trial):
            some = rng.permutation(len(pairs))[: rng.integers(1, 4)]
            rules.append(tuple((*pairs[k], bool(rng.integers(2))) for k in some))
        front = packed.Rules.of(rules, split.columns)
        for held, rule in zip(front.integers(X, split.columns).T, rules, strict=True):
            expected = np.all([(X[:, feature] > threshold) == over for feature, threshold, over in rule], axis=0)
            assert np.array_equal(held, expected)
        last = (
            rng.integers(-3, 4, size=(outputs, len(rules))) * (rng.random(len(rules)) < 0.7),
            rng.integers(-2, 3, outputs),
        )
        head = "threshold" if outputs == 1 else "argmax"
        network = Network([last], head=head, classes=range(split.classes))
        model = packed.Ruled(split.columns, split.classes, front, network)
        for each in (model, model.without_idle_inputs()):
            again(each, split)
            seen = each.front.bits.integers(split.X["test"], split.columns)
            assert each.whole.is_integer
            assert np.array_equal(each.whole.predict(seen), model.predict(split.X["test"]))


def test_rules_of_trees_are_those_of_their_leaves(bench):
    split, plans = table(bench, load_breast_cancer), bench["plans"]
    rows = split.X["train"], split.y["train"]
    for leaves in plans.LEAVES:
        found = plans.rules(rows, split.columns, split.classes, leaves, 0)
        assert len(set(found)) == len(found) <= max(plans.RULES)
        assert all(1 <= len(rule) < leaves for rule in found)
        assert all(len({(feature, over) for feature, _, over in rule}) == len(rule) for rule in found)
        held = bench["packed_networks"].Rules.of(found, split.columns).integers(rows[0], split.columns)
        # leaves of one tree exclude each other
        assert held[:, :3].sum(axis=1).max() == 1
    assert [p.most for p in plans.rule_plans({4: 1000})] == list(plans.RULES)
    assert [p.most for p in plans.rule_plans({4: 280})] == list(plans.RULES)[:2]


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
