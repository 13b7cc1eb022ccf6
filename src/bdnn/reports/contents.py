"""The contents of a report as plain values: data, network, training, certificate, accuracy and robustness."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.arrays import real_numbers
from bdnn.budget import Budget
from bdnn.checker.check import Verified, verify_certificate
from bdnn.checker.class_weight import weighted_rows
from bdnn.checker.file import read_certificate
from bdnn.errors import InputError
from bdnn.labels import label_codes
from bdnn.reports.metrics import overall
from bdnn.reports.summary import evaluation

if TYPE_CHECKING:
    from bdnn.certification.attacker import Features
    from bdnn.certification.result import Certification
    from bdnn.model_file.contents import Model
    from bdnn.status import ProgressCallback
    from bdnn.types import Array, Floats


@dataclass(frozen=True, slots=True)
class Source:
    """Where data come from.

    Attributes
    ----------
    name : str
        Name of the file.
    target : str
        Column of the labels.
    dropped : tuple of str
        Columns left out.
    missing : mapping of str to (int, float or str)
        Columns with missing values: how many, and the median or the level that replaced them.
    """

    name: str
    target: str
    dropped: tuple[str, ...] = ()
    missing: Mapping[str, tuple[int, float | str]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Rows, and how well the network does on them.

    Attributes
    ----------
    name : str
        Description of the rows.
    rows : ndarray of shape (m,)
        Their indices.
    accuracy : float
        Fraction of the rows that are predicted correctly.
    confusion : list of list of int
        Rows by true class and predicted class.
    scores : list of (label, precision, recall, f1, rows)
        By class; a precision or recall of 0 rows is 0.
    overall : list of (name, text)
        Figures of all classes together.
    """

    name: str
    rows: Array
    accuracy: float
    confusion: list[list[int]]
    scores: list[tuple[Any, float, float, float, int]]
    overall: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate that was verified.

    Attributes
    ----------
    name : str
        Name of the file.
    verified : Verified
        What it proves.
    loss : Fraction
        Loss of the network of the report on the same rows.
    """

    name: str
    verified: Verified
    loss: Fraction

    @property
    def optimal(self) -> bool:
        """Whether it proves that the network of the report is optimal."""
        return self.loss == self.verified.bound


ATTACKER = ("norm", "scale", "lower", "upper", "frozen", "integer")
"""Settings of `bdnn.certify` that say which perturbations are allowed."""


@dataclass(frozen=True, eq=False, slots=True)
class Robustness:
    """A certification of some rows.

    Attributes
    ----------
    found : Certification
        The smallest perturbations.
    drawn_from : Part
        The rows that they were drawn from.
    seed : int
        Seed of the draw.
    time_limit : float
        Seconds for all rows.
    table : list of (radius, certified, attacked, open)
        Accuracies by radius, and the number of rows that are neither proven nor attacked there.
    attacker : mapping
        Which perturbations are allowed; see `bdnn.report`.
    features : Features
        What they change: inputs of the network, or columns of a table.
    """

    found: Certification
    drawn_from: Part
    seed: int
    time_limit: float
    table: list[tuple[float, float, float, int]]
    attacker: Mapping[str, Any]
    features: Features


def parts_of(model: Model, X: Floats, y: Array, training_rows: Array | None) -> list[Part]:
    """Return the training rows and the others, if any, or all rows if `training_rows` is None, with their scores."""
    everything = np.arange(len(X))
    if training_rows is None:
        return [_part("all rows", model, X, y, everything)]
    settings = model.settings or {}
    validated, moved = settings.get("validation_fraction", 0), settings.get("decision_threshold") is not None
    trained = "training and validation rows" if validated or moved else "training rows"
    named = ((trained, training_rows), ("held-out rows", np.setdiff1d(everything, training_rows)))
    return [_part(name, model, X, y, rows) for name, rows in named if len(rows)]


def _part(name: str, model: Model, X: Floats, y: Array, rows: Array) -> Part:
    network, measured = model.network, evaluation(model, X[rows], y[rows])
    by_class = [
        (label, each["precision"], each["recall"], each["f1"], each["support"])
        for label, each in zip(network.classes.tolist(), measured["by_class"], strict=True)
    ]
    return Part(name, rows, measured["accuracy"], measured["confusion"], by_class, overall(measured))


def proof_of(
    certificate: str | os.PathLike[str], model: Model, X: Floats, y: Array, sample_weight: Floats | None = None
) -> Proof:
    """Verify a certificate about the rows that a model was trained on.

    Raises
    ------
    InputError
        If it is about networks of another shape.
    CertificateError
        If it does not hold.
    """
    content, network = read_certificate(certificate), model.network
    if (tuple(content.hidden_layer_sizes), content.head) != (network.widths[:-1], network.head):
        raise InputError(
            f"the certificate is about networks with hidden layers {list(content.hidden_layer_sizes)} and a "
            f"{content.head} head, the model has {list(network.widths[:-1])} and a {network.head} head"
        )
    verified = verify_certificate(certificate, X, y, sample_weight)
    truth = label_codes(network.classes, y, len(X))
    wrong = network.predict_index(X) != truth
    weights = weighted_rows(content.class_weight, y, content.classes, sample_weight)
    each = np.ones(len(X)) if weights is None else np.asarray(weights, dtype=np.float64)
    loss = sum(map(Fraction, each[wrong].tolist()), Fraction(0))
    return Proof(os.path.basename(os.fspath(certificate)), verified, loss)


def robustness_of(
    certifier: Callable[[Array, Array, dict[str, Any]], Certification],
    features: Features,
    y: Array,
    part: Part,
    *,
    radii: Sequence[float],
    attacker: Mapping[str, Any],
    points: int,
    time_limit: float,
    n_jobs: int | None,
    seed: int,
    on_progress: ProgressCallback | None,
) -> Robustness:
    """Certify rows of a part, drawn at random, within a time limit; `radii` are those of the table, if any.

    The certifier takes indices of rows, their labels and settings; `features` are what it perturbs.
    """
    given = np.unique(real_numbers("radii", list(radii)))
    if len(given) and not (np.all(np.isfinite(given)) and given[0] >= 0):
        raise InputError(f"radii must be finite numbers >= 0, got {list(radii)}")
    rows = part.rows
    if len(rows) > points:
        rows = np.sort(np.random.default_rng(seed).choice(rows, points, replace=False))
    if unknown := sorted(set(attacker) - set(ATTACKER)):
        raise InputError(f"attacker takes {', '.join(ATTACKER)}; got {', '.join(map(repr, unknown))}")
    settings = {"budget": Budget(seconds=time_limit), "n_jobs": n_jobs, "on_progress": on_progress, **attacker}
    found = certifier(rows, y[rows], settings)
    curve = found.curve(given if len(given) else _round_radii(found))
    # these are again the counts from which the fractions were computed
    open_rows = np.rint((curve.attacked - curve.certified) * len(rows)).astype(int)
    table = (curve.radii.tolist(), curve.certified.tolist(), curve.attacked.tolist(), open_rows.tolist())
    return Robustness(found, part, seed, time_limit, list(zip(*table, strict=True)), attacker, features)


def _round_radii(found: Certification) -> Floats:
    """Return 0 and four round radii over the distances at which rows were attacked."""
    distances = found.distance[np.isfinite(found.distance) & (found.distance > 0)]
    if not len(distances):
        return np.array([0.0, 1.0])
    step = float(np.quantile(distances, 0.9)) / 4
    return np.arange(5, dtype=np.float64) * float(f"{step:.1g}")
