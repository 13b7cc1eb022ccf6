"""What an interactive page is about: a model, rows of a table, and its decisions about them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from bdnn.encoding import kinds
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.labels import label_array, label_codes
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.model_file.reading import load_model
from bdnn.network.network import Network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.encoding.encoder import Encoder
    from bdnn.estimators.devices import Exportable
    from bdnn.types import Array, Floats, Indices

Predict = Callable[[RawTable], "Indices"]
"""Returns the indices of the classes of the rows of a table."""


@dataclass(frozen=True, eq=False, slots=True)
class Subject:
    """A model, the rows of a table, and its decisions about them.

    Attributes
    ----------
    model : Model or EnsembleModel
        What predicts.
    table : RawTable
        Rows, matched to its encoder.
    predict : callable
        Decides rows.
    codes : ndarray of shape (m,)
        What it decides of these rows.
    labels : ndarray of shape (m,) or None
        Of the rows.
    """

    model: Model | EnsembleModel
    table: RawTable
    predict: Predict
    codes: Indices
    labels: Array | None

    @property
    def encoder(self) -> Encoder:
        """How columns become inputs."""
        return self.model.encoder_in_use

    @property
    def inputs(self) -> Floats:
        """Inputs of the rows."""
        return self.encoder.transform(self.table)

    def accuracies(self, trained: Indices | None) -> list[tuple[float, int, str]]:
        """Return accuracy, number and name of training rows and others, or of all if it is not known which they are."""
        if self.labels is None:
            return []
        right = self.codes == label_codes(self.model.classes, self.labels, len(self.table))
        parts = [("rows", right)]
        if trained is not None:
            parts = [("training rows", right[trained]), ("held-out rows", np.delete(right, trained))]
        return [(float(part.mean()), len(part), name) for name, part in parts if len(part)]


def subject_of(
    model: Exportable | Model | Network | str | os.PathLike[str], X: ArrayLike | RawTable, y: ArrayLike | None
) -> Subject:
    """Return what a page is about, checked.

    Parameters
    ----------
    model : classifier, Model, Network or path-like
        Fitted, or the file of a single network.
    X : array-like, data frame or RawTable
        Rows as the model predicts them.
    y : array-like of shape (m,) or None
        Their labels.

    Raises
    ------
    InputError
        If they do not fit one another.
    """
    contents: Model | EnsembleModel
    predict: Predict
    if hasattr(model, "_contents"):
        fitted = cast("Exportable", model)
        contents, given, predict = fitted._contents(), fitted._raw(X), fitted._indices
        assert given is not None
        table = given
    else:
        if not isinstance(model, Model | Network | str | os.PathLike):
            raise InputError(
                f"model must be a fitted classifier, a Network or the path of a model file, got {type(model).__name__}"
            )
        if isinstance(model, Network):
            model = Model(model)
        contents = model if isinstance(model, Model) else load_model(model)
        table = X if isinstance(X, RawTable) else _table_of_numbers(contents.encoder_in_use, X)
        predict = _predictor(contents)
    if not len(table):
        raise InputError("there is nothing to show; X has no rows")
    labels = None if y is None else label_array("y", y)
    if labels is not None:
        if len(labels) != len(table):
            raise InputError(f"y must have one label per row of X ({len(table)}), got {len(labels)}")
        label_codes(contents.classes, labels, len(table))
    table = contents.encoder_in_use.matched(table)
    return Subject(contents, table, predict, predict(table), labels)


def _predictor(model: Model) -> Predict:
    network, encoder = model.network, model.encoder_in_use

    def predict(given: RawTable) -> Indices:
        return network.predict_index(encoder.transform(given))

    return predict


def _table_of_numbers(encoder: Encoder, X: ArrayLike) -> RawTable:
    values = np.asarray(X)
    if values.ndim != 2 or values.shape[1] != len(encoder.columns) or values.dtype.kind not in "iufb":
        raise InputError(
            f"X must be numbers of shape (m, {len(encoder.columns)}) or a RawTable, got {values.dtype} of shape "
            f"{values.shape}; a classifier, such as bdnn.load returns, takes data frames"
        )
    return RawTable(tuple(kinds.numeric(name, values[:, j]) for j, name in enumerate(encoder.names)))


def row_indices(rows: ArrayLike, count: int) -> Indices:
    """Return different indices of rows, in order, or raise InputError."""
    found = np.asarray(rows)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (len(found) and not 0 <= found.min() <= found.max() < count):
        raise InputError(f"training_rows must be indices of rows, from 0 to {count - 1}")
    return np.unique(found).astype(np.intp)


def drawn_rows(count: int, trained: Indices | None, points: int, seed: int) -> Indices:
    """Return so many rows, drawn at random: some of those that the network was not trained on, if there are any."""
    rows = np.arange(count) if trained is None else np.setdiff1d(np.arange(count), trained)
    rows = rows if len(rows) else np.arange(count)
    if len(rows) > points:
        rows = np.sort(np.random.default_rng(seed).choice(rows, points, replace=False))
    return rows
