"""Members of an ensemble: what each of them is trained on, and what they must and must not be."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bdnn.errors import InputError

if TYPE_CHECKING:
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.model_file.contents import EnsembleModel
    from bdnn.network.network import Network
    from bdnn.types import Array, Floats, Indices, Integers


class Task(NamedTuple):
    """A member to be trained: the codes of its classes, its features and its seed."""

    classes: tuple[int, ...]
    features: Indices
    seed: int


def rows_of(task: Task, codes: Indices, scheme: str) -> tuple[Indices, Integers]:
    """Return the rows that a member is trained on and their targets: codes of classes, or -1 for the rest."""
    if scheme == "one_vs_rest":
        return np.arange(len(codes)), np.where(codes == task.classes[1], codes, -1).astype(np.int64)
    rows = np.flatnonzero(np.isin(codes, task.classes))
    return rows, codes[rows].astype(np.int64)


def is_integer(value: object) -> bool:
    """Whether a value is an integer of any kind."""
    return isinstance(value, Integral)


def outputs_of(network: Network, X: Array) -> Floats:
    """Return the scores that a member adds to its classes."""
    outputs = network.decision_function(X)
    if outputs.ndim == 2 and outputs.shape[1] > 2:
        return outputs
    if outputs.ndim == 1:
        value = 2 * outputs + 1 if network.is_integer else outputs
    else:
        lead = outputs[:, 1] - outputs[:, 0]
        value = 2 * lead - 1 if network.is_integer else lead
    return np.stack([-value, value], axis=1)


def check_members(settings: BDNNClassifier) -> None:
    """Reject settings of the members that only the ensemble can have."""
    if isinstance(settings.class_weight, Mapping):
        raise InputError("class_weight of the estimator cannot name classes; give it to the ensemble")
    if settings.probability is not False:
        raise InputError("probability of the estimator has no use in an ensemble; give it to the ensemble")
    if settings.decision_threshold is not None:
        raise InputError("members of an ensemble take no decision_threshold; compare predict_proba with one")


def check_random(settings: BDNNClassifier, hidden: str, voting: str) -> None:
    """Reject settings that random hidden layers cannot have."""
    needed = ""
    if voting != "sum":
        needed = "voting='sum'"
    elif settings.weights != "integer" or settings.head == "threshold" or not settings.fit_intercept:
        needed = "an estimator of integer weights, with biases, and outputs that compete (head 'auto' or 'argmax')"
    elif not np.size(np.asarray(settings.hidden_layer_sizes, dtype=object)):
        needed = "an estimator with hidden layers"
    elif np.any(np.asarray(settings.robust_radius, dtype=object) != 0):
        needed = "an estimator with robust_radius=0"
    if needed:
        raise InputError(f"hidden={hidden!r} needs {needed}")


def check_contents(model: EnsembleModel) -> None:
    """Reject a model whose classes and members do not fit one another."""
    known, C = set(range(-1, len(model.classes))), len(model.classes)
    if C < 2 or len(set(model.classes.tolist())) != C:
        raise InputError(f"classes must be at least two different labels, got {model.classes.tolist()!r}"[:200])
    for number, member in enumerate(model.members, start=1):
        codes = member.network.classes
        if codes.dtype.kind != "i" or not set(codes.tolist()) <= known:
            raise InputError(f"the classes of member {number} must be integers from -1 to {C - 1}")
    if not model.members:
        raise InputError("an ensemble needs at least one member")
