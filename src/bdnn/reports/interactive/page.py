"""The interactive page of a model: one HTML file with sliders, which decides as the model does and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.budget import Budget
from bdnn.certification.columns import certify_table
from bdnn.errors import InputError, MissingDependencyError
from bdnn.files import check_outputs, write, write_or_rescue
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.reports import wording
from bdnn.reports.card import reported_card
from bdnn.reports.contents import ATTACKER
from bdnn.reports.interactive.payload import (
    Plain,
    cells_of_rows,
    certified_plain,
    labels_plain,
    model_plain,
    voting_of,
)
from bdnn.reports.interactive.subject import Subject, drawn_rows, row_indices, subject_of
from bdnn.reports.on_device import on_device
from bdnn.version import __version__

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.estimators.devices import Exportable
    from bdnn.network.network import Network
    from bdnn.status import ProgressCallback
    from bdnn.types import Indices

_MOST_WEIGHTS = 5_000  # with which the page computes a radius in a tenth of a second, whenever an input moves
_HERE = "bdnn.reports.interactive"
_ATTACKER_TEXT = (
    "Radii and attacks of the rows in the list were computed by bdnn certify when this page was made: they are proven. "
    "Perturbations change numbers, and leave all else as it is."
)


def interactive_report(
    model: Exportable | Model | Network | str | os.PathLike[str],
    X: ArrayLike | RawTable,
    y: ArrayLike | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    training_rows: ArrayLike | None = None,
    row_numbers: ArrayLike | None = None,
    points: int = 20,
    attacker: Mapping[str, Any] | None = None,
    time_limit: float = 60.0,
    n_jobs: int | None = 1,
    random_state: int = 0,
    devices: Sequence[str] | None = None,
    on_progress: ProgressCallback | None = None,
) -> str:
    """Write a page on which the inputs of a row are moved by sliders, and the decision of the model is seen.

    The page is one HTML file that loads nothing. It holds the model, and decides in the browser exactly as `predict`
    does. For some rows it shows the certified radius and the nearest attack, which are computed here; at other inputs,
    it computes a radius itself where it can.

    Parameters
    ----------
    model : BDNNClassifier, CompactBDNNClassifier, BDNNEnsembleClassifier, Model, Network or path-like
        Fitted, or the file of a single network. Ensembles are not certified.
    X : array-like of shape (m, n_features), data frame or RawTable
        Rows as the model predicts them; they say from where to where sliders go. For a Model, a Network or a file:
        an array of numbers, or a RawTable.
    y : array-like of shape (m,) or None
        Their labels, which are shown beside decisions.
    out : path-like or None
        HTML file to write; None to return only the page.
    title : str or None
        Heading; None for a plain one.
    training_rows : array-like of int or None
        Indices of the rows that the network was trained on: rows of the page are drawn from the others.
    row_numbers : array-like of int of shape (m,) or None
        What rows are called; None for 0, 1, 2, ….
    points : int
        Number of rows on the page, drawn at random.
    attacker : mapping or None
        What perturbations may do: the settings norm, scale, lower, upper, frozen and integer of `bdnn.certify`.
    time_limit : float
        Seconds for certifying all of these rows.
    n_jobs : int or None
        Threads of the certification, as for `bdnn.certify`.
    random_state : int
        Seed of the draw.
    devices : sequence of str or None
        Keys of `bdnn.devices.DEVICES` that the model is measured on; None for all whose compiler is installed, which
        takes seconds, and empty for none.
    on_progress : callable or None
        Receives the progress of the certification, as in `bdnn.certify`.

    Returns
    -------
    str
        The page.

    Raises
    ------
    InputError
        If the data do not fit the model, a setting is not as described, or `out` cannot be written to.
    OutputError
        (an OSError) If writing fails; the message says where the page is instead.
    MissingDependencyError
        If Jinja2 is not installed, or the compiler of a device that is named.

    Examples
    --------
    >>> from bdnn import Network, interactive_report
    >>> net = Network([([[1.0, 1.0]], [-1.0])], head="threshold", classes=["no", "yes"])
    >>> page = interactive_report(net, [[1.0, 1.0], [0.0, 0.5]], ["yes", "no"], title="Two numbers", devices=())
    >>> page.splitlines()[0], "Two numbers" in page
    ('<!DOCTYPE html>', True)
    """
    check_outputs({"out": out}, {"model": model if isinstance(model, str | os.PathLike) else None})
    if importlib.util.find_spec("jinja2") is None:
        raise MissingDependencyError("reports need Jinja2, which is not installed; run: pip install 'bdnn[plot]'")
    subject = subject_of(model, X, y)
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise InputError(f"points must be an integer >= 1, got {points!r}")
    trained = None if training_rows is None else row_indices(training_rows, len(subject.table))
    numbers = np.arange(len(subject.table)) if row_numbers is None else np.asarray(row_numbers)
    if numbers.shape != (len(subject.table),) or numbers.dtype.kind not in "iu":
        raise InputError(f"row_numbers must be {len(subject.table)} integers, one per row")
    rows = drawn_rows(len(subject.table), trained, points, random_state)
    settings: dict[str, Any] = {"budget": Budget(seconds=time_limit), "n_jobs": n_jobs, "on_progress": on_progress}
    robust = _robustness(subject, rows, dict(attacker or {}), settings)
    data = model_plain(subject.model, _refusing_gaps(subject), subject.table) | robust | {
        "rows": cells_of_rows(subject.table, rows),
        "numbers": numbers[rows].tolist(),
        "codes": subject.codes[rows].tolist(),
        "labels": labels_plain(subject.labels, rows),
    }  # fmt: skip
    page = _rendered(subject, data, trained, title, devices)
    if out is not None:
        contents = page.encode("utf-8", "backslashreplace")  # names of files may hold bytes that are not text
        write_or_rescue("page", out, lambda place: write(place, contents))
    return page


def _refusing_gaps(subject: Subject) -> Encoder:
    """Return the encoder without replacements of missing values if the model was trained to refuse these."""
    encoder, info = subject.encoder, subject.model.table
    if info is None or info.missing != "error":
        return encoder
    return replace(encoder, columns=tuple(replace(code, fill=None) for code in encoder.columns))


def _robustness(subject: Subject, rows: Indices, attacker: dict[str, Any], settings: dict[str, Any]) -> Plain:
    """Return what is known of the robustness of rows, or why nothing is."""
    if unknown := sorted(set(attacker) - set(ATTACKER)):
        raise InputError(f"attacker takes {', '.join(ATTACKER)}; got {', '.join(map(repr, unknown))}")
    model, encoder = subject.model, subject.encoder
    nothing: Plain = {"certified": None, "live": None}
    if isinstance(model, EnsembleModel):
        return nothing | {"why": "Not certified: bdnn certifies single networks, and this is an ensemble."}
    if _mixes_numbers(encoder) and attacker.get("frozen") is None:
        words = (
            "some numbers enter through thresholds and others as they are; freeze the columns of either kind (--frozen)"
        )
        return nothing | {"why": f"Not certified: {words}."}
    chosen = subject.table.take(rows)
    found = certify_table(model.network, encoder, chosen, None, **settings, **attacker)
    attacked = np.isfinite(found.distance)
    codes = np.zeros(len(rows), dtype=np.intp)
    codes[attacked] = model.network.predict_index(found.attack[attacked])
    bounded = any(attacker.get(name) is not None for name in ("lower", "upper", "frozen"))
    bounded = bounded or bool(np.any(attacker.get("integer", False)))
    return {
        "certified": certified_plain(found, np.arange(len(rows)), codes),
        "why": "",
        "live": None if bounded else _live(model, attacker),
    }


def _mixes_numbers(encoder: Encoder) -> bool:
    numbers = [bool(code.thresholds) for code in encoder.columns if code.kind == "numeric" and code.used]
    return any(numbers) and not all(numbers)


def _live(model: Model, attacker: Mapping[str, Any]) -> Plain:
    """Return the norm and the units of columns, and which radii the page can compute itself at any inputs."""
    encoder, network = model.encoder_in_use, model.network
    scale, norm = attacker.get("scale"), str(attacker.get("norm", "inf"))
    units = np.broadcast_to(np.asarray(1.0 if scale is None else scale, dtype=np.float64), (len(encoder.columns),))
    plain = encoder.is_identity and all(code.kind == "numeric" for code in encoder.columns)
    flat = len(network.layers) == 1
    rule = None
    if network.n_parameters <= _MOST_WEIGHTS:
        rule = "box" if norm == "inf" else "linear" if plain and flat and network.grid is None else None
    return {"norm": norm, "scale": units.tolist(), "rule": rule, "exact": flat}


def _rendered(
    subject: Subject, data: Plain, trained: Indices | None, title: str | None, devices: Sequence[str] | None
) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    model = subject.model
    parts, card = reported_card(model, subject.inputs, subject.table, subject.labels, trained)
    data |= {"card": card is not None, "threshold": None if card is None else card.threshold}
    script = _text("decide.js") + _text("radius.js") + _text("drawing.js") + _text("page.js")
    style = _text("page.css")
    # so that nothing in the data can end the element that holds it
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    page: str = Environment(autoescape=True, undefined=StrictUndefined).from_string(_text("page.html.jinja")).render(
        title=title or "A binarized network at work",
        subtitle=_subtitle(model),
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        data=Markup(plain),
        card=parts,
        device=on_device(model, subject.inputs, subject.table, devices, subject.predict),
        attacker="" if data["why"] else _ATTACKER_TEXT,
        facts=_facts(subject, trained),
        versions=f"Made with bdnn {__version__}, Python {platform.python_version()}, NumPy {np.__version__}.",
        n_rows=len(data["rows"]),
    )  # fmt: skip
    return page


def _text(name: str) -> str:
    return files(_HERE).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls a script or style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _subtitle(model: Model | EnsembleModel) -> str:
    columns, classes = len(model.encoder_in_use.columns), len(model.classes)
    what = (
        f"{len(model.members)} networks that vote"
        if isinstance(model, EnsembleModel)
        else wording.layers(model.network)
    )
    return f"{columns} columns, {what}, {classes} classes"


def _facts(subject: Subject, trained: Indices | None) -> list[tuple[str, str]]:
    """Return accuracy, loss, bound and size, as far as they are known."""
    model = subject.model
    parts = subject.accuracies(trained)
    facts = [("accuracy", f"{wording.percent(part)} of {count} {name}") for part, count, name in parts]
    if isinstance(model, EnsembleModel):
        rules = {"sum": "the sums of their outputs decide", "majority": "each network has one vote"}
        return [*facts, ("vote", rules[voting_of(model)])]
    result, network = model.result, model.network
    if result is not None:
        facts.append(("training loss", f"{wording.number(result.audit.loss)}, audited, {result.n_rows} rows"))
        facts.append(("bound", f"{wording.number(result.bound)}: no loss is below for {result.bound_of}"))
    return [*facts, ("size", f"{network.size_bytes} bytes, {network.n_parameters} weights and biases")]
