"""The predictions of a fitted classifier with one network."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from bdnn.calibration import pre_activations
from bdnn.certification.columns import certify_columns
from bdnn.certification.engine import certify
from bdnn.encoding.raw import RawTable
from bdnn.estimators.inputs import warn_unseen
from bdnn.estimators.probabilities import ProbabilisticClassifier
from bdnn.estimators.row_sources import is_rows, predicted, scored
from bdnn.model_file.contents import Model, TableInfo
from bdnn.model_file.writing import save_model

if TYPE_CHECKING:
    from bdnn.certification.result import Certification
    from bdnn.files import FilePath
    from bdnn.network.network import Network
    from bdnn.types import Array, Floats, Reals


class FittedNetwork(ProbabilisticClassifier):
    """A classifier whose `network_` alone predicts."""

    network_: Network

    def _contents(self, table: TableInfo | None = None) -> Model:
        raise NotImplementedError

    @property
    def calibration_outputs(self) -> int:
        """How many of the calibration values are outputs."""
        return self.network_.widths[-1]

    def calibration_values(self, inputs: Reals) -> Floats:
        """Return the pre-activations of all neurons, for checked inputs."""
        return pre_activations(self.network_, inputs)

    def predict(self, X: ArrayLike | RawTable) -> Array:
        """Return the predicted label of each row of X, shape (n_samples,); of a data set part by part."""
        if is_rows(X):
            check_is_fitted(self)
            return predicted(self.network_, self.encoder_, X)
        inputs = self._inputs(X)
        labels: Array = self.network_.predict(inputs)
        return labels

    def score(self, X: ArrayLike | RawTable, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the fraction of the rows of X whose predicted label is correct.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or data set
            Inputs.
        y : array-like of shape (n_samples,), or str
            Labels; of a data set the name of their column.
        sample_weight : array-like of shape (n_samples,), str or None
            Weights of the samples; of a data set the name of their column.

        Returns
        -------
        float
            Accuracy.
        """
        if is_rows(X):
            check_is_fitted(self)
            return scored(self.network_, self.encoder_, X, y, sample_weight)
        return super().score(X, y, sample_weight)

    def decision_function(self, X: ArrayLike | RawTable) -> Floats:
        """Return the pre-activations of the outputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Two classes: one value, > 0 for the second class (with an argmax head the difference of the two outputs). A
            pre-activation of exactly 0 fires; it is returned as the smallest positive normal double. More classes: one
            per class.
        """
        inputs = self._inputs(X)
        values: Floats = self.network_.decision_function(inputs)
        if values.ndim == 2 and values.shape[1] > 2:
            return values
        if values.ndim == 2:
            values = values[:, 1] - values[:, 0]
        second = self.network_.predict_index(inputs) == 1
        return np.where(second, np.maximum(values, np.finfo(np.float64).tiny), np.minimum(values, 0.0))

    def certify(
        self, X: ArrayLike | RawTable, y: ArrayLike | None = None, *, level_changes: int = 0, **settings: Any
    ) -> Certification:
        """Decide exactly whether perturbations of columns change the predictions; see `bdnn.certify`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or data frame
            Columns.
        y : array-like of shape (n_samples,) or None
            Labels: points that are predicted incorrectly are not robust. None: the predictions must not change.
        level_changes : int
            Most categorical and boolean columns of a row whose level changes as well. Dates and missing cells stay.
        **settings : Any
            The other keywords of `bdnn.certify`, which are about columns: radius, norm, scale, bounds, limits and more.

        Returns
        -------
        Certification
            Verdicts by input.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If the data or a setting cannot be used.
        """
        columns = self._columns(X)
        if isinstance(columns, RawTable):
            warn_unseen(self.encoder_.unseen(columns))
            return certify_columns(self.network_, self.encoder_, columns, y, level_changes=level_changes, **settings)
        return certify(self.network_, columns, y, **settings)

    def save(self, path: FilePath | IO[bytes], table: TableInfo | None = None) -> None:
        """Write the network to a JSON model file, which `bdnn.load` reads as a `BDNNClassifier`.

        Parameters
        ----------
        path : path-like or binary file
            Where to write.
        table : TableInfo or None
            How the training table was read, if it came from a file.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If a label or a setting cannot be stored, or the file would be too large.
        OutputError
            (an OSError) If the file cannot be written.
        """
        check_is_fitted(self)
        save_model(path, self._contents(table))
