"""Hidden layers that are drawn at random, and outputs that are trained on all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.network.network import Layer, Network
from bdnn.problem.presolve import presolve

if TYPE_CHECKING:
    from bdnn.problem.problem import Problem


def random_hidden(problem: Problem, seed: int, hidden: str) -> Network:
    """Return a network of random hidden layers, whose outputs are 0; see `bdnn.BDNNEnsembleClassifier`.

    Parameters
    ----------
    problem : Problem
        Of integer weights and with outputs that compete.
    seed : int
        Seed of the weights and thresholds.
    hidden : {"random", "comparisons"}
        Thresholds midway between two random rows, or 0.

    Returns
    -------
    Network
    """
    grid, rng = presolve(problem).grid, np.random.default_rng(seed)
    X = np.asarray(problem.X)
    if problem.sample_weight is not None:
        X = X[np.asarray(problem.sample_weight) > 0]
    X = np.unique(X, axis=0)
    signal = X.astype(np.float64) if grid is None else grid.quantize(X)
    layers = []
    for width in problem.widths[:-1]:
        shape = (width, signal.shape[1])
        W = rng.integers(1, problem.weight_bound + 1, shape) * rng.choice([-1, 1], shape)
        sums, bias = signal @ W.T, np.zeros(width, dtype=np.int64)
        if hidden == "random":
            pairs = np.take_along_axis(sums, rng.integers(len(sums), size=(2, width)), axis=0)
            bias = np.floor(-pairs.mean(axis=0)).astype(np.int64)
        layers.append(Layer(W, bias))
        signal = (sums + bias >= 0).astype(np.float64)
    C = len(problem.classes)
    layers.append(Layer(np.zeros((C, signal.shape[1]), dtype=np.int64), np.zeros(C, dtype=np.int64)))
    return Network(tuple(layers), head="argmax", classes=problem.classes, grid=grid)


def with_outputs(members: list[Network], outputs: Network) -> list[Network]:
    """Divide the outputs that were trained on all hidden neurons among the members, whose sums decide the same."""
    W, bias = outputs.layers[0]
    if len(bias) == 2:
        # each member adds 2 lead - 1; all together have to add 2 lead - 1 or, if their number is even, 2 lead
        bias = bias + np.array([0, len(members) // 2])
    shared, start = [], 0
    for network in members:
        width = network.widths[-2]
        shared.append(replace(network, layers=(*network.layers[:-1], Layer(W[:, start : start + width], bias))))
        bias, start = np.zeros_like(bias), start + width  # the first member has all biases
    return shared
