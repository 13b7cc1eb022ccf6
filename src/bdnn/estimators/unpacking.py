"""Fitted classifiers from packed bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.errors import InputError, PackedError
from bdnn.estimators.classifier import from_model
from bdnn.estimators.ensemble import ensemble_of
from bdnn.model_file.contents import Model
from bdnn.model_file.packed import unpack

if TYPE_CHECKING:
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.estimators.ensemble import BDNNEnsembleClassifier
    from bdnn.network.schema import Schema


def from_bytes(data: bytes, schema: Schema) -> BDNNClassifier | BDNNEnsembleClassifier:
    """Return the fitted classifier of packed bytes.

    Parameters
    ----------
    data : bytes
        What `to_bytes` of a classifier returned.
    schema : Schema
        The one that they were made with: columns and labels, which are not part of the bytes.

    Returns
    -------
    BDNNClassifier or BDNNEnsembleClassifier
        It takes the same columns and predicts the same; of the training it knows nothing.

    Raises
    ------
    PackedError
        (a ValueError) If the bytes hold no model of this schema.

    Examples
    --------
    >>> import bdnn
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["none", "some", "some", "some"]
    >>> clf = bdnn.BDNNClassifier((), weights="integer").fit(X, y)
    >>> schema = clf.schema(X)
    >>> data = clf.to_bytes(schema)
    >>> len(data), bdnn.from_bytes(data, schema).predict([[0, 0], [1, 1]]).tolist()
    (2, ['none', 'some'])
    """
    model = unpack(data, schema)
    if isinstance(model, Model):
        return from_model(model)
    try:
        return ensemble_of(model)
    except InputError as error:
        raise PackedError(f"these bytes are no model of this schema: {error}") from None
