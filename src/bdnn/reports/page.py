"""The page of a report: one HTML file that loads nothing."""

from __future__ import annotations

import base64
import importlib.util
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.arrays import real_numbers
from bdnn.certification.cells import Columns
from bdnn.certification.columns import certify_table
from bdnn.certification.engine import certify
from bdnn.errors import InputError, MissingDependencyError
from bdnn.files import check_outputs, write, write_or_rescue
from bdnn.labels import label_array
from bdnn.model_file.contents import Model
from bdnn.model_file.reading import load_model
from bdnn.network.network import Network
from bdnn.plotting import plot_certified, plot_decision_regions, plot_history, plot_network, plot_weights
from bdnn.plotting.files import picture
from bdnn.plotting.structure import heaviest_features
from bdnn.plotting.style import require_matplotlib
from bdnn.reports import wording
from bdnn.reports.card import reported_card
from bdnn.reports.contents import Robustness, Source, parts_of, proof_of, robustness_of
from bdnn.reports.on_device import on_device
from bdnn.version import __version__

if TYPE_CHECKING:
    from bdnn.certification.result import Certification
    from bdnn.encoding.raw import RawTable
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.status import ProgressCallback
    from bdnn.types import Array, Floats


def report(
    model: BDNNClassifier | Model | Network | str | os.PathLike[str],
    X: ArrayLike,
    y: ArrayLike,
    out: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    training_rows: ArrayLike | None = None,
    certificate: str | os.PathLike[str] | None = None,
    sample_weight: ArrayLike | None = None,
    radii: Sequence[float] = (),
    attacker: Mapping[str, Any] | None = None,
    points: int = 200,
    time_limit: float = 60.0,
    n_jobs: int | None = None,
    random_state: int = 0,
    source: Source | None = None,
    columns: RawTable | None = None,
    commands: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
    devices: Sequence[str] | None = None,
) -> str:
    """Write a model card: a page of HTML with figures and pictures of a network, which loads nothing from elsewhere.

    Parameters
    ----------
    model : BDNNClassifier, Model, Network or path-like
        Fitted, or a model file.
    X : array-like of shape (m, n_features)
        Inputs to measure accuracy and robustness on, finite numbers.
    y : array-like of shape (m,)
        Their labels.
    out : path-like or None
        HTML file to write; None to return only the page.
    title : str or None
        Heading; None for a plain one.
    training_rows : array-like of int or None
        Indices of the rows that the network was trained on, which are reported apart from the others; None if they are
        not known.
    certificate : path-like or None
        Certificate of the bound, to be verified on the training rows.
    sample_weight : array-like of shape (m,) or None
        Weights of the rows, which the certificate is verified with; accuracies count rows.
    radii : sequence of float
        Radii of the table of certified accuracies; round ones are chosen if it is empty.
    attacker : mapping or None
        What perturbations may do: the settings norm, scale, lower, upper, frozen and integer of `bdnn.certify`. None
        for any change, in norm inf.
    points : int
        Number of rows that are certified, drawn at random from those that the network was not trained on, if there are
        any; 0 for no certification.
    time_limit : float
        Seconds for certifying all of them; rows that are not decided by then are counted as undecided.
    n_jobs : int or None
        Threads of the certification, as for `bdnn.certify`.
    random_state : int
        Seed of the draw.
    source : Source or None
        Where the data come from, if from a table.
    columns : RawTable or None
        The same rows as columns of a table, from which the inputs are made: perturbations are then those of columns.
    commands : sequence of str
        Commands that reproduce training and report; Python calls if empty.
    on_progress : callable or None
        Receives the progress of the certification, as in `bdnn.certify`.
    devices : sequence of str or None
        Keys of `bdnn.devices.DEVICES` that the model is measured on; None for all whose compiler is installed, which
        takes seconds, and empty for none.

    Returns
    -------
    str
        The page.

    Raises
    ------
    InputError
        If the data do not fit the network, a setting is not as described, or `out` cannot be written to.
    OutputError
        (an OSError) If writing fails; the message says where the page is instead.
    CertificateError
        If the certificate does not hold for the training rows; nothing is written then.
    MissingDependencyError
        If matplotlib or Jinja2 is not installed, or the compiler of a device that is named.

    Examples
    --------
    >>> from bdnn import Network, report
    >>> net = Network([([[1.0, 1.0]], [-1.0])], head="threshold", classes=["no", "yes"])
    >>> page = report(net, [[1.0, 1.0], [0.0, 0.5], [0.0, 2.0]], ["yes", "no", "no"], points=0)
    >>> page.splitlines()[0], "66.67%" in page
    ('<!DOCTYPE html>', True)
    """
    read = {"model": model if isinstance(model, str | os.PathLike) else None, "certificate": certificate}
    check_outputs({"out": out}, read)
    require_matplotlib()
    if importlib.util.find_spec("jinja2") is None:
        raise MissingDependencyError("reports need Jinja2, which is not installed; run: pip install 'bdnn[plot]'")
    card = _as_model(model)
    network = card.network
    inputs, labels = _checked_data(network, X, y)
    if isinstance(points, bool) or not isinstance(points, int) or points < 0:
        raise InputError(f"points must be an integer >= 0, got {points!r}")
    rows = None if training_rows is None else _row_indices(training_rows, len(inputs))
    parts = parts_of(card, inputs, labels, rows)
    trained_on = parts[0].rows
    weights = None if sample_weight is None else _weights(sample_weight, len(inputs))[trained_on]
    proof = None
    if certificate is not None:
        proof = proof_of(certificate, card, inputs[trained_on], labels[trained_on], weights)
    encoder, features = card.encoder_in_use, network if columns is None else Columns.of(card.encoder_in_use)

    def certifier(rows: Array, y: Array, settings: dict[str, Any]) -> Certification:
        if columns is None:
            return certify(network, inputs[rows], y, **settings)
        return certify_table(network, encoder, columns.take(rows), y, **settings)

    robustness = None
    if points:
        robustness = robustness_of(
            certifier, features, labels, parts[-1], radii=radii, attacker=attacker or {}, points=points,
            time_limit=time_limit, n_jobs=n_jobs, seed=random_state, on_progress=on_progress,
        )  # fmt: skip
    page: str = _template().render(
        title=title or "Model card of a binarized network",
        subtitle=f"{network.n_features} features, {wording.layers(network)}, {len(network.classes)} classes",
        tiles=wording.tiles(card, parts, proof, robustness),
        data=wording.data_facts(parts, network, source),
        class_rows=wording.class_rows(network, labels, parts),
        classes=network.classes.tolist(),
        missing=[] if source is None else [(n, c, _shown(v)) for n, (c, v) in source.missing.items()],
        network=wording.network_facts(network),
        card=reported_card(card, inputs, columns, labels, None if rows is None else trained_on)[0],
        device=on_device(card, inputs, columns, devices),
        training=None if card.result is None else wording.training_facts(card, card.result),
        proof=proof,
        proof_facts=None if proof is None else wording.proof_facts(proof),
        parts=parts,
        regions_text=wording.regions_text(network, inputs),
        robustness=robustness,
        robustness_text=None if robustness is None else wording.robustness_text(robustness),
        no_robustness="no rows were asked for",
        pictures=_pictures(card, inputs, labels, robustness),
        commands=list(commands) or _calls(model),
        versions=f"Made with bdnn {__version__}, Python {platform.python_version()}, NumPy {np.__version__}.",
        percent=wording.percent,
        number=wording.number,
    )
    if out is not None:
        contents = page.encode("utf-8", "backslashreplace")  # names of files may hold bytes that are not text
        write_or_rescue("report", out, lambda place: write(place, contents))
    return page


def _checked_data(network: Network, X: ArrayLike, y: ArrayLike) -> tuple[Floats, Array]:
    """Return inputs and labels as arrays of the same length, at least 1, or raise InputError."""
    inputs = network.check_inputs(X).astype(np.float64, copy=False)
    labels = label_array("y", y)
    if not len(inputs):
        raise InputError("there is nothing to measure; X has no rows")
    if len(labels) != len(inputs):
        raise InputError(f"y must have one label per row of X ({len(inputs)}), got {len(labels)}")
    return inputs, labels


def _weights(sample_weight: ArrayLike, n_rows: int) -> Floats:
    weights = real_numbers("sample_weight", sample_weight).astype(np.float64)
    if weights.shape != (n_rows,):
        raise InputError(f"sample_weight must have one number per row of X ({n_rows}), got shape {weights.shape}")
    return weights


def _as_model(model: BDNNClassifier | Model | Network | str | os.PathLike[str]) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, Network):
        return Model(model)
    if isinstance(model, str | os.PathLike):
        return load_model(model)
    if hasattr(model, "network_"):
        calibration = getattr(model, "calibration_", None)
        result, encoder = getattr(model, "result_", None), getattr(model, "encoder_", None)
        return Model(model.network_, model.get_params(), result, encoder=encoder, calibration=calibration)
    raise InputError(
        f"model must be a fitted BDNNClassifier, a Network or the path of a model file, got {type(model).__name__}"
    )


def _row_indices(rows: ArrayLike, count: int) -> Array:
    indices = np.asarray(rows)
    whole = indices.ndim == 1 and np.issubdtype(indices.dtype, np.integer) and len(indices) > 0
    if not whole or len(np.unique(indices)) < len(indices) or indices.min() < 0 or indices.max() >= count:
        raise InputError(f"training_rows must be different indices of rows, from 0 to {count - 1}")
    return np.sort(indices)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else wording.number(value)


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    text = files("bdnn.reports").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text)


def _pictures(card: Model, X: Floats, y: Array, robustness: Robustness | None) -> dict[str, str]:
    """Return the pictures by name, as SVG files in base 64."""
    network, result, scale = card.network, card.result, X.std(axis=0)
    drawings: dict[str, Any] = {
        "network": lambda figure: plot_network(network, scale=scale, ax=figure),
        "weights": lambda figure: plot_weights(network, scale=scale, ax=figure),
    }
    if result is not None and any(math.isfinite(step.objective) for step in result.history):
        drawings["history"] = lambda figure: plot_history(result, figure)
    if network.n_features > 1:
        axes = heaviest_features(network, scale)[:2]
        drawings["regions"] = lambda figure: plot_decision_regions(network, X, y, axes, ax=figure)
    if robustness is not None:
        drawings["certified"] = lambda figure: plot_certified(robustness.found, ax=figure)
    return {name: base64.b64encode(picture(draw, "svg")).decode("ascii") for name, draw in drawings.items()}


def _calls(model: BDNNClassifier | Model | Network | str | os.PathLike[str]) -> list[str]:
    """Return the Python calls that reproduce a report on a classifier, or only on its network."""
    if isinstance(model, str | os.PathLike):
        return ["import bdnn", f"bdnn.report({os.path.basename(os.fspath(model))!r}, X, y, 'report.html')"]
    if hasattr(model, "network_"):
        return ["import bdnn", f"clf = bdnn.{model!r}.fit(X, y)", "bdnn.report(clf, X, y, 'report.html')"]
    return ["import bdnn", "bdnn.report(network, X, y, 'report.html')"]
