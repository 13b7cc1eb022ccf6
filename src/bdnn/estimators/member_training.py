"""Training of the members of an ensemble, each group of them a task of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone

from bdnn.estimators.members import Task, rows_of
from bdnn.estimators.random_layers import random_hidden, with_outputs
from bdnn.estimators.selection import usual_sizes
from bdnn.model_file.contents import EnsembleMember
from bdnn.parallel import Workers
from bdnn.problem.problem import Problem
from bdnn.stopping import Stop

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.network.network import Network
    from bdnn.types import Floats, Indices, Integers, Reals

# members see inputs, which are numbers
_AS_INPUTS = {"categorical_features": None, "missing_indicator": "never", "thresholds": None}
_LEAST_SECONDS = 1e-3  # the least that a time limit may be


@dataclass(frozen=True, eq=False, slots=True)
class Training:
    """What all members are trained on, and how.

    Attributes
    ----------
    settings : BDNNClassifier
        Of every member.
    inputs : ndarray of shape (m, n_inputs)
        Inputs of the encoder.
    codes : ndarray of shape (m,), int
        Classes.
    weight : ndarray of shape (m,) or None
        Weights in the loss.
    scheme, hidden : str
        Of the ensemble.
    """

    settings: BDNNClassifier
    inputs: Reals
    codes: Indices
    weight: Floats | None
    scheme: str
    hidden: str


@dataclass(frozen=True, slots=True)
class _Group:
    """Members that are trained together, and their part of the time."""

    members: list[Task]
    budget: Budget
    following: int


@dataclass(frozen=True, slots=True)
class _Trained:
    members: list[EnsembleMember]
    shortfalls: tuple[str, ...]
    interrupted: bool


def trained_members(
    training: Training, groups: Sequence[list[Task]], budget: Budget, stop: Stop | None
) -> tuple[list[EnsembleMember], Counter[str], bool]:
    """Train groups of members, as many at the same time as the budget has threads or joblib has workers.

    Ctrl-C ends the training: members that decide among all classes are left out, all others get the least possible
    time. It comes through if nothing is trained, or if it is repeated.

    Returns
    -------
    members : list of EnsembleMember
        In order.
    shortfalls : Counter of str
        What could not be done in time, and for how many groups.
    interrupted : bool
        Whether Ctrl-C came.
    """
    found: dict[int, _Trained] = {}
    with Workers(min(budget.threads, len(groups)), training, stop) as workers:
        left = list(range(len(groups)))

        def tasks() -> Iterator[_Group]:
            for number in left:
                # rounds of groups that are trained at the same time, from this one on
                yield _Group(groups[number], budget, math.ceil((len(groups) - number) / workers.count))

        while left:
            try:
                for place, result in workers.do(_train, tasks()):
                    found[left[place]] = result
                    if result.interrupted:
                        workers.stop.request()
                break
            except KeyboardInterrupt:
                if workers.stop.requested or not found:
                    raise
                workers.stop.request()
                left = [number for number in left if number not in found]
        interrupted = workers.stop.requested
    members = [member for number in sorted(found) for member in found[number].members]
    if not members:
        raise KeyboardInterrupt
    return members, Counter(what for each in found.values() for what in each.shortfalls), interrupted


def _train(training: Training, task: _Group, stop: Stop) -> _Trained:
    """Train a group of members."""
    stopped = stop.requested
    if stopped and training.scheme == "multiclass":
        return _Trained([], (), True)
    own = task.budget.within(0.0 if stopped else task.budget.remaining / task.following)
    rows, targets = rows_of(task.members[0], training.codes, training.scheme)
    weight = training.weight
    # members decide about classes of weight 0 as if these had weight
    weight = None if weight is None or not weight[rows].any() else weight[rows]
    parts = [training.inputs[np.ix_(rows, each.features)] for each in task.members]
    clf = clone(training.settings).set_params(random_state=task.members[0].seed, n_jobs=1, **_AS_INPUTS)
    drawn: list[Network] = []
    if training.hidden != "trained":
        drawn = [
            random_hidden(_integer_problem(clf, X, targets, weight), each.seed, training.hidden)
            for X, each in zip(parts, task.members, strict=True)
        ]
        signals = [network.activations(X)[-1] for network, X in zip(drawn, parts, strict=True)]
        parts = [np.concatenate(signals, axis=1).astype(np.float32)]
        clf.set_params(hidden_layer_sizes=(), head="argmax")
    left = own.remaining
    clf.set_params(time_limit=None if math.isinf(left) else max(left, _LEAST_SECONDS))
    clf._warns, clf._stop = False, None if stopped else stop
    clf.fit(parts[0], targets, weight)
    networks = with_outputs(drawn, clf.network_) if drawn else [clf.network_]
    members = [EnsembleMember(network, each.features) for network, each in zip(networks, task.members, strict=True)]
    return _Trained(members, clf.result_.shortfalls, clf.result_.interrupted)


def _integer_problem(clf: BDNNClassifier, X: Reals, targets: Integers, weight: Floats | None) -> Problem:
    """Return the problem of a member of integer weights and outputs that compete."""
    return Problem(
        X=X, y=targets, sample_weight=weight, hidden_layer_sizes=usual_sizes(clf), head="argmax",
        weights="integer", weight_bound=clf.weight_bound, input_bits=clf.input_bits,
    )  # fmt: skip
