"""The rivals of scikit-learn: trees, forests, boosting, logistic regression and networks, as packed candidates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from coding import Dense, Tree, Trees, storable
from pool import BUDGETS, Candidate, judged
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from sources import Split

Rows = tuple[np.ndarray, np.ndarray]
MOST = max(BUDGETS)


def _converted(model: DecisionTreeClassifier, split: Split, width: int) -> Tree:
    """Return a fitted tree with storable thresholds and classes at its leaves."""
    tree = model.tree_
    threshold = storable(tree.threshold, np.maximum(tree.feature, 0), split.columns, width)
    labels = model.classes_.astype(int)[tree.value[:, 0].argmax(axis=1)]
    return Tree.preorder(tree.feature, threshold, tree.children_left, tree.children_right, labels)


def trees(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Grow trees best-first to many sizes."""
    pool = []
    for leaves in (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048):
        for least in (1, 5):

            def grown(rows: Rows, leaves: int = leaves, least: int = least, width: int = 16) -> Trees:
                model = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=least, random_state=seed)
                model.fit(*rows)
                return Trees(split.columns, split.classes, [_converted(model, split, width)], width=width)

            for width in (16, 32):
                model = grown((split.X["train"], split.y["train"]), width=width)
                if model.size <= MOST:
                    again = _again(split, lambda rows, grown=grown, width=width: grown(rows, width=width))
                    pool.append(judged(model, split, f"{leaves} leaves, {least} rows or more", again))
        if len(model.trees[0].feature) < 2 * leaves - 1:
            break
    return {"decision tree": pool}


def _again(split: Split, train: Callable[[Rows], object]) -> Callable[[], object]:
    return lambda: train(split.both)


def forests(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Grow forests of few leaves a tree; all their beginnings are candidates."""
    pool = []
    for leaves in (3, 6, 12, 32, 96, 256):
        most = int(np.clip(MOST * 8 / (leaves * 12), 2, 100))

        def grown(rows: Rows, number: int, leaves: int = leaves) -> Trees:
            model = RandomForestClassifier(number, max_leaf_nodes=leaves, random_state=seed).fit(*rows)
            return Trees(split.columns, split.classes, [_converted(each, split, 16) for each in model.estimators_])

        whole = grown((split.X["train"], split.y["train"]), most)
        X, y = split.X["validation"], split.y["validation"]
        votes = np.zeros((len(X), split.classes), dtype=int)
        for number, tree in enumerate(whole.trees, start=1):
            votes[np.arange(len(X)), tree.leaves(X)] += 1
            part = Trees(split.columns, split.classes, whole.trees[:number])
            if part.size > MOST:
                break
            again = _again(split, lambda rows, grown=grown, number=number: grown(rows, number))
            right = float(np.mean(votes.argmax(axis=1) == y))
            pool.append(Candidate(part, right, f"{number} trees of {leaves} leaves", again))
    return {"random forest": pool}


def boosting(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Boost small trees; all beginnings are candidates. Leaves are rounded to 8 bits with one scale."""
    pool = []
    X, y = split.X["validation"], split.y["validation"]
    outputs = 1 if split.classes == 2 else split.classes
    for leaves, rate in ((2, 0.3), (2, 1.0), (4, 0.1), (4, 0.3), (8, 0.1), (8, 0.3)):
        # so many as surely fill the largest budget, or 150 trees for two classes and 300 for more
        rounds = int(np.clip(MOST * 8 / (leaves * 12 * outputs), 2, 150 if outputs == 1 else 300 / outputs))

        def grown(rows: Rows, rounds: int, leaves: int = leaves, rate: float = rate) -> Trees:
            model = HistGradientBoostingClassifier(
                learning_rate=rate,
                max_iter=rounds,
                max_leaf_nodes=leaves,
                min_samples_leaf=min(20, len(rows[1]) // 40 + 1),
                early_stopping=False,
                random_state=seed,
            ).fit(*rows)
            grown = [_boosted(each.nodes, split) for stage in model._predictors for each in stage]
            scale = float(np.float32(max(np.abs(values).max() for _, values in grown) / 127)) or 1.0
            made = [Tree.preorder(*parts, np.rint(values / scale)) for parts, values in grown]
            baseline = np.float32(np.ravel(model._baseline_prediction)).astype(float)
            return Trees(split.columns, split.classes, made, scale, baseline)

        whole = grown((split.X["train"], split.y["train"]), rounds)
        sums = np.zeros((outputs, len(X)), dtype=int)
        bits = 0
        for number, tree in enumerate(whole.trees, start=1):
            sums[(number - 1) % outputs] += tree.leaves(X)
            bits += whole.tree_bits(tree)
            if bits > 8 * MOST:
                break
            if number % outputs == 0:
                values = whole.scale * sums + whole.baseline[:, None]
                predicted = values[0] > 0 if outputs == 1 else values.argmax(axis=0)
                part = Trees(split.columns, split.classes, whole.trees[:number], whole.scale, whole.baseline)
                stages = number // outputs
                again = _again(split, lambda rows, grown=grown, stages=stages: grown(rows, stages))
                note = f"{stages} rounds of {leaves} leaves, rate {rate}"
                if part.size <= MOST:
                    pool.append(Candidate(part, float(np.mean(predicted == y)), note, again))
    return {"gradient boosting": pool}


def _boosted(nodes: np.ndarray, split: Split) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return feature, storable threshold, and children of the nodes, and their values."""
    leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(leaf, -1, nodes["feature_idx"].astype(int))
    threshold = storable(nodes["num_threshold"].astype(float), np.maximum(feature, 0), split.columns, 16)
    return (feature, threshold, nodes["left"].astype(int), nodes["right"].astype(int)), nodes["value"]


def _scaling(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = X.std(axis=0)
    return X.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _dense(split: Split, chosen: np.ndarray, layers: list, mean: np.ndarray, spread: np.ndarray) -> Dense:
    """Fold the standardisation into the first layer, and the last of several outputs into the others."""
    layers = [(W.astype(float), b.astype(float)) for W, b in layers]
    first = layers[0][0] / spread
    layers[0] = (first, layers[0][1] - first @ mean)
    if split.classes > 2:
        W, b = layers[-1]
        layers[-1] = (W[:-1] - W[-1], b[:-1] - b[-1])
    floats = [(np.float32(W).astype(float), np.float32(b).astype(float)) for W, b in layers]
    return Dense(split.columns, split.classes, chosen, floats)


def logistic(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train logistic regression on ever fewer features, dropping those of the smallest weights."""
    pools = {"logistic regression": [], "logistic regression, int8": []}
    n = len(split.columns)
    for C in (0.03, 1.0, 30.0):

        def trained(rows: Rows, chosen: np.ndarray, C: float = C) -> tuple[Dense, np.ndarray, np.ndarray]:
            mean, spread = _scaling(rows[0][:, chosen])
            model = LogisticRegression(C=C, max_iter=100)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it need not converge
                model.fit((rows[0][:, chosen] - mean) / spread, rows[1])
            layers = [(model.coef_, model.intercept_)]
            return _dense(split, chosen, layers, mean, spread), spread, np.abs(model.coef_).max(axis=0)

        chosen = np.arange(n)
        while len(chosen):
            dense, spread, weight = trained((split.X["train"], split.y["train"]), chosen)
            _enter(pools, "logistic regression", split, dense, spread, f"{len(chosen)} features, C {C:g}", trained)
            fewer = len(chosen) - 1 if len(chosen) <= 8 else int(0.7 * len(chosen))
            chosen = np.sort(chosen[np.argsort(-weight, kind="stable")[:fewer]])
    return pools


def _enter(pools, name, split, dense, spread, note, trained) -> None:
    """Enter a float model and its copy of 8 bits."""
    for title, model, small in ((name, dense, False), (f"{name}, int8", dense.quantised(spread), True)):

        def again(small: bool = small) -> Dense:
            again, spread, *_ = trained(split.both, dense.chosen)
            return again.quantised(spread) if small else again

        if model.size <= MOST:
            pools[title].append(judged(model, split, note, again))


def networks(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train networks of one hidden layer on the features that forests find most important."""
    pools = {"MLP": [], "MLP, int8": []}
    n = len(split.columns)
    forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=seed).fit(split.X["train"], split.y["train"])
    order = np.argsort(-forest.feature_importances_, kind="stable")
    outputs = 1 if split.classes == 2 else split.classes - 1
    for width, some in _shapes(n, outputs):

        def trained(rows: Rows, chosen: np.ndarray, width: int = width) -> tuple[Dense, np.ndarray]:
            mean, spread = _scaling(rows[0][:, chosen])
            epochs, batch = (40, 256) if len(rows[1]) > 2000 else (150, 64)
            model = MLPClassifier(
                (width,),
                learning_rate_init=0.01,
                max_iter=epochs,
                batch_size=min(batch, len(rows[1])),
                random_state=seed,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit((rows[0][:, chosen] - mean) / spread, rows[1])
            layers = [(W.T, b) for W, b in zip(model.coefs_, model.intercepts_, strict=True)]
            return _dense(split, chosen, layers, mean, spread), spread

        chosen = np.sort(order[:some])
        dense, spread = trained((split.X["train"], split.y["train"]), chosen)
        _enter(pools, "MLP", split, dense, spread, f"{some} features, {width} hidden", trained)
    return pools


def _shapes(n: int, outputs: int) -> Iterator[tuple[int, int]]:
    """Yield widths and numbers of features that fill the budgets in floats or in bytes."""
    seen = set()
    for each, budgets in ((1, BUDGETS), (4, BUDGETS[1:])):
        for budget in budgets:
            width = {32: 1, 128: 2, 512: 4, 2048: 16, 8192: 32}[budget] * (2 if each == 1 and budget > 32 else 1)
            some = min(n, int((0.9 * budget / each - (1 + outputs) * width - outputs) / width))
            if some >= 2 and (width, some) not in seen:
                seen.add((width, some))
                yield width, some
