"""Cases of the kernels of the search; each set-up returns the thunk to be timed, on one thread.

Only interfaces that exist since the kernels were compiled by numba are used, so that old and new can be compared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

Thunk = Callable[[], object]

MOST = 1 << 21


def _problem(points: int, features: int, classes: int, hidden: tuple[int, ...], **settings: Any) -> Any:
    """Make points like those of credit card clients: correlated, skewed, some features of few values, noisy labels."""
    from bdnn import Problem

    rng = np.random.default_rng(0)
    factors = rng.normal(size=(points, max(2, features // 4)))
    X = factors @ rng.normal(size=(factors.shape[1], features)) + 0.7 * rng.normal(size=(points, features))
    X[:, ::3] = np.rint(np.exp(X[:, ::3]) * 100)
    X[:, 1::5] = np.rint(X[:, 1::5])
    score = np.tanh(factors[:, 0]) + 0.5 * factors[:, 1] * (X[:, 1] > 0) + rng.normal(size=points)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    if classes == 2:
        y = (score > np.quantile(score, 0.78)).astype(int)
    if settings.get("weights") == "integer":
        X = np.rint(np.clip(X, -100, 100))
    return Problem(X=X, y=y, hidden_layer_sizes=hidden, **settings)


def _search(problem: Any, dtype: str | None = None) -> Any:
    """Return a search after a few sweeps from random weights: where most of the time of a fit is spent."""
    from bdnn.problem.presolve import presolve
    from bdnn.search.engine import Search
    from bdnn.search.interval_engine import RobustSearch
    from bdnn.search.points import points

    search = (RobustSearch if problem.robust else Search)(points(presolve(problem), dtype), 0)
    search.randomize()
    for _ in range(2):
        search._improve(np.arange(search.n_neurons))
    return search


def _sweep(problem: Any, sweeps: int = 1, dtype: str | None = None) -> Thunk:
    """Give all neurons turns, from the same weights each time."""
    search = _search(problem, dtype)
    kept, neurons = search.snapshot(), np.tile(np.arange(search.n_neurons), sweeps)
    seed = int(search.state.rng[0])

    def run() -> float:
        search.restore(kept)
        search.state.rng[0] = seed
        search._improve(neurons)
        return float(search.total)

    return run


def _line(draw: Callable[[np.random.Generator, int], tuple[Any, Any, Any, bool]], points: int, calls: int = 1) -> Thunk:
    from bdnn.search.kernels import line_search

    a, s, g, integer = draw(np.random.default_rng(0), points)
    tie = np.array([12345], dtype=np.uint64)
    work: tuple[Any, ...] = ()
    if len(inspect.signature(getattr(line_search, "py_func", lambda a, s, g, integer, rng: None)).parameters) > 5:
        work = np.empty(points + 1), np.empty(points + 1, np.int32), np.empty(points + 1, np.int32)

    def run() -> Any:
        for _ in range(calls):
            found = line_search(a, s, g, integer, tie, *work)
        return found

    return run


def _noisy(rng: np.random.Generator, points: int) -> tuple[Any, Any, Any, bool]:
    a, s = rng.normal(size=(2, points))
    wanted = rng.random(points) < 1 / (1 + np.exp(-2 * (a + 0.3 * s)))
    return a, s, np.where(wanted, -1.0, 1.0), False


def _alternating(rng: np.random.Generator, points: int) -> tuple[Any, Any, Any, bool]:
    a, s = rng.normal(size=(2, points))
    jumps = np.empty(points)
    jumps[np.argsort(-a / s)] = np.where(np.arange(points) % 2, 1.0, -1.0)
    return a, s, np.sign(s) * jumps, False


def _whole(rng: np.random.Generator, points: int) -> tuple[Any, Any, Any, bool]:
    a, s, g, _ = _noisy(rng, points)
    return np.rint(1000 * a), np.where(s > 0, np.ceil(3 * s), np.floor(3 * s)), g, True


def _lattice() -> Thunk:
    from bdnn.search.kernels import lattice_search

    a, s, g, _ = _whole(np.random.default_rng(0), 30_000)
    tie = np.array([12345], dtype=np.uint64)
    return lambda: [lattice_search(a, s, g, -7.0, 7.0, tie) for _ in range(200)]


def _gains(hidden: tuple[int, ...], classes: int, calls: int, **settings: Any) -> Thunk:
    from bdnn.search import kernels

    search = _search(_problem(30_000, 23, classes, hidden, **settings))
    p = len(search.state.loss)
    active, g, offset = np.empty(p, np.int32), np.empty(p), np.empty(p)
    return lambda: [
        kernels.gains(search.state, neuron, 0, 1, active, g, offset)
        for _ in range(calls)
        for neuron in range(search.n_neurons - int(search.state.width[-1]))
    ]


def _refresh() -> Thunk:
    search = _search(_problem(30_000, 23, 2, (10,)))
    return lambda: [search._update(neuron) for _ in range(10) for neuron in (-1, *range(search.n_neurons))]


def _surrogate(points: int, features: int, widths: list[int], argmax: bool, epochs: int, bound: int = 0) -> Thunk:
    from bdnn.search.starts import Surrogate

    rng = np.random.default_rng(0)
    Z = rng.normal(size=(points, features)).astype(np.float32)
    labels = np.digitize(Z[:, 0] + Z[:, 1] * Z[:, 2], np.linspace(-1.5, 1.5, max(widths[-1], 2) - 1))
    network = Surrogate(Z, np.eye(max(widths[-1], 2), dtype=np.float32)[labels], widths, argmax, rng, bound)

    def run() -> float:
        for _ in range(epochs):
            network.epoch(0.01, 256 if points >= 1000 else 64)
        return network.loss()

    return run


CASES: dict[str, Callable[[], Thunk]] = {
    "line search, 1e6 points, noisy": lambda: _line(_noisy, 1_000_000, 5),
    "line search, 1e6 points, alternating": lambda: _line(_alternating, 1_000_000),
    "line search, 1e6 points, integer": lambda: _line(_whole, 1_000_000, 5),
    "line search, 3000 points": lambda: _line(_noisy, 3_000, 1000),
    "line search, 100 points": lambda: _line(_noisy, 100, 10_000),
    "lattice search, 30,000 points": _lattice,
    "gains, one output": lambda: _gains((10,), 2, 20),
    "gains, four outputs that compete": lambda: _gains((10,), 4, 10, head="argmax"),
    "gains, two hidden layers": lambda: _gains((10, 8), 2, 10),
    "evaluation of changed neurons": _refresh,
    "sweep, 30,000 x 23, hidden 10": lambda: _sweep(_problem(30_000, 23, 2, (10,))),
    "sweep, 30,000 x 23, hidden 10, single precision": lambda: _sweep(_problem(30_000, 23, 2, (10,)), 1, "float32"),
    "sweep, 30,000 x 23, hidden 10 and 8": lambda: _sweep(_problem(30_000, 23, 2, (10, 8))),
    "sweep, 30,000 x 23, hidden 10, four outputs that compete": lambda: _sweep(
        _problem(30_000, 23, 4, (10,), head="argmax")
    ),
    "sweep, 30,000 x 23, hidden 10, integer": lambda: _sweep(
        _problem(30_000, 23, 2, (10,), weights="integer", weight_bound=3)
    ),
    "sweeps, 600 x 30, hidden 2": lambda: _sweep(_problem(600, 30, 2, (2,)), 30),
    "sweeps, 600 x 30, hidden 5, integer": lambda: _sweep(
        _problem(600, 30, 2, (5,), weights="integer", weight_bound=1), 30
    ),
    "sweep, interval, 3,000 x 23, hidden 5": lambda: _sweep(_problem(3_000, 23, 2, (5,), robust_radius=0.1)),
    "sweep, interval, norm 2, 3,000 x 23, hidden 5, argmax": lambda: _sweep(
        _problem(3_000, 23, 3, (5,), robust_radius=0.1, robust_norm="2", head="argmax")
    ),
    "surrogate, 30,000 x 23, hidden 10": lambda: _surrogate(30_000, 23, [10, 1], False, 5),
    "surrogate, 600 x 30, hidden 2": lambda: _surrogate(600, 30, [2, 1], False, 100),
    "surrogate, 2,000 x 784, hidden 50, ten outputs that compete": lambda: _surrogate(2_000, 784, [50, 10], True, 3),
    "surrogate, integer, 2,000 x 64, hidden 20": lambda: _surrogate(2_000, 64, [20, 10], True, 10, 1),
}
