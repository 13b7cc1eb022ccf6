"""The words and figures of a report, as they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.certification.attacker import Features, feature_mask, integer_mask
from bdnn.plotting.structure import heaviest_features

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model
    from bdnn.network.network import Network
    from bdnn.reports.contents import Part, Proof, Robustness, Source
    from bdnn.result import Result
    from bdnn.types import Array, Floats

Facts = list[tuple[str, str | None]]
"""Names and texts; those that are None are left out."""


def number(value: float) -> str:
    """Return a number in full if it is whole, else to six digits."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "unknown"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def percent(part: float) -> str:
    """Return a fraction as a percentage."""
    return f"{part:.2%}" if math.isfinite(part) else "∞"


def layers(network: Network) -> str:
    """Return the numbers of neurons of all layers as text."""
    *hidden, outputs = network.widths
    names = f"hidden layer{'s' if len(hidden) > 1 else ''} of {' – '.join(map(str, hidden))} neurons" if hidden else ""
    return f"{names or 'no hidden layer'}, {outputs} output{'s' if outputs > 1 else ''}"


def tiles(
    card: Model, parts: list[Part], proof: Proof | None, robustness: Robustness | None
) -> list[tuple[str, str, str]]:
    """Return name, value and note of the figures at the top."""
    part, result = parts[-1], card.result
    count = len(part.rows)
    measured = f"of all {count} rows" if part.name == "all rows" else f"of {count} {part.name}"
    tiles = [("accuracy", percent(part.accuracy), measured)]
    if result is not None:
        closed = "proven optimal" if result.status == "optimal" else f"{result.status}: not proven optimal"
        tiles += [
            (f"{_weighted(result)}training loss", number(result.audit.loss), f"audited, {result.n_rows} rows"),
            ("bound", number(result.bound), "no network of the class is below"),
            ("gap", percent(result.gap), closed),
        ]
    tiles.append(("size", f"{card.network.size_bytes} bytes", f"{card.network.n_parameters} weights and biases"))
    tiles.append(("certificate", "none" if proof is None else "verified", "optimal" if proof and proof.optimal else ""))
    if robustness is not None:
        lines = robustness.table
        radius, certified, _, undecided = next((line for line in lines if line[0] > 0), lines[0])
        note = f"of {len(robustness.found.robust)} rows at radius {number(radius)}; {undecided} undecided"
        tiles.append(("certified accuracy", f"≥ {percent(certified)}", note))
    return tiles


def data_facts(parts: list[Part], network: Network, source: Source | None) -> Facts:
    """Say which data the measurements were made on."""
    total = sum(len(part.rows) for part in parts)
    split = ", ".join(f"{len(part.rows)} {part.name}" for part in parts)
    if parts[0].name == "all rows":
        split = "whether the network was trained on some of them is not known"
    missing = None
    if source is not None:
        count = sum(count for count, _ in source.missing.values())
        missing = f"{count}, replaced by the medians that the model keeps" if count else "none"
    return [
        ("table", None if source is None else source.name),
        ("rows", f"{total}: {split}"),
        ("columns", f"{network.n_features} features" + ("" if source is None else f", target {source.target!r}")),
        ("columns left out", ", ".join(source.dropped) if source is not None and source.dropped else None),
        ("classes", str(len(network.classes))),
        ("missing values", missing),
    ]


def class_rows(network: Network, labels: Array, parts: list[Part]) -> list[tuple[Any, list[int]]]:
    """Return every class and its number of rows in each part."""
    return [(label, [int(np.sum(labels[part.rows] == label)) for part in parts]) for label in network.classes.tolist()]


def network_facts(network: Network) -> Facts:
    """Say what the network is."""
    grid, hidden = network.grid, len(network.widths) > 1
    heads = {"threshold": "threshold: outputs fire", "argmax": "argmax: the largest output wins"}
    return [
        ("inputs", f"{network.n_features}" + ("" if grid is None else f", on a grid of {grid.bits} bits each")),
        ("layers", layers(network) + ("; hidden neurons fire 1 if their sum is at least 0, else 0" if hidden else "")),
        ("head", heads[network.head]),
        ("weights", "integer" if network.is_integer else "continuous, doubles"),
        ("weights and biases", str(network.n_parameters)),
        ("size", f"{network.size_bytes} bytes"),
    ]


def _weighted(result: Result) -> str:
    return "weighted " if result.weighted else ""


def training_facts(card: Model, result: Result) -> Facts:
    """Say how the training ended."""
    seconds, validation = result.timings.get("total", math.nan), result.validation_accuracy
    regularized, settings = result.objective != result.audit.loss, card.settings or {}
    radius = np.max(settings.get("robust_radius", 0.0))
    robust = f"up to {number(float(radius))}, norm {settings.get('robust_norm')}, around every row" if radius else None
    seed, by_class = settings.get("random_state"), ", weighted by class" if result.class_weight else ""
    return [
        ("method", result.method.replace("_", " ") + (f", solver {result.solver}" if result.solver else "")),
        ("status", str(result.status) + (f": {result.message}" if result.message != result.status else "")),
        (f"{_weighted(result)}loss", f"{number(result.audit.loss)}, audited: recomputed with exact arithmetic"),
        ("class weights", None if result.class_weight is None else ", ".join(
            f"{label} {number(w)}"
            for label, w in zip(card.network.classes.tolist(), result.class_weight, strict=True))),
        ("perturbations", robust),
        ("wrong rows", f"{result.audit.n_wrong} of {result.n_rows}"),
        ("regularizer", number(result.penalty) if result.penalty else None),
        ("objective", number(result.objective) if regularized else None),
        ("bound", number(result.bound)),
        ("bound of", result.bound_of),
        ("gap", percent(result.gap)),
        ("irreducible loss", f"{number(result.irreducible)}: equal rows with different labels"),
        ("irreducible for", result.irreducible_of),
        ("lost by rounding", f"{number(result.grid_loss)} of that: rows that differ, but not on the grid"
                             if result.grid_loss else None),
        ("validation accuracy", f"{percent(validation)}{by_class}, by which the network was chosen"
                                if validation is not None else None),
        ("operating point", None if result.operating_point is None else result.operating_point.described),
        ("audit", f"{result.audit.n_mismatched} solutions of the solver had a larger loss than it reported"
                  if result.audit.n_mismatched else None),
        ("time", f"{number(round(seconds, 1))} s, {result.nodes} nodes" if math.isfinite(seconds) else None),
        ("seed", None if seed is None else str(seed)),
    ]  # fmt: skip


def proof_facts(proof: Proof) -> Facts:
    """Say what a certificate proves about the network."""
    verified = proof.verified
    lemmas = f"{verified.n_lemmas} lemmas, " if verified.n_lemmas else ""
    own = "is therefore optimal" if proof.optimal else f"is at most {number(float(proof.loss - verified.bound))} above"
    return [
        ("file", proof.name),
        ("bound", str(verified.bound)),
        ("loss of this network", f"{proof.loss} on the same rows; it {own}"),
        ("checked", f"{verified.n_trees} trees, {verified.n_leaves} leaves, {lemmas}{verified.n_cuts} cuts, "
                    f"without a solver, in {verified.seconds:.1f} s"),
    ]  # fmt: skip


def robustness_text(robustness: Robustness) -> list[str]:
    """Say which rows were certified, against what, and what was left open."""
    found, part, m = robustness.found, robustness.drawn_from, len(robustness.found.robust)
    drawn = f"all {m}" if m == len(part.rows) else f"{m} drawn at random (seed {robustness.seed}) from {len(part.rows)}"
    undecided = int(found.undecided.sum())
    stopped = "It was stopped by Ctrl-C. " if found.interrupted else ""
    return [
        f"The smallest perturbation that changes the prediction was computed for {drawn} {part.name}, in norm "
        f"{found.norm} and {_units(robustness.attacker)}, within {robustness.time_limit:g} s for all (used: "
        f"{found.seconds.sum():.1f} s).",
        *_limits(robustness.attacker, robustness.features),
        *(["Other columns than numbers, and cells without a value, stay as they are."] * (found.columns is not None)),
        f"{stopped}{undecided} of {m} rows are undecided: their smallest perturbation is not known exactly. In the "
        f"table, rows that are neither proven nor attacked at a radius are counted separately; they are not certified, "
        f"and count only in 'at most'.",
    ]


def _units(attacker: Mapping[str, Any]) -> str:
    scale = attacker.get("scale")
    given = "" if scale is None or np.all(np.equal(scale, 1.0)) else "given "
    return f"the {given}units of the features"


def _limits(attacker: Mapping[str, Any], network: Features) -> list[str]:
    """Say what perturbations cannot do, if they cannot do everything."""
    names = network.feature_names or tuple(f"x{j}" for j in range(network.n_features))
    parts = []
    for key, text in (("lower", "stay at {} or above"), ("upper", "stay at {} or below")):
        if (value := attacker.get(key)) is not None:
            ends = np.broadcast_to(np.asarray(value, dtype=np.float64), network.n_features)
            parts.append(text.format(number(float(ends[0])) if np.all(ends == ends[0]) else "a given value each"))
    frozen, integer = feature_mask(network, "frozen", attacker.get("frozen")), attacker.get("integer")
    masks = ((frozen, "{} cannot change"), (integer_mask(network, integer), "{} are integers and stay so"))
    for chosen, text in masks:
        if chosen.any():
            some = [name for name, is_one in zip(names, chosen.tolist(), strict=True) if is_one]
            parts.append(text.format("all" if len(some) == len(names) else ", ".join(some)))
    return [f"Features under attack: {'; '.join(parts)}."] if parts else []


def regions_text(network: Network, X: Floats) -> str:
    """Describe the picture of the decision regions."""
    names = network.feature_names or [f"x{j}" for j in range(network.n_features)]
    chosen = [names[j] for j in heaviest_features(network, X.std(axis=0))[:2]]
    return (
        f"Predictions over the two features of largest weight, {' and '.join(chosen)}, with the others at their "
        f"medians. The points are all rows; those that are predicted wrong are ringed."
    )
