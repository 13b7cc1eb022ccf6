"""The rivals: a ReLU network in PyTorch and four models of scikit-learn. Each returns a predictor and its bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

NODE_BYTES = 2 + 4 + 4
"""Feature, threshold and children of a tree's node."""

Trained = tuple[Callable[[np.ndarray], np.ndarray], int]


class Skipped(Exception):
    """A cell that cannot run here, with the reason."""


@cache
def warm_up() -> None:
    """Train a tiny network once: what PyTorch loads on first use is not training time."""
    X = dict.fromkeys(("train", "validation"), np.eye(2))
    y = dict.fromkeys(X, np.arange(2))
    relu(X, y, {"hidden": [2], "rate": 1e-3, "epochs": 1, "batch": 2}, seed=0)


def relu(X: dict[str, np.ndarray], y: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> Trained:
    """Train a ReLU network with cross-entropy and keep the weights of the epoch that is best on the validation part."""
    try:
        import torch
    except ImportError:
        raise Skipped("PyTorch is not installed (extra bench)") from None
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    classes, codes = np.unique(y["train"], return_inverse=True)
    sizes = [X["train"].shape[1], *settings["hidden"], len(classes)]
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(network.parameters(), lr=settings["rate"])
    inputs, targets = torch.tensor(X["train"], dtype=torch.float32), torch.tensor(codes)

    def predict(values: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return classes[network(torch.tensor(values, dtype=torch.float32)).argmax(dim=1).numpy()]

    best, kept = -1.0, network.state_dict()
    for _ in range(settings["epochs"]):
        for batch in torch.randperm(len(inputs)).split(settings["batch"]):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            adam.step()
        accuracy = float(np.mean(predict(X["validation"]) == y["validation"]))
        if accuracy > best:
            best, kept = accuracy, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return predict, 4 * sum(value.numel() for value in network.parameters())


def mlp(X: dict[str, np.ndarray], y: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> Trained:
    """Train scikit-learn's network with its own settings."""
    model = MLPClassifier(settings["hidden"], max_iter=settings["iterations"], random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        model.fit(X["train"], y["train"])
    return model.predict, 4 * sum(array.size for array in (*model.coefs_, *model.intercepts_))


def logistic(X: dict[str, np.ndarray], y: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> Trained:
    """Train logistic regression."""
    model = LogisticRegression(max_iter=settings["iterations"]).fit(X["train"], y["train"])
    return model.predict, 4 * (model.coef_.size + model.intercept_.size)


def tree(X: dict[str, np.ndarray], y: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> Trained:
    """Grow a decision tree."""
    model = DecisionTreeClassifier(random_state=seed).fit(X["train"], y["train"])
    return model.predict, NODE_BYTES * model.tree_.node_count


def forest(X: dict[str, np.ndarray], y: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> Trained:
    """Grow a random forest."""
    model = RandomForestClassifier(settings["trees"], random_state=seed, n_jobs=1).fit(X["train"], y["train"])
    return model.predict, NODE_BYTES * sum(grown.tree_.node_count for grown in model.estimators_)


TRAINERS = {"relu": relu, "mlp": mlp, "logistic": logistic, "tree": tree, "forest": forest}
