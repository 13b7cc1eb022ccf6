"""The rivals of scikit-learn: trees, forests, boosting, logistic regression and networks, as packed candidates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from coding import storable
from packed_dense import Dense
from packed_trees import Tree, Trees
from pool import BUDGETS, Beginnings, Candidate, Path, Rows, everything, halves, judged
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from sources import Split

MOST = max(BUDGETS)

Scaling = tuple[np.ndarray, np.ndarray]
"""Means and standard deviations of the used features."""


def _converted(model: DecisionTreeClassifier, split: Split, width: int) -> Tree:
    """Return a fitted tree with storable thresholds and classes at its leaves."""
    tree = model.tree_
    threshold = storable(tree.threshold, np.maximum(tree.feature, 0), split.columns, width)
    labels = model.classes_.astype(int)[tree.value[:, 0].argmax(axis=1)]
    return Tree.preorder(tree.feature, threshold, tree.children_left, tree.children_right, labels)


def trees(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Grow trees best-first to many sizes."""
    sizes = [2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048]
    sizes = [leaves for leaves in sizes if leaves <= len(everything(split)[1])]
    pool = []
    for least in (1, 5):
        for width in (16, 32):

            def grown(rows: Rows, least: int = least, width: int = width) -> Path:
                models = []
                for leaves in sizes:
                    model = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=least, random_state=seed)
                    models.append(_converted(model.fit(*rows), split, width))
                return Path([Trees(split.columns, split.classes, [model], width=width) for model in models])

            pool += judged(split, grown, lambda k, least=least: f"{sizes[k]} leaves of {least} rows or more")
    return {"decision tree": pool}


def forests(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Grow forests of few leaves a tree; all their beginnings are candidates."""
    pool = []
    for leaves in (3, 8, 32, 128):
        most = int(np.clip(MOST * 8 / (leaves * 12), 2, 50))
        if leaves > len(everything(split)[1]) / 2:
            break

        def grown(rows: Rows, leaves: int = leaves, most: int = most) -> Path:
            model = RandomForestClassifier(most, max_leaf_nodes=leaves, random_state=seed).fit(*rows)
            made = [_converted(each, split, 16) for each in model.estimators_]
            return Beginnings(Trees(split.columns, split.classes, made))

        pool += judged(split, grown, lambda k, leaves=leaves: f"{k + 1} trees of {leaves} leaves")
    return {"random forest": pool}


def boosting(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Boost small trees; all beginnings are candidates. Leaves are rounded to 8 bits with one scale."""
    pool = []
    outputs = 1 if split.classes == 2 else split.classes
    for leaves, rate in ((2, 0.3), (4, 0.1), (4, 0.3), (8, 0.3)):
        # so many as surely fill the largest budget, or 120 trees for two classes and 240 for more
        rounds = int(np.clip(MOST * 8 / (leaves * 12 * outputs), 2, 120 if outputs == 1 else 240 / outputs))

        def grown(rows: Rows, rounds: int = rounds, leaves: int = leaves, rate: float = rate) -> Path:
            model = HistGradientBoostingClassifier(
                learning_rate=rate,
                max_iter=rounds,
                max_leaf_nodes=leaves,
                min_samples_leaf=min(20, len(rows[1]) // 40 + 1),
                l2_regularization=1.0,
                early_stopping=False,
                random_state=seed,
            ).fit(*rows)
            grown = [_boosted(each.nodes, split) for stage in model._predictors for each in stage]
            scale = float(np.float32(max(np.abs(values).max() for _, values in grown) / 127)) or 1.0
            made = [Tree.preorder(*parts, np.rint(values / scale)) for parts, values in grown]
            baseline = np.float32(np.ravel(model._baseline_prediction)).astype(float)
            return Beginnings(Trees(split.columns, split.classes, made, scale, baseline))

        notes = lambda k, leaves=leaves, rate=rate: f"{k + 1} rounds of {leaves} leaves, rate {rate}"  # noqa: E731
        pool += judged(split, grown, notes)
    return {"gradient boosting": pool}


def _boosted(nodes: np.ndarray, split: Split) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return feature, storable threshold, and children of the nodes, and their values."""
    leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(leaf, -1, nodes["feature_idx"].astype(int))
    threshold = storable(nodes["num_threshold"].astype(float), np.maximum(feature, 0), split.columns, 16)
    return (feature, threshold, nodes["left"].astype(int), nodes["right"].astype(int)), nodes["value"]


def _scaling(X: np.ndarray) -> Scaling:
    spread = X.std(axis=0)
    return X.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _dense(split: Split, chosen: np.ndarray, layers: list, mean: np.ndarray, spread: np.ndarray) -> Dense:
    """Fold the standardization into the first layer, and the last of several outputs into the others."""
    layers = [(W.astype(float), b.astype(float)) for W, b in layers]
    first = layers[0][0] / spread
    layers[0] = (first, layers[0][1] - first @ mean)
    if split.classes > 2:
        W, b = layers[-1]
        layers[-1] = (W[:-1] - W[-1], b[:-1] - b[-1])
    floats = [(np.float32(W).astype(float), np.float32(b).astype(float)) for W, b in layers]
    return Dense(split.columns, split.classes, chosen, floats)


def _both_kinds(
    split: Split, name: str, trained: Callable[[Rows], list[tuple[Dense, Scaling]]], notes, parts=None
) -> dict[str, list[Candidate]]:
    """Return candidates in floats, and their copies of 8 bits, from the same trainings.

    There are two such copies: small, and with wider biases and an output for every class, which rounds better.
    """
    once: dict[int, tuple[Rows, list[tuple[Dense, Scaling]]]] = {}

    def path(rows: Rows, small: bool) -> Path:
        if id(rows) not in once:
            once[id(rows)] = rows, trained(rows)
        found = once[id(rows)][1]
        if not small:
            return Path([model for model, _ in found])
        pairs = ((m.quantized(*scaling, False), m.centered().quantized(*scaling, True)) for m, scaling in found)
        return Path([model for pair in pairs for model in pair])

    return {
        name: judged(split, lambda rows: path(rows, False), notes, parts),
        f"{name}, int8": judged(split, lambda rows: path(rows, True), lambda k: notes(k // 2), parts),
    }


def logistic(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train logistic regression on ever fewer features, dropping those of the smallest weights."""
    pools: dict[str, list[Candidate]] = {}
    numbers = [len(split.columns)]
    while numbers[-1] > 1:
        numbers.append(numbers[-1] - 1 if numbers[-1] <= 8 else int(0.7 * numbers[-1]))
    for C in (0.03, 1.0, 30.0):

        def trained(rows: Rows, C: float = C) -> list[tuple[Dense, Scaling]]:
            found, chosen = [], np.arange(len(split.columns))
            for following in [*numbers[1:], 0]:
                mean, spread = _scaling(rows[0][:, chosen])
                model = LogisticRegression(C=C, max_iter=100)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it need not converge
                    model.fit((rows[0][:, chosen] - mean) / spread, rows[1])
                found.append((_dense(split, chosen, [(model.coef_, model.intercept_)], mean, spread), (mean, spread)))
                weight = np.abs(model.coef_).max(axis=0)
                chosen = np.sort(chosen[np.argsort(-weight, kind="stable")[:following]])
            return found

        made = _both_kinds(split, "logistic regression", trained, lambda k, C=C: f"{numbers[k]} features, C {C:g}")
        for name, pool in made.items():
            pools.setdefault(name, []).extend(pool)
    return pools


def networks(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train networks of one hidden layer on the features that forests find most important.

    They are judged on the validation part alone, also for small tables, as they take long to train.
    """
    pools: dict[str, list[Candidate]] = {}
    forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=seed).fit(split.X["train"], split.y["train"])
    order = np.argsort(-forest.feature_importances_, kind="stable")
    for width, some in _shapes(len(split.columns), 1 if split.classes == 2 else split.classes - 1):

        def trained(rows: Rows, width: int = width, some: int = some) -> list[tuple[Dense, Scaling]]:
            chosen = np.sort(order[:some])
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
            return [(_dense(split, chosen, layers, mean, spread), (mean, spread))]

        notes = lambda k, width=width, some=some: f"{some} features, {width} hidden"  # noqa: E731
        for name, pool in _both_kinds(split, "MLP", trained, notes, halves(split)).items():
            pools.setdefault(name, []).extend(pool)
    return pools


def _shapes(n: int, outputs: int) -> Iterator[tuple[int, int]]:
    """Yield widths and numbers of features that fill the budgets in floats or in 8 bits, with their overhead."""
    seen = set()
    for each, overhead, widths in ((1, 14, (2, 4, 8, 32, 64)), (4, 3, (1, 2, 4, 16, 32))):
        for budget, width in zip(BUDGETS, widths, strict=True):
            spare = budget - overhead - each * (outputs * width + outputs + width) - (3 * width if each == 1 else 0)
            some = min(n, int(spare / (each * width + 0.6)))
            if some >= 2 and (width, some) not in seen:
                seen.add((width, some))
                yield width, some
