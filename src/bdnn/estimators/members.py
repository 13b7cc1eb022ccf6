"""Members of an ensemble: what each is trained on, in which order, and hidden layers that are drawn at random."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from bdnn.estimators.classifier import BDNNClassifier
from bdnn.model_file import EnsembleMember
from bdnn.network.network import Layer, Network
from bdnn.problem.presolve import presolve
from bdnn.problem.problem import Problem
from bdnn.types import Array, Floats, Indices, Integers


class Task(NamedTuple):
    """A member to be trained: the codes of its classes, its features and its seed."""

    classes: tuple[int, ...]
    features: Indices
    seed: int


def part_of(task: Task, codes: Indices, scheme: str) -> tuple[Indices, Integers]:
    """Return the rows that a member is trained on and their targets: codes of classes, or -1 for the rest."""
    if scheme == "one_vs_rest":
        return np.arange(len(codes)), np.where(codes == task.classes[1], codes, -1).astype(np.int64)
    rows = np.flatnonzero(np.isin(codes, task.classes))
    return rows, codes[rows].astype(np.int64)


def random_hidden(
    clf: BDNNClassifier, X: Array, targets: Integers, weight: Floats | None, seed: int, hidden: str
) -> Network:
    """Return a network of random hidden layers, whose outputs are 0; see `bdnn.BDNNEnsembleClassifier`."""
    problem = Problem(
        X=X, y=targets, sample_weight=weight, hidden_layer_sizes=clf.hidden_layer_sizes, head="argmax",
        weights="integer", weight_bound=clf.weight_bound, input_bits=clf.input_bits,
    )  # fmt: skip
    grid, rng = presolve(problem).grid, np.random.default_rng(seed)
    X = np.unique(X if weight is None else X[weight > 0], axis=0)
    signal = X.astype(np.float64) if grid is None else grid.quantise(X)
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
    """Share the outputs that were trained on all hidden neurons out among the members: their sums decide the same."""
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


def in_order(
    train: Callable[[list[Task], int], list[EnsembleMember]],
    groups: Sequence[list[Task]],
    threads: int,
    stop: threading.Event,
) -> list[EnsembleMember]:
    """Train groups of members; Ctrl-C sets `stop`, and ends the training if nothing is trained or it comes again."""
    calls: list[Callable[[], list[EnsembleMember]]] = []
    members: list[EnsembleMember] = []
    with ThreadPoolExecutor(threads) as pool:
        for number, group in enumerate(groups):
            call = partial(train, group, number)
            calls.append(call if threads == 1 else pool.submit(call).result)
        try:
            for result in calls:
                try:
                    members += result()
                except KeyboardInterrupt:
                    if stop.is_set() or not members:
                        raise
                    stop.set()
                    members += result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return members
