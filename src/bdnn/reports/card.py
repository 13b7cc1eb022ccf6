"""Score cards: a network with no hidden layer and with small integer weights, as points to be added by hand.

The score of a row is the sum of its points. With two classes, the decision is for the second one if the score reaches
a threshold; with more, every class has a score, and the decision is for the class of the highest score, the first of
them on a tie. A printed card decides exactly as `Network.predict` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.calibration import pre_activations
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError, RoundingError
from bdnn.labels import label_array, label_codes
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.network.network import Network
from bdnn.reports.card_cells import cell_text, cells_of
from bdnn.reports.card_points import Columns, Example, Points, Scale, ScoreCard, plain, signed
from bdnn.reports.card_text import Block, blocks
from bdnn.reports.risks import risks_of_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.calibration import Calibration
    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.network.grid import InputGrid
    from bdnn.types import Array, Floats, Indices, Reals

# seconds for turning continuous weights into integers, and the largest integers that still make a card
_SECONDS, _LARGEST = 10.0, 10_000
# a page has no score card if more inputs than this have points: nobody would add them up
_MOST_POINTS = 60
# least number of held-out rows on which risks are counted: fewer say less than the training rows, biased as those are
_FEW = 20


@dataclass(frozen=True, eq=False, slots=True)
class _Rows:
    """Labeled rows: inputs, the columns that these come from if the two differ, and which rows trained the model."""

    X: Floats
    y: Array
    table: RawTable | None
    training: Indices | None

    @property
    def others(self) -> Indices:
        """Rows known to be held out."""
        return np.arange(0) if self.training is None else np.delete(np.arange(len(self.X)), self.training)


def score_card(
    model: BDNNClassifier | Model | Network,
    X: ArrayLike | RawTable | None = None,
    y: ArrayLike | None = None,
    *,
    training_rows: Indices | None = None,
) -> ScoreCard:
    """Return the card of a network.

    Parameters
    ----------
    model : BDNNClassifier, Model or Network
        A model with no hidden layer. Continuous weights are turned into integers that decide X in the same way.
    X : array-like of shape (m, n), data frame, RawTable or None
        Rows as the model predicts them, for risks, accuracy and an example: columns if the classifier or model encodes
        columns, else inputs. An array with as many columns as the network has inputs holds inputs, unless the table has
        that number of columns, too.
    y : array-like of shape (m,) or None
        Their labels.
    training_rows : ndarray of int or None
        The rows that the model was trained on; risks are counted on the others. None if they are not known.

    Returns
    -------
    ScoreCard
        A card that decides as the network does.

    Raises
    ------
    InputError
        If the network has hidden layers, or weights that are not small integers and cannot be turned into such, or if
        X is not what the model predicts.

    Examples
    --------
    >>> from bdnn import Network, score_card
    >>> net = Network([([[2, 1]], [-3])], head="threshold", classes=["no", "yes"], feature_names=["fever", "cough"])
    >>> card = score_card(net)
    >>> [(each.name, each.points) for each in card.scales[0].points], card.rule
    ([('fever', 2), ('cough', 1)], 'A score of 3 or more means yes, a lower one no.')
    """
    known = _as_model(model)
    encoder = None if isinstance(model, Network) else known.encoder_in_use
    reader = ScoreCard(known.network, (), None, encoder=encoder, columns=_columns(model, encoder))
    inputs, table = (None, None) if X is None else reader.inputs(X)
    labels = None if y is None else label_array("y", y)
    if inputs is not None and labels is not None and len(inputs) != len(labels):
        raise InputError(f"y must have one label per row of X ({len(inputs)}), got {len(labels)}")
    return _made(reader, known, inputs, table, labels, training_rows)


def card_of_inputs(
    model: Model, inputs: Floats, table: RawTable | None, labels: Array | None, training_rows: Indices | None
) -> ScoreCard:
    """Return the card of a model; see `score_card`.

    Parameters
    ----------
    model : Model
        Without hidden layer.
    inputs : ndarray of shape (m, n_inputs)
        Inputs of the network.
    table : RawTable or None
        The columns that they come from, for the example.
    labels : ndarray of shape (m,) or None
        Of the rows.
    training_rows : ndarray of int or None
        Those that the model was trained on.

    Returns
    -------
    ScoreCard
    """
    encoder = model.encoder_in_use
    reader = ScoreCard(model.network, (), None, encoder=encoder, columns=_columns(model, encoder))
    return _made(reader, model, inputs, None if table is None else encoder.matched(table), labels, training_rows)


def reported_card(
    model: Model | EnsembleModel, X: Floats, columns: RawTable | None, y: Array | None, rows: Indices | None
) -> tuple[list[Block], ScoreCard | None]:
    """Return the parts of a card without what a page says elsewhere, and the card, if one shows the network as it is.

    Parameters
    ----------
    model : Model or EnsembleModel
        What predicts.
    X : ndarray of shape (m, n_inputs)
        Inputs of the network.
    columns : RawTable or None
        The columns that they come from, for the example.
    y : ndarray of shape (m,) or None
        Labels, for risks.
    rows : ndarray of int or None
        Those that the model was trained on.
    """
    if isinstance(model, EnsembleModel):
        return [], None
    network = model.network
    if len(network.layers) > 1 or np.count_nonzero(network.layers[0].weights) > _MOST_POINTS:
        return [], None
    if not network.is_integer:
        return [Block("", _CONTINUOUS)], None
    card = replace(card_of_inputs(model, X, columns, y, rows), facts=())
    return blocks(card), card


def _made(
    reader: ScoreCard,
    known: Model,
    inputs: Floats | None,
    table: RawTable | None,
    labels: Array | None,
    training_rows: Indices | None,
) -> ScoreCard:
    """Return the card that a blank one, which can read rows, is turned into."""
    network, note = _of_integers(known.network, inputs, training_rows)
    scales, threshold = _scales(network, bits_of(known.encoder_in_use))
    card = replace(reader, network=network, scales=scales, threshold=threshold, facts=(*note, *_known(known)))
    if reader.encoder is not None:
        card = replace(card, cells=tuple(cells_of(scale, reader.encoder) for scale in scales))
    calibration = known.calibration if network is known.network else None
    if threshold is None:
        card = _with_shares(card, known, calibration)
    if inputs is None or labels is None or not len(labels):
        return card
    return _with_data(card, _Rows(inputs, labels, table, training_rows), known, calibration)


def _columns(model: BDNNClassifier | Model | Network, encoder: Encoder | None) -> Columns | None:
    """Return the function that checks rows as the model predicts them."""
    if encoder is None:
        return None
    if not isinstance(model, Model | Network):
        columns: Columns = model._columns  # what `predict` begins with
        return columns

    def known_columns(X: Any) -> Reals | RawTable:
        if isinstance(X, RawTable):
            return X
        if encoder.is_identity:
            return model.network.check_inputs(X) if isinstance(model, Model) else model.check_inputs(X)
        raise InputError("a Model takes its columns from a RawTable: read the file with bdnn.load for frames and lists")

    return known_columns


def _with_data(card: ScoreCard, rows: _Rows, model: Model, calibration: Calibration | None) -> ScoreCard:
    """Return the card with accuracies, an example and risks."""
    network, threshold = card.network, card.threshold
    facts = [*card.facts, *_accuracies(network, rows)]
    result, training = model.result, rows.training
    if training is not None and result is not None and result.n_rows < len(training):
        told = f"{result.n_rows} of these {len(training)} trained the network; the others chose or calibrated it"
        facts.append(("training rows", told))
    if network is not model.network and len(rows.others):
        other = network.predict_index(rows.X[rows.others]) != model.network.predict_index(rows.X[rows.others])
        facts.append(
            ("held-out rows", f"{other.sum()} of {len(other)} are decided otherwise than by the continuous weights")
        )
    shown = 0 if training is None or not len(training) else int(training[0])
    card = replace(card, facts=tuple(facts), example=_example(card, rows, shown))
    if threshold is None:
        return card if calibration is None else _with_shares(card, model, calibration, rows.X[shown])
    counted, which, warning = _counted(rows)
    scores = np.array([float(row[0]) for row in card.scores_of_inputs(rows.X[counted])])
    codes = label_codes(network.classes, rows.y[counted], len(counted))
    risks, rule = risks_of_scores(scores, codes, threshold, calibration)
    if calibration is not None:
        rule = f"{rule}; rows are {which}"
    elif not warning and model.calibration is None:
        rule = f"counted on {which}; {rule}"
    else:
        rule = f"counted on {which}{warning}; {_why_not(model)}; {rule}"
    return replace(card, risks=risks, risk_rule=rule)


def _why_not(model: Model) -> str:
    """Return how probabilities are calibrated, or why the calibration of the model is not used."""
    if model.calibration is None:
        return "--probability (probability=...) calibrates"
    return "the calibration of the model is one of its continuous weights, and not used"


def _counted(rows: _Rows) -> tuple[Indices, str, str]:
    """Return the rows that risks are counted on, a description of them, and how shares of them mislead."""
    if rows.training is None:
        warning = ": optimistic near the threshold if the card was trained on them"
        return np.arange(len(rows.X)), f"the {len(rows.X)} rows given", warning
    if len(rows.others) >= _FEW:
        return rows.others, f"the {len(rows.others)} held-out rows", ""
    which = f"the {len(rows.training)} rows the card was trained on"
    return rows.training, which, ": optimistic near the threshold"


def _with_shares(
    card: ScoreCard, model: Model, calibration: Calibration | None, row: Floats | None = None
) -> ScoreCard:
    """Return a card of several classes that shows how probabilities follow from scores, with those of an example."""
    if calibration is None:
        return replace(card, risk_rule=f"there are none by score with more than two classes; {_why_not(model)}")
    found: Floats | None = None
    if row is not None:
        found = calibration.probabilities(pre_activations(card.network, row[None, :]))[0]
    shares = []
    for k, label in enumerate(card.classes):
        parts = [
            f"{weight:+.4g} × score of {name}"
            for weight, name in zip(calibration.weights[k], card.classes, strict=True)
            if weight
        ]
        logit = " ".join([f"{calibration.bias[k]:.4g}", *parts])
        shares.append((label, logit, "" if found is None else f"{found[k]:.1%}"))
    ends = ", ".join(
        f"{name} {low:.6g} to {high:.6g}"
        for name, low, high in zip(card.classes, calibration.low, calibration.high, strict=True)
    )
    rule = (
        "by the calibration of the model: the probability of a class is exp(its logit) divided by the sum of "
        f"exp(logit) of all classes; scores beyond those of the calibration count as its ends ({ends})"
    )
    return replace(card, shares=tuple(shares), risk_rule=rule)


def _as_model(model: BDNNClassifier | Model | Network) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, Network):
        return Model(model)
    if not hasattr(model, "network_"):
        raise InputError(f"model must be a fitted BDNNClassifier, a Model or a Network, got {type(model).__name__}")
    result, calibration = getattr(model, "result_", None), getattr(model, "calibration_", None)
    return Model(model.network_, None, result, None, getattr(model, "encoder_", None), calibration)


_CONTINUOUS = (
    "This network has no hidden layer, so its weights, made integers, are points to be added by hand: bdnn card MODEL "
    "--data TABLE, or bdnn.score_card(clf, X, y), prints them."
)

_HIDDEN = (
    "a score card needs a network without hidden layer, and this one has hidden layers of {} neurons; train one with "
    "--hidden none (hidden_layer_sizes=())"
)


def _of_integers(network: Network, X: Floats | None, rows: Indices | None) -> tuple[Network, list[tuple[str, str]]]:
    """Return the network, or one with integer weights that decides X in the same way, with a note that says so."""
    if len(network.layers) > 1:
        raise InputError(_HIDDEN.format(", ".join(map(str, network.widths[:-1]))))
    if network.is_integer:
        return network, []
    how = "train with --weights integer --weight-bound 5 (weights='integer', weight_bound=5)"
    if X is None:
        raise InputError(
            f"a score card needs integer weights, and this network has continuous ones: {how}, or give the training "
            f"table (--data), whose decisions integers are found for"
        )
    given = X if rows is None else X[rows]
    try:
        found = network.to_integer(given, time_limit=_SECONDS, keep_signs=True)
    except RoundingError as error:
        raise InputError(f"the continuous weights cannot be made small integers ({error}); {how}") from None
    largest = int(np.abs(found.layers[0].weights).max(initial=0))
    if largest > _LARGEST:
        raise InputError(f"integers with the same decisions are as large as {largest}, which is no card; {how}")
    which = f"{len(given)} rows given" if rows is None else f"{len(given)} training rows"
    note = f"made integers that decide the {which} as the continuous ones do; other rows may be decided otherwise"
    return found, [("weights", note)]


def bits_of(encoder: Encoder) -> set[int]:
    """Return the inputs that are 0 or 1 in every row."""
    bits: set[int] = set()
    first = 0
    for code in encoder.columns:
        if code.kind in ("categorical", "boolean") or code.thresholds:
            bits |= set(range(first, first + code.n_values))
        if code.used and code.missing_bit:
            bits.add(first + code.n_values)
        first += code.n_inputs
    return bits


def _names(network: Network) -> list[str]:
    return list(network.feature_names or (f"x{j}" for j in range(network.n_features)))


def _scales(network: Network, bits: set[int]) -> tuple[tuple[Scale, ...], int | None]:
    """Return the points of each output, and the threshold of two classes."""
    (W, b), grid = network.layers[0], network.grid
    labels = [str(label) for label in network.classes.tolist()]
    single = len(b) == 1
    scales = []
    for number, (weights, bias) in enumerate(zip(W.tolist(), b.tolist(), strict=True)):
        points, start = [], 0
        for j, (name, weight) in enumerate(zip(_names(network), weights, strict=True)):
            if weight:
                line, more = _points(name, int(weight), grid, j, j in bits)
                points.append(line)
                start += more
        scales.append(Scale(labels[1 if single else number], start + int(bias), tuple(points)))
    if not single:
        return tuple(scales), None
    return (replace(scales[0], start=0),), -scales[0].start


def _points(name: str, weight: int, grid: InputGrid | None, j: int, bit: bool) -> tuple[Points, int]:
    """Return the points of an input, and the points that every row gets."""
    if grid is None:
        return Points(name, weight, "yes" if bit else "unit", j), 0
    offset, step, last = float(grid.offset[j]), float(grid.step[j]), 2**grid.bits - 1
    if bit:
        off, on = (int(np.clip(np.rint((value - offset) / step), 0, last)) for value in (0.0, 1.0))
        return Points(name, weight * (on - off), "yes", j), weight * off
    return Points(name, weight, "step", j, offset, step, last), 0


def _known(model: Model) -> list[tuple[str, str]]:
    """Return what the model file says about loss and bound."""
    result = model.result
    if result is None:
        return []
    facts = [
        ("training loss", f"{result.audit.loss:g} (audited), {result.audit.n_wrong} of {result.n_rows} rows wrong")
    ]
    proof = "proven optimal" if result.objective == result.bound else f"gap {result.gap:.2%}"
    said = f"no loss is below {result.bound:g} for {result.bound_of}; {proof}"
    return [*facts, ("bound", said)]


def _accuracies(network: Network, rows: _Rows) -> list[tuple[str, str]]:
    right = network.predict_index(rows.X) == label_codes(network.classes, rows.y, len(rows.X))
    if rows.training is None:
        return [("accuracy", f"{right.mean():.2%} of {len(right)} rows")]
    parts = [("training accuracy", right[rows.training]), ("held-out accuracy", right[rows.others])]
    return [(name, f"{part.mean():.2%} of {len(part)} rows") for name, part in parts if len(part)]


def _example(card: ScoreCard, rows: _Rows, number: int) -> Example:
    """Return the sum of the points of one row; with several classes, the sum for the predicted class."""
    row = rows.X[number]
    (scores,) = card.scores_of_inputs(row[None, :])
    code = card.code(scores)
    scale = card.scales[0 if card.threshold is not None else code]
    lines, left_out = [("start", "", f"{scale.start:+d}")] if scale.start else [], 0
    for each in scale.points:
        value, got = float(row[each.index]), each.of(float(row[each.index]))
        if not got:
            left_out += 1
            continue
        cell = (
            None
            if rows.table is None or card.encoder is None
            else cell_text(card.encoder, rows.table, number, each.index)
        )
        lines.append((each.name, cell or f"{value:.10g}", signed(got)))
    total = plain(scores[0 if card.threshold is not None else code])
    return Example(tuple(lines), left_out, total, card.classes[code])
