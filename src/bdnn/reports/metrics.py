"""How well classes, scores and probabilities match the labels, as plain values: the metrics of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Array, Floats, Indices


def measures(
    classes: Array,
    truth: Indices,
    predicted: Indices,
    scores: Floats | None,
    probabilities: Floats | None = None,
    counts: Indices | None = None,
) -> dict[str, Any]:
    """Return the figures that describe predictions.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels.
    truth, predicted : ndarray of shape (m,)
        Indices into the classes.
    scores : ndarray of shape (m,) or (m, n_classes), or None
        Scores that are larger for the second of two classes; with more classes, one score per class. None if they are
        not known: then there is no area.
    probabilities : ndarray of shape (m, n_classes) or None
        Probabilities of the classes, if the model has them.
    counts : ndarray of shape (m,) or None
        How many equal rows each stands for; None for one.

    Returns
    -------
    dict
        ``rows``, ``accuracy``, ``classes`` and ``confusion`` (true class by predicted class). ``balanced_accuracy``:
        the mean recall of the classes that have rows. ``by_class``: for each class its ``precision`` (0 if nothing is
        predicted so), ``recall`` (0 without rows), ``f1`` and ``support``, its rows. ``roc_auc``: area under the ROC
        curve of the probabilities, or without them of the scores, as ``roc_auc_of`` says; for more than two classes the
        mean over the classes, each against the rest; None where no class has rows on both sides. With probabilities
        also ``log_loss``, and the ``brier`` score: the mean squared error of the probability of the second class, for
        more classes the sum of those of all classes.
    """
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    every, judged = np.arange(len(classes)), scores if probabilities is None else probabilities
    by_class = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0.0, sample_weight=counts)
    by_class = (*by_class[:3], by_class[3].astype(np.intp))
    recall, support = by_class[1], by_class[3]
    names = ("precision", "recall", "f1", "support")
    figures: dict[str, Any] = {
        "rows": len(truth) if counts is None else int(counts.sum()),
        "accuracy": float(np.average(truth == predicted, weights=counts)),
        "balanced_accuracy": float(np.mean(recall[support > 0])),
        "classes": classes.tolist(),
        "by_class": [
            dict(zip(names, values, strict=True))
            for values in zip(*(column.tolist() for column in by_class), strict=True)
        ],
        "confusion": confusion_matrix(truth, predicted, labels=every, sample_weight=counts).tolist(),
        "roc_auc": None if judged is None else _area(truth, judged, len(classes), counts),
        "roc_auc_of": "scores" if probabilities is None else "probabilities",
    }
    if probabilities is not None:
        squares = (probabilities - (truth[:, None] == every)) ** 2
        # with two classes, both have the same error, which counts once
        figures["log_loss"] = float(log_loss(truth, probabilities, labels=every, sample_weight=counts))
        figures["brier"] = float(np.average(squares.sum(axis=1), weights=counts) / (2 if len(classes) == 2 else 1))
    return figures


def _area(truth: Indices, scores: Floats, n_classes: int, counts: Indices | None) -> float | None:
    """Return the area under the ROC curve; with more than two classes, the mean of each one against the rest."""
    from sklearn.metrics import roc_auc_score

    if n_classes == 2:
        sides = [(truth == 1, scores if scores.ndim == 1 else scores[:, 1] - scores[:, 0])]
    else:
        sides = [(truth == code, scores[:, code]) for code in range(n_classes)]
    areas = [
        float(roc_auc_score(side, values, sample_weight=counts))
        for side, values in sides
        if side.any() and not side.all()
    ]
    return float(np.mean(areas)) if areas else None


def overall(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names and texts of the figures of all classes together, except for the accuracy."""
    named = [("balanced accuracy", f"{figures['balanced_accuracy']:.2%}")]
    if figures["roc_auc"] is not None:
        rest = ", mean of one class against the rest" if len(figures["classes"]) > 2 else ""
        named.append(("area under ROC", f"{figures['roc_auc']:.4f} ({figures['roc_auc_of']}{rest})"))
    words = {"log_loss": "log-loss", "brier": "Brier score"}
    return named + [(word, f"{figures[name]:.4f}") for name, word in words.items() if name in figures]


def measures_text(figures: dict[str, Any]) -> str:
    """Return figures as text."""
    names = [str(label) for label in figures["classes"]]
    head = [("rows", str(figures["rows"])), ("accuracy", f"{figures['accuracy']:.2%}"), *overall(figures)]
    cells = [
        [name, *(f"{values[key]:.2%}" for key in ("precision", "recall", "f1")), str(values["support"])]
        for name, values in zip(names, figures["by_class"], strict=True)
    ]
    rows = [[name, *map(str, row)] for name, row in zip(names, figures["confusion"], strict=True)]
    lines = [f"{name:<19}{text}" for name, text in head]
    lines += ["", grid([["class", "precision", "recall", "f1", "rows"], *cells])]
    lines += ["", "confusion matrix (rows: true class, columns: predicted class)", grid([["", *names], *rows])]
    return "\n".join(lines)


def grid(cells: list[list[str]]) -> str:
    """Return right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
