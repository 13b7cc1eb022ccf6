"""Score cards: a network without hidden layer and with small integer weights, as points to be added by hand.

The score of a row is the sum of its points. With two classes the second one is decided from a threshold on; with more,
every class has a score, and the highest one is decided, the first of equal ones. Whatever is printed decides exactly as
`Network.predict` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from bdnn.errors import InputError, RoundingError
from bdnn.labels import label_array, label_codes
from bdnn.model_file.contents import Model
from bdnn.network.network import Network
from bdnn.reports.risks import Calibrated, Risk, risks_of_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.network.grid import InputGrid
    from bdnn.types import Array, Floats, Indices

Unit = Literal["yes", "unit", "step"]

# seconds for making continuous weights integers, and the largest that still make a card
_SECONDS, _LARGEST = 10.0, 10_000
# integers up to here are doubles, and so are their sums
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one input.

    Attributes
    ----------
    name : str
        Of the input.
    points : int
        For what `unit` says.
    unit : {"yes", "unit", "step"}
        Given if the input is 1, for each unit of it, or for each step of the grid.
    offset, step : float
        Of the grid, in units of the feature; 0 and 1 without.
    last : int
        Last point of the grid.
    """

    name: str
    points: int
    unit: Unit
    offset: float = 0.0
    step: float = 1.0
    last: int = 0

    @property
    def given(self) -> str:
        """For what the points are given, in words."""
        if self.unit == "yes":
            return "if so"
        if self.unit == "unit":
            return "for each unit"
        return f"for each step of {self.step!r} above {self.offset!r}, rounded, from 0 to {self.last} steps"


@dataclass(frozen=True, slots=True)
class Scale:
    """The score of one class.

    Attributes
    ----------
    label : str
        The class that many points speak for.
    start : int
        Points that every row begins with.
    points : tuple of Points
        Of the inputs that have some.
    """

    label: str
    start: int
    points: tuple[Points, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """The score of one row.

    Attributes
    ----------
    lines : tuple of (str, str, str)
        Input, value, points.
    score : str
        Their sum.
    label : str
        What is decided.
    """

    lines: tuple[tuple[str, str, str], ...]
    score: str
    label: str


@dataclass(frozen=True, eq=False, slots=True)
class ScoreCard:
    """A card.

    Attributes
    ----------
    network : Network
        The network of integers that it is made of.
    scales : tuple of Scale
        One for two classes, else one per class.
    threshold : int or None
        Least score of the second of two classes; None for more classes.
    facts : tuple of (str, str)
        What is known of it: accuracy, loss, bound.
    risks : tuple of Risk
        By score; empty without data.
    risk_rule : str
        Where the risks come from.
    example : Example or None
        One row.
    """

    network: Network
    scales: tuple[Scale, ...]
    threshold: int | None
    facts: tuple[tuple[str, str], ...] = ()
    risks: tuple[Risk, ...] = ()
    risk_rule: str = ""
    example: Example | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(str(label) for label in self.network.classes.tolist())

    @property
    def rule(self) -> str:
        """How the score decides, in words."""
        if self.threshold is None:
            return (
                f"The class of the highest score is decided; of equal scores, the first of {', '.join(self.classes)}."
            )
        return f"A score of {self.threshold} or more means {self.classes[1]}, a lower one {self.classes[0]}."

    @property
    def intercept(self) -> int | None:
        """The bias of the two-class rule "intercept + score >= 0"."""
        return None if self.threshold is None else -self.threshold

    def scores(self, X: Floats) -> list[tuple[int | Fraction, ...]]:
        """Return the scores of rows of inputs, exactly, by adding up the points that the card gives."""
        columns = {name: j for j, name in enumerate(_names(self.network))}
        rows = np.asarray(X, dtype=np.float64)
        sums = []
        for scale in self.scales:
            used = np.array([_amounts(each, rows[:, columns[each.name]]) for each in scale.points])
            points = np.array([each.points for each in scale.points], dtype=np.float64)
            reach = abs(scale.start) + float(np.abs(points) @ np.abs(used).max(axis=1, initial=0.0)) if len(used) else 0
            if len(used) and (reach >= _EXACT or np.any(used != np.rint(used))):
                sums.append([_sum(scale, row) for row in used.T.tolist()])
            else:
                total = scale.start + (points @ used if len(used) else np.zeros(len(rows)))
                sums.append([int(value) for value in total.tolist()])
        return list(zip(*sums, strict=True))

    def decide(self, X: Floats) -> Array:
        """Return the label that the card decides for each row of inputs."""
        codes = []
        for row in self.scores(X):
            if self.threshold is None:
                codes.append(row.index(max(row)))
            else:
                codes.append(int(row[0] >= self.threshold))
        decided: Array = self.network.classes[np.array(codes, dtype=np.intp)]
        return decided


def _amounts(points: Points, values: Floats) -> Floats:
    """Return how often the points of an input are given for each of its values."""
    if points.unit != "step":
        return values
    # as the grid rounds: in double arithmetic
    with np.errstate(over="ignore"):
        return np.clip(np.rint((values - points.offset) / points.step), 0, points.last)


def _sum(scale: Scale, amounts: list[float]) -> int | Fraction:
    """Return the sum of the points of one row, exactly."""
    total = Fraction(scale.start)
    for each, amount in zip(scale.points, amounts, strict=True):
        total += each.points * Fraction(amount)
    return total if total.denominator > 1 else int(total)


def score_card(
    model: BDNNClassifier | Model | Network,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    training_rows: Indices | None = None,
) -> ScoreCard:
    """Return the card of a network.

    Parameters
    ----------
    model : BDNNClassifier, Model or Network
        Without hidden layer. Continuous weights are made integers that decide X in the same way.
    X : array-like of shape (m, n_inputs) or None
        Inputs of the network, for risks, accuracy and an example.
    y : array-like of shape (m,) or None
        Their labels.
    training_rows : ndarray of int or None
        The rows that risks are counted on; None for all.

    Returns
    -------
    ScoreCard
        It decides as the network does.

    Raises
    ------
    InputError
        If the network has hidden layers, or weights that are no small integers and cannot be made such.

    Examples
    --------
    >>> from bdnn import Network, score_card
    >>> net = Network([([[2, 1]], [-3])], head="threshold", classes=["no", "yes"], feature_names=["fever", "cough"])
    >>> card = score_card(net)
    >>> [(each.name, each.points) for each in card.scales[0].points], card.rule
    ([('fever', 2), ('cough', 1)], 'A score of 3 or more means yes, a lower one no.')
    """
    known = _as_model(model)
    inputs = None if X is None else known.network.check_inputs(X).astype(np.float64, copy=False)
    labels = None if y is None else label_array("y", y)
    if inputs is not None and labels is not None and len(inputs) != len(labels):
        raise InputError(f"y must have one label per row of X ({len(inputs)}), got {len(labels)}")
    network, note = _of_integers(known.network, inputs, training_rows)
    scales, threshold = _scales(network, bits_of(known.encoder_in_use))
    card = ScoreCard(network, scales, threshold, (*note, *_known(known)))
    if inputs is None or labels is None or not len(labels):
        return card
    return _with_data(card, inputs, labels, training_rows, getattr(known, "calibration", None))


def _with_data(
    card: ScoreCard, X: Floats, y: Array, training_rows: Indices | None, calibration: Calibrated | None
) -> ScoreCard:
    """Return the card with accuracies, an example and risks."""
    network, threshold = card.network, card.threshold
    rows = np.arange(len(X)) if training_rows is None else training_rows
    facts = [*card.facts, *_accuracies(network, X, y, training_rows)]
    card = replace(card, facts=tuple(facts), example=_example(card, X[rows[0]]))
    if threshold is None:
        return card
    scores = np.array([float(row[0]) for row in card.scores(X[rows])])
    codes = label_codes(network.classes, y[rows], len(rows))
    risks, rule = risks_of_scores(scores, codes, threshold, calibration)
    return replace(card, risks=risks, risk_rule=rule)


def _as_model(model: BDNNClassifier | Model | Network) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, Network):
        return Model(model)
    if not hasattr(model, "network_"):
        raise InputError(f"model must be a fitted BDNNClassifier, a Model or a Network, got {type(model).__name__}")
    return Model(model.network_, None, getattr(model, "result_", None), None, getattr(model, "encoder_", None))


_HIDDEN = (
    "a score card needs a network without hidden layer, and this one has hidden layers of {} neurons; train one with "
    "--hidden none (hidden_layer_sizes=())"
)


def _of_integers(network: Network, X: Floats | None, rows: Indices | None) -> tuple[Network, list[tuple[str, str]]]:
    """Return the network, or one of integers that decides X in the same way, with a note that says so."""
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
    return found, [("weights", f"made integers that decide the {len(given)} training rows as the continuous ones do")]


def bits_of(encoder: Encoder) -> set[int]:
    """Return the inputs that are 0 or 1 whatever the row."""
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
    """Return the points of an input, and what every row gets."""
    if grid is None:
        return Points(name, weight, "yes" if bit else "unit"), 0
    offset, step, last = float(grid.offset[j]), float(grid.step[j]), 2**grid.bits - 1
    if bit:
        off, on = (int(np.clip(np.rint((value - offset) / step), 0, last)) for value in (0.0, 1.0))
        return Points(name, weight * (on - off), "yes"), weight * off
    return Points(name, weight, "step", offset, step, last), 0


def _known(model: Model) -> list[tuple[str, str]]:
    """Return what the model file says of loss and bound."""
    result = model.result
    if result is None:
        return []
    facts = [
        ("training loss", f"{result.audit.loss:g} (audited), {result.audit.n_wrong} of {result.n_rows} rows wrong")
    ]
    proof = "proven optimal" if result.objective == result.bound else f"gap {result.gap:.2%}"
    said = f"no loss is below {result.bound:g} for {result.bound_of}; {proof}"
    return [*facts, ("bound", said)]


def _accuracies(network: Network, X: Floats, y: Array, rows: Indices | None) -> list[tuple[str, str]]:
    right = network.predict_index(X) == label_codes(network.classes, y, len(X))
    if rows is None:
        return [("accuracy", f"{right.mean():.2%} of {len(right)} rows")]
    facts = [("training accuracy", f"{right[rows].mean():.2%} of {len(rows)} rows")]
    others = np.delete(right, rows)
    return [*facts, ("held-out accuracy", f"{others.mean():.2%} of {len(others)} rows")] if len(others) else facts


def _example(card: ScoreCard, row: Floats) -> Example:
    """Return the sum of the points of one row; with several classes, of the class that is decided."""
    scores, label = card.scores(row[None, :])[0], card.decide(row[None, :]).tolist()[0]
    number = 0 if card.threshold is not None else scores.index(max(scores))
    scale, columns = card.scales[number], {name: j for j, name in enumerate(_names(card.network))}
    lines = [("start", "", f"{scale.start:+d}")] if scale.start else []
    for each in scale.points:
        value = row[columns[each.name]]
        got = each.points * Fraction(float(_amounts(each, np.array([value]))[0]))
        lines.append((each.name, f"{value:.10g}", _signed(int(got) if got.denominator == 1 else got)))
    return Example(tuple(lines), _plain(scores[number]), str(label))


def _signed(value: int | Fraction) -> str:
    return f"{value:+d}" if isinstance(value, int) else f"{float(value):+.10g}"


def _plain(value: int | Fraction) -> str:
    return str(value) if isinstance(value, int) else f"{float(value):.10g}"
