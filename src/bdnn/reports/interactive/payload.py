"""What the interactive page is given, as plain values: a model, ranges of its columns, rows and what is known of them.

The script of the page, ``decide.js``, describes how it decides with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.encoding.kinds import counts_of
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.reports.card import bits_of

if TYPE_CHECKING:
    from bdnn.certification.result import Certification
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawColumn, RawTable
    from bdnn.network.network import Network
    from bdnn.types import Array, Floats, Indices

Plain = dict[str, Any]
Cell = float | str | None
"""A number, 0 or 1 for a truth value, the text of a level or of a date, or None where it is missing."""

_MOST_DECIMALS = 6  # that a slider steps by: measurements have no more
_STEPS = 200  # of a slider over values without a common step: about as fine as it is wide in pixels
_MOST_STEPS = 2**31  # of any slider: browsers take more, but nobody can aim at them


def model_plain(model: Model | EnsembleModel, encoder: Encoder, table: RawTable) -> Plain:
    """Return a model: its columns, networks, votes and labels.

    Parameters
    ----------
    model : Model or EnsembleModel
        What predicts.
    encoder : Encoder
        Of its columns; those without a replacement cannot be missing.
    table : RawTable
        Rows from which ranges are taken, matched to the encoder.
    """
    if isinstance(model, EnsembleModel):
        voting: str | None = voting_of(model)
        members = [_network(m.network, m.features, m.network.classes.tolist()) for m in model.members]
    else:
        network = model.network
        voting, members = None, [_network(network, np.arange(network.n_features), list(range(len(network.classes))))]
    seen = {i for member in members for i in member["features"]}
    bits = bits_of(encoder)
    columns = [
        _column(code, column) | {"seen": any(i in seen for i in range(place.start, place.stop))}
        for code, column, place in zip(encoder.columns, table.columns, encoder.input_slices(), strict=True)
    ]
    return {
        "columns": columns,
        "inputs": [{"name": name, "bit": i in bits} for i, name in enumerate(encoder.input_names)],
        "members": members,
        "voting": voting,
        "classes": [str(label) for label in model.classes.tolist()],
    }


def voting_of(model: EnsembleModel) -> str:
    """Return the rule by which an ensemble votes."""
    return str(model.settings.get("voting", "sum"))


def _network(network: Network, features: Indices, codes: list[int]) -> Plain:
    """Return a network without the inputs that it does not use; `features` are places among those of the encoder."""
    used = np.any(network.layers[0].weights != 0, axis=0)
    layers = [(weights[:, used] if k == 0 else weights, bias) for k, (weights, bias) in enumerate(network.layers)]
    grid = network.grid
    return {
        "features": np.asarray(features)[used].tolist(),
        "grid": grid and {"offset": grid.offset[used].tolist(), "step": grid.step[used].tolist(), "bits": grid.bits},
        "layers": [
            {"weights": weights.tolist(), "bias": bias.tolist(), "integer": network.is_integer}
            for weights, bias in layers
        ],
        "codes": codes,
    }


def _column(code: ColumnCode, column: RawColumn) -> Plain:
    fill: Cell = code.fill
    if code.kind == "date" and isinstance(fill, str):
        fill = _date_text(np.datetime64(fill, "us"))
    plain: Plain = {
        "name": code.name,
        "kind": code.kind,
        "fill": fill,
        "levels": list(code.levels),
        "rare": list(code.rare),
        "thresholds": list(code.thresholds),
        "missing_bit": code.missing_bit,
        "used": code.used,
        "n_values": code.n_values,
        "n_inputs": code.n_inputs,
        "usual": _usual(column),
    }
    if code.kind == "numeric":
        plain["ruler"] = ruler(column.values[~column.missing], code.thresholds)
    return plain


def _usual(column: RawColumn) -> Cell:
    """Return the middle one of the known values, or the most frequent one; None if there is none."""
    known = column.values[~column.missing]
    if not len(known):
        return None
    if column.kind == "categorical":
        return column.levels[int(np.argmax(counts_of(column)))]
    middle = np.sort(known)[(len(known) - 1) // 2]
    return _date_text(middle) if column.kind == "date" else float(middle)


def ruler(values: Floats, thresholds: Sequence[float] = ()) -> Plain:
    """Return what a slider steps through: integers from `low` to `high`, in units of ten to the power `exponent`.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Known values of a column.
    thresholds : sequence of float
        Values that the network compares it with, for a column without known values.

    Returns
    -------
    dict
        The unit is the largest power of ten, at most 1, of which all values are multiples; of values that are on no
        such scale, about a two-hundredth of their range.

    Examples
    --------
    >>> ruler(np.array([0.5, 1.25])), ruler(np.array([20.0, 90.0]))
    ({'low': 50, 'high': 125, 'exponent': -2}, {'low': 20, 'high': 90, 'exponent': 0})
    """
    known = np.asarray(values if len(values) else thresholds if len(thresholds) else (0.0, 1.0), dtype=np.float64)
    low, high = float(known.min()), float(known.max())
    for k in range(_MOST_DECIMALS + 1):
        if _on_scale(known, 10.0**k) and (high - low) * 10.0**k <= _MOST_STEPS:
            first, last = (int(np.rint(end * 10.0**k)) for end in (low, high))
            return {"low": first, "high": last, "exponent": -k}
    width = (high / _STEPS - low / _STEPS) or abs(high) or 1.0
    exponent = math.floor(math.log10(width))
    unit = Fraction(10) ** exponent
    return {"low": math.floor(Fraction(low) / unit), "high": math.ceil(Fraction(high) / unit), "exponent": exponent}


def _on_scale(values: Floats, scale: float) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(np.rint(values * scale) / scale, values))


def cells_of_rows(table: RawTable, rows: Indices) -> list[list[Cell]]:
    """Return the cells of some rows of a table, row by row."""
    return [list(row) for row in zip(*(_cells(column, rows) for column in table.columns), strict=True)]


def _cells(column: RawColumn, rows: Indices) -> list[Cell]:
    values, gone = column.values[rows], column.missing[rows].tolist()
    each: list[Cell] = values.tolist()
    if column.kind == "categorical":
        # a column that a model leaves out is read without levels
        each = [column.levels[code] if code >= 0 else "" for code in values.tolist()]
    elif column.kind == "date":
        each = [_date_text(value) for value in values]
    return [None if gap else value for value, gap in zip(each, gone, strict=True)]


def _date_text(value: Any) -> str:
    return str(np.datetime_as_string(np.datetime64(value, "us"), unit="s")) if not np.isnat(value) else ""


def certified_plain(found: Certification, rows: Indices, codes: Indices) -> list[Plain]:
    """Return what is known of the robustness of rows, one by one.

    Parameters
    ----------
    found : Certification
        Of these rows, with respect to their predictions.
    rows : ndarray of shape (m,)
        Where they are in the columns of `found`.
    codes : ndarray of shape (m,)
        Classes that the model gives the attacks.
    """
    attacks = None if found.columns is None else cells_of_rows(found.columns, rows)
    return [
        {
            "radius": _finite(float(found.radius[i])),
            "attained": bool(found.attained[i]),
            "undecided": bool(found.undecided[i]),
            "distance": _finite(float(found.distance[i])),
            "attack": _attack(found, attacks, i),
            "code": int(codes[i]) if math.isfinite(found.distance[i]) else None,
        }
        for i in range(len(rows))
    ]


def _attack(found: Certification, attacks: list[list[Cell]] | None, i: int) -> list[Cell] | None:
    if not math.isfinite(found.distance[i]):
        return None
    return attacks[i] if attacks is not None else found.attack[i].tolist()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def labels_plain(labels: Array | None, rows: Indices) -> list[str | None]:
    """Return the labels of rows as text."""
    return [None] * len(rows) if labels is None else [str(label) for label in labels[rows].tolist()]
