"""Cases of certification: a name, and what sets a case up and returns the work to be timed.

Networks are majorities of least-squares planes, each fitted to a sample of rows with some columns: they are the same in
every version of the package, and as far from their points as trained ones. Pictures are drawn from two smooth patterns
of 28 by 28 pixels with noise. Only names that older versions of the package have are used.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bdnn import Network, attack, certify

_TABLE = Path(__file__).parents[3] / "examples" / "data" / "breast_cancer_wisconsin.csv"
_SIDE = 28


def committee(X: Any, y: Any, hidden: int, share: float, seed: int) -> Network:
    """Return a network of planes that vote, each fitted to half of the rows and a share of the columns."""
    rng = np.random.default_rng(seed)
    rows, n = [], X.shape[1]
    side = np.where(y == y.max(), 1.0, -1.0)
    for _ in range(hidden):
        chosen, some = rng.random(len(X)) < 0.5, rng.random(n) < share
        A = np.column_stack([X[chosen][:, some], np.ones(int(chosen.sum()))])
        ridge = 1e-2 * len(A) * np.eye(A.shape[1])
        fitted = np.linalg.solve(A.T @ A + ridge, A.T @ side[chosen])
        w = np.zeros(n)
        w[some] = fitted[:-1]
        rows.append(np.append(w, fitted[-1] + 0.2 * rng.normal()).round(6))
    planes = np.array(rows)
    votes = np.ones((1, hidden))
    return Network([(planes[:, :-1], planes[:, -1]), (votes, [-(hidden // 2) - 0.5])], head="threshold", classes=[0, 1])


@lru_cache
def cancer() -> tuple[Network, Any]:
    """Return ten voting planes for breast cancer, and the rows."""
    with _TABLE.open() as file:
        table = [row for row in csv.reader(file)][1:]
    known = np.array([[float(v) for v in row] for row in table if "?" not in row])
    X, y = known[:, :-1], known[:, -1]
    return committee(X, y, 10, 0.7, 1), X


@lru_cache
def pictures(hidden: int) -> tuple[Network, Any]:
    """Return voting planes for synthetic pictures, and some of these."""
    rng = np.random.default_rng(7)
    at = np.arange(_SIDE)
    shapes = []
    for _ in range(2):
        total = np.zeros((_SIDE, _SIDE))
        for _ in range(6):
            a, b = rng.uniform(6, 22, 2)
            total += np.exp(-((at[:, None] - a) ** 2 + (at[None, :] - b) ** 2) / 12.0)
        shapes.append(np.minimum(total, 1.0).ravel())
    y = rng.integers(2, size=400)
    noise = 0.2 * rng.normal(size=(400, _SIDE**2))
    X = np.clip(np.array(shapes)[y] * rng.uniform(0.5, 1.0, (400, 1)) + noise, 0.0, 1.0)
    X = np.where(X < 0.25, 0.0, X).round(3)
    network = committee(X, y, hidden, 0.8, hidden)
    W, b = network.layers[0]
    # those beside the border first: the others take seconds each
    return network, X[np.argsort(np.abs(np.sum(np.sign(X @ W.T + b), axis=1)), kind="stable")]


def deep(network: Network, seed: int) -> Network:
    """Return the network with a second hidden layer of votes between its planes and the decision."""
    rng = np.random.default_rng(seed)
    planes, d = network.layers[0], len(network.layers[0].bias)
    votes = np.where(rng.random((5, d)) < 0.7, 1.0, 0.0)
    return Network(
        [planes, (votes, -0.5 * votes.sum(axis=1) - 0.25), (np.ones((1, 5)), [-2.5])], head="threshold", classes=[0, 1]
    )


def certified(make: Callable[[], tuple[Network, Any]], some: slice, **settings: Any) -> Callable[[], Any]:
    """Return what sets up the certification of some points."""

    def set_up() -> Callable[[], object]:
        network, X = make()
        points = np.ascontiguousarray(X[some])
        return lambda: certify(network, points, **settings)

    return set_up


def attacked(make: Callable[[], tuple[Network, Any]], some: slice, **settings: Any) -> Callable[[], Any]:
    """Return what sets up attacks on some points."""

    def set_up() -> Callable[[], object]:
        network, X = make()
        points = np.ascontiguousarray(X[some])
        return lambda: attack(network, points, **settings)

    return set_up


def projected(norm: str, k: int, n: int, repeats: int) -> Callable[[], Any]:
    """Return what sets up projections on cells."""

    def set_up() -> Callable[[], object]:
        from bdnn.certification.projection import nearest
        from bdnn.certification.support import NORMS

        rng = np.random.default_rng(k)
        cases = []
        for _ in range(repeats):
            W = rng.normal(size=(k, n)) / np.sqrt(n)
            x = rng.uniform(size=n)
            inside = np.clip(0.3 * rng.normal(size=n), -x, 1.0 - x)
            cases.append((W, -W @ inside, -x, 1.0 - x))
        return lambda: [nearest(NORMS[norm], *case, np.inf).radius for case in cases]

    return set_up


def decided(n: int, hidden: int) -> Callable[[], object]:
    """Set up classes of single inputs, a part of them on the border of a neuron."""

    def set_up() -> Callable[[], object]:
        from bdnn.certification.classify import ExactClassifier

        rng = np.random.default_rng(n)
        W = rng.normal(size=(hidden, n))
        X = rng.normal(size=(4000, n))
        X[:1000, 0] -= (X[:1000] @ W[0]) / W[0, 0]
        network = Network([(W, np.zeros(hidden)), (np.ones((1, hidden)), [-hidden / 2])], "threshold", [0, 1])
        decide = ExactClassifier(network)
        return lambda: [decide(x) for x in X]

    return set_up


def _cancer_deep() -> tuple[Network, Any]:
    network, X = cancer()
    return deep(network, 3), X


def _pictures_deep() -> tuple[Network, Any]:
    network, X = pictures(32)
    return deep(network, 3), X


GRADES = {"lower": 1.0, "upper": 10.0}
PIXELS = {"lower": 0.0, "upper": 1.0}

CASES: dict[str, Callable[[], Callable[[], object]]] = {
    **{
        f"cancer, norm {p}": certified(cancer, slice(0, m), norm=p, **GRADES)
        for p, m in (("inf", 60), ("1", 60), ("2", 30))
    },
    "cancer, at a radius": certified(cancer, slice(0, 60), norm="inf", radius=1.5, **GRADES),
    **{
        f"cancer, integers, norm {p}": certified(cancer, slice(0, m), norm=p, integer=True, **GRADES)
        for p, m in (("inf", 16), ("1", 16), ("2", 6))
    },
    **{
        f"cancer, two hidden layers, norm {p}": certified(_cancer_deep, slice(0, m), norm=p, **GRADES)
        for p, m in (("inf", 24), ("1", 16), ("2", 8))
    },
    "pictures, 32 hidden, norm inf": certified(lambda: pictures(32), slice(0, 2), norm="inf", **PIXELS),
    "pictures, 32 hidden, norm 1": certified(lambda: pictures(32), slice(0, 1), norm="1", radius=18.0, **PIXELS),
    "pictures, 32 hidden, norm 2": certified(lambda: pictures(32), slice(2, 3), norm="2", radius=1.55, **PIXELS),
    "pictures, 64 hidden, norm inf": certified(lambda: pictures(64), slice(0, 1), norm="inf", **PIXELS),
    "pictures, two hidden layers": certified(_pictures_deep, slice(0, 1), norm="inf", radius=0.0985, **PIXELS),
    **{
        f"nearest points, 24 of 784, norm {p}": projected(p, 24, 784, m)
        for p, m in (("inf", 10), ("1", 20), ("2", 200))
    },
    **{f"nearest points, 6 of 20, norm {p}": projected(p, 6, 20, 2000) for p in ("inf", "1", "2")},
    **{f"attack, norm {p}": attacked(cancer, slice(0, 40), norm=p, **GRADES) for p in ("inf", "1", "2")},
    "attack, pictures": attacked(lambda: pictures(32), slice(0, 3), norm="inf", **PIXELS),
    "classes of inputs": decided(100, 32),
}
