"""The reports of the command line, as plain dictionaries and as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.calibration import pre_activations
from bdnn.labels import label_codes
from bdnn.reports.metrics import grid, measures
from bdnn.result import MEASURES

if TYPE_CHECKING:
    from bdnn.calibration import Calibration
    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.shape_trials import Tried
    from bdnn.model_file.contents import Model
    from bdnn.network.network import Network
    from bdnn.result import OperatingPoint, Result
    from bdnn.tables import Table
    from bdnn.types import Array, Floats


_COLUMN_HEAD = ("column", "kind", "inputs")
_MOST_ALIKE = 3  # columns in a row of one kind that have a line each; tables of pixels have hundreds


def training_report(result: Result, table: Table, rows: Array, encoder: Encoder) -> dict[str, Any]:
    """Return the figures of a training run on the given rows of a table, whose columns became inputs by `encoder`."""
    network, point, replaced = result.network, result.operating_point, table.n_missing
    return {
        "rows": len(table.rows),
        "rows_without_label": table.n_unlabeled,
        "features": len(table.names),
        "columns": _columns(encoder, network),
        # a column that gives no inputs needs no replacements
        "missing_replaced": {
            name: int(count)
            for name, count, code in zip(table.names, replaced, encoder.columns, strict=True)
            if count and code.used
        },
        "training_rows": len(rows),
        "distinct_training_rows": result.n_distinct,
        "irreducible_loss": result.irreducible,
        "irreducible_of": result.irreducible_of,
        "grid_loss": result.grid_loss,
        "training_loss": result.audit.loss,
        "operating_point": None if point is None else asdict(point) | {"reached": point.reached, "met": point.met},
        "penalty": result.penalty,
        "objective": result.objective,
        "training_errors": result.audit.n_wrong,
        "weighted": result.weighted,
        "class_weight": class_weights(result),
        "training_accuracy": 1 - result.audit.n_wrong / result.n_rows,
        "bound": result.bound,
        "bound_of": result.bound_of,
        "gap": result.gap,
        "status": str(result.status),
        "message": result.message,
        "nodes": result.nodes,
        "seconds": result.timings["total"],
        "validation_accuracy": result.validation_accuracy,
        "method": result.method,
        "solver": result.solver,
        "audit_mismatches": result.audit.n_mismatched,
        "n_parameters": network.n_parameters,
        "size_bytes": network.size_bytes,
    }


def _replacement(report: dict[str, Any]) -> str:
    kinds = {column["kind"] for column in report.get("columns", ()) if column["name"] in report["missing_replaced"]}
    fills = ["the median"] * bool(kinds != {"categorical"}) + ["the most frequent level"] * ("categorical" in kinds)
    return " or ".join(fills)


def described_columns(encoder: Encoder, network: Network) -> list[tuple[str, str, str]]:
    """Return for each column its name, its kind, and its inputs in words, and whether the network gives them weight."""
    weighs = np.any(network.layers[0].weights != 0, axis=0)
    return [
        (name, kind, words if not code.n_inputs or weighs[place].any() else f"{words}, without weight")
        for (name, kind, words), code, place in zip(
            encoder.description(), encoder.columns, encoder.input_slices(), strict=True
        )
    ]


def _columns(encoder: Encoder, network: Network) -> list[dict[str, str]]:
    return [{"name": name, "kind": kind, "inputs": words} for name, kind, words in described_columns(encoder, network)]


def columns_text(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return a table of columns, their kinds and their inputs; a long run of similar columns takes one line."""
    shown: list[tuple[str, str, str]] = []
    for (kind, words), group in itertools.groupby(rows, key=lambda row: row[1:]):
        names = [name for name, _, _ in group]
        if len(names) > _MOST_ALIKE:
            names = [f"{names[0]} … {names[-1]} ({len(names)} columns)"]
        shown += [(name, kind, words) for name in names]
    widths = [max(len(row[k]) for row in (_COLUMN_HEAD, *shown)) for k in range(2)]
    return "\n".join(
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {words}" for name, kind, words in (_COLUMN_HEAD, *shown)
    )


def class_weights(result: Result) -> dict[str, float] | None:
    """Return the weights of the classes by the text of their labels, None if they have none."""
    if result.class_weight is None:
        return None
    return dict(zip(map(str, result.network.classes.tolist()), result.class_weight, strict=True))


def training_text(report: dict[str, Any]) -> str:
    """Return a training report as lines."""
    r = report
    replaced = ", ".join(f"{count} in {name}" for name, count in r["missing_replaced"].items())
    held_out = None
    if "held_out_rows" in r:
        balanced = f", balanced {r['held_out_balanced_accuracy']:.2%}" if r["class_weight"] else ""
        held_out = f"{r['held_out_accuracy']:.2%} of {r['held_out_rows']} rows{balanced}"
    validation, regularized = r["validation_accuracy"], r["objective"] != r["training_loss"]
    audited = f"audited on {r['audited_rows']} rows" if "audited_rows" in r else "audited"
    weighted = "class-weighted " if r["class_weight"] else ""
    lines = [
        ("rows read", f"{r['rows']}, {r['features']} features"),
        ("without a label", f"{r['rows_without_label']} rows, left out" if r["rows_without_label"] else None),
        ("missing values", f"{replaced}, replaced by {_replacement(r)}" if replaced else None),
        (
            "training rows",
            f"{r['training_rows']}"
            + ("" if "audited_rows" in r else f", {r['distinct_training_rows']} after merging duplicates"),
        ),
        ("irreducible loss", f"{r['irreducible_loss']:g} for {r['irreducible_of']}"),
        ("warning", _grid_warning(r["grid_loss"]) if r["grid_loss"] else None),
        ("class weights", ", ".join(f"{name} {w:g}" for name, w in (r["class_weight"] or {}).items()) or None),
        ("weighted loss", f"{r['training_loss']:g} ({audited})" if r["weighted"] else None),
        (
            "training errors" if r["weighted"] else "training loss",
            f"{r['training_errors']}, accuracy {r['training_accuracy']:.2%}"
            if r["weighted"]
            else f"{r['training_loss']:g} ({audited}), accuracy {r['training_accuracy']:.2%}",
        ),
        ("regularizer", f"{r['penalty']:g}" if r["penalty"] else None),
        ("objective", f"{r['objective']:g}" if regularized else None),
        ("bound", f"{r['bound']:g} for {r['bound_of']}"),
        ("gap", f"{r['gap']:.2%}"),
        ("status", _status_text(r)),
        (
            "validation",
            None if validation is None else f"{weighted}accuracy {validation:.2%}, by which the network was chosen",
        ),
        ("operating point", _point_text(r["operating_point"])),
        ("probabilities", _calibration_text(r.get("calibration"))),
        ("all rows", _passes_text(r["beyond_memory"]) if "beyond_memory" in r else None),
        ("held-out accuracy", held_out),
        ("chosen", _chosen_text(r.get("selection"))),
        ("network size", f"{r['n_parameters']} weights and biases, {r['size_bytes']} bytes"),
        ("saved to", r["model_file"]),
    ]
    text = "\n".join(f"{name:<18}{text}" for name, text in lines if text is not None)
    columns = [(column["name"], column["kind"], column["inputs"]) for column in r.get("columns", ())]
    return f"{columns_text(columns)}\n{text}" if columns else text


def _passes_text(found: dict[str, Any]) -> str:
    """Return what the search over rows beyond memory did."""
    before = "" if found["sample_loss"] is None else f", whose network has a loss of {found['sample_loss']:.12g} on all"
    return f"{found['passes']} passes after a sample of {found['sample_rows']} rows{before}"


def selection_report(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """Return the shapes that were tried, the chosen one first."""
    return [
        asdict(each) | {"hidden_layer_sizes": list(each.hidden_layer_sizes), "described": each.described}
        for each in tried
    ]


def _chosen_text(selection: list[dict[str, Any]] | None) -> str | None:
    if not selection:
        return None
    best, *others = selection
    following = f" (next: {others[0]['described']}, {others[0]['accuracy']:.1%})" if others else ""
    return f"{best['described']}, by held-out accuracy {best['accuracy']:.1%}{following}"


def _status_text(report: dict[str, Any]) -> str:
    status, message = report["status"], report["message"]
    return f"{status if status == message else f'{status}: {message}'}, {report['seconds']:.1f} s"


def _point_text(point: dict[str, Any] | None) -> str | None:
    if point is None:
        return None
    rates = ", ".join(f"{name} {point[name]:.2%}" for name in MEASURES)
    missed = "" if point["met"] else f", which is not {point['measure']} {point['wanted']:g} as wanted"
    return f"{rates} of {point['positive']} on {point['rows']} rows held out to move the output{missed}"


def _moved_by(point: OperatingPoint) -> str:
    return f"{point.shift:+.6g} was added to the bias of the output, which is below"


def _calibration_text(calibration: dict[str, Any] | None) -> str | None:
    if calibration is None:
        return None
    how = {
        "cross_fit": "by networks and regressions without them",
        "held_out": "which did not train the network, by regressions without them",
    }
    return (
        f"log-loss {calibration['log_loss']:.4f}, Brier score {calibration['brier']:.4f} on the {calibration['rows']} "
        f"rows they are calibrated on, {how[calibration['rule']]}"
    )


def calibration_report(calibration: Calibration) -> dict[str, Any]:
    """Return how probabilities were calibrated, without the numbers of the map."""
    return {name: getattr(calibration, name) for name in ("rule", "rows", "log_loss", "brier")}


def _grid_warning(loss: float) -> str:
    return f"{loss:g} of this are rows that differ, but not on the grid; a finer one (--input-bits) may tell them apart"


def bound_report(result: Result) -> dict[str, Any]:
    """Return the figures of a run that was made for its bound."""
    return {
        "rows": result.n_rows,
        "distinct_rows": result.n_distinct,
        "irreducible_loss": result.irreducible,
        "irreducible_of": result.irreducible_of,
        "bound": result.bound,
        "bound_of": result.bound_of,
        "best_loss_known": result.audit.loss,
        "best_errors_known": result.audit.n_wrong,
        "weighted": result.weighted,
        "class_weight": class_weights(result),
        "gap": result.gap,
        "status": str(result.status),
        "message": result.message,
        "seconds": result.timings["total"],
    }


def bound_text(report: dict[str, Any]) -> str:
    """Return a report on a bound as lines."""
    r, weighted, errors = report, "", ""
    if r["weighted"]:
        weighted, errors = "weighted ", f", {r['best_errors_known']} errors"
    lines = [
        ("rows", f"{r['rows']}, {r['distinct_rows']} after merging duplicates"),
        ("irreducible loss", f"{r['irreducible_loss']:g} for {r['irreducible_of']}"),
        ("class weights", ", ".join(f"{name} {w:g}" for name, w in (r["class_weight"] or {}).items()) or None),
        ("bound", f"no {weighted}loss is below {r['bound']:g} for {r['bound_of']}"),
        ("best loss known", f"{weighted}{r['best_loss_known']:g} (audited){errors}"),
        ("gap", f"{r['gap']:.2%}"),
        ("status", _status_text(r)),
    ]
    return "\n".join(f"{name:<18}{text}" for name, text in lines if text is not None)


def evaluation(model: Model, X: Floats, labels: Array) -> dict[str, Any]:
    """Return the figures of a model on labeled data; see `bdnn.reports.metrics.measures`.

    Raises
    ------
    UnknownLabelError
        If a label is not a class of the network.
    """
    network, shares = model.network, None
    if model.calibration is not None:
        shares = model.calibration.probabilities(pre_activations(network, X))
    truth = label_codes(network.classes, labels, len(X))
    return measures(network.classes, truth, network.predict_index(X), network.decision_function(X), shares)


def _labels(network: Network) -> str:
    return ", ".join(str(label) for label in network.classes)


def model_text(model: Model) -> str:
    """Return layers, weights and training result of a model as text."""
    network, result = model.network, model.result
    kind = "integer" if network.is_integer else "continuous"
    lines = [
        f"network   {network.n_features} inputs, layers of {' - '.join(map(str, network.widths))} neurons, "
        f"{network.head} head, {kind} weights",
        f"classes   {_labels(network)}",
        f"size      {network.n_parameters} weights and biases, {network.size_bytes} bytes",
    ]
    if result is not None:
        loss = "weighted loss" if result.weighted else "loss"
        lines += [
            f"result    {result.status}: {loss} {result.objective:g}, bound {result.bound:g}, gap {result.gap:.2%} "
            f"({result.method}, {result.timings.get('total', math.nan):.1f} s)",
            f"bound of  {result.bound_of}",
            f"trained   {result.n_rows} rows, {result.n_distinct} distinct, irreducible loss {result.irreducible:g} "
            f"for {result.irreducible_of}, {result.audit.n_wrong} wrong",
        ]
        if result.operating_point is not None:
            lines.append(f"operating point  {result.operating_point.described}; {_moved_by(result.operating_point)}")
    if model.calibration is not None:
        lines.append(f"probabilities  {_calibration_text(calibration_report(model.calibration))}")
    lines += ["", columns_text(described_columns(model.encoder_in_use, network))]
    names = list(network.feature_names or (f"x{j}" for j in range(network.n_features)))
    if network.grid is not None:
        lines += ["", f"inputs are rounded to {network.grid.bits}-bit integers: (x - offset) / step"]
        rows = zip(names, network.grid.offset, network.grid.step, strict=True)
        lines.append(grid([["input", "offset", "step"], *([name, f"{o:.6g}", f"{s:.6g}"] for name, o, s in rows)]))
    for k, (weights, bias) in enumerate(network.layers, start=1):
        output = k == len(network.widths)
        rule = "the largest sum wins" if output and len(bias) > 1 else "a neuron fires if its sum is >= 0"
        lines += ["", f"layer {k}{' (output)' if output else ''}, one neuron per column; {rule}"]
        inputs = names if k == 1 else [f"u{k - 1}.{j}" for j in range(weights.shape[1])]
        heads = (
            [str(c) for c in network.classes] if output and len(bias) > 1 else [f"u{k}.{j}" for j in range(len(bias))]
        )
        table = [[name, *(f"{w:.6g}" for w in column)] for name, column in zip(inputs, weights.T, strict=True)]
        lines.append(grid([["", *heads], *table, ["bias", *(f"{b:.6g}" for b in bias)]]))
    return "\n".join(lines)


def model_description(model: Model) -> dict[str, Any]:
    """Return a model as plain values."""
    network = model.network
    return {
        "n_features": network.n_features,
        "columns": _columns(model.encoder_in_use, network),
        "feature_names": network.feature_names,
        "head": network.head,
        "classes": network.classes.tolist(),
        "integer": network.is_integer,
        "n_parameters": network.n_parameters,
        "size_bytes": network.size_bytes,
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "layers": [{"weights": W.tolist(), "bias": b.tolist()} for W, b in network.layers],
        "settings": model.settings,
        "result": None if model.result is None else model.result.to_dict(),
    }
