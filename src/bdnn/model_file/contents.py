"""What model files hold, and how large they may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bdnn.encoding.encoder import Encoder
from bdnn.splitting import SPLIT_VERSION

if TYPE_CHECKING:
    from bdnn.calibration import Calibration
    from bdnn.network.network import Network
    from bdnn.network.schema import Schema
    from bdnn.result import Result
    from bdnn.types import Array, Indices

FORMAT, ENSEMBLE_FORMAT = "bdnn-model", "bdnn-ensemble"

VERSION = 2
"""The version counts what earlier readers do not understand: 2 if inputs are not columns, or with a calibration."""

MAX_BYTES = 64 * 2**20  # of a file; bounds the memory that parsing takes
MAX_BRACKETS = 500_000  # brackets that open lists and objects, which take far more memory than two characters in a file


@dataclass(frozen=True, slots=True)
class TableInfo:
    """How the table that a model was trained on was read.

    Attributes
    ----------
    target : str
        Name of the target column.
    missing : str
        Rule for missing values: "median" or "error".
    fill : tuple of float or None
        Replacement of a missing value in each feature, in units of the feature; None if no value was allowed to be
        missing and, in older files, also if no value was missing in the training.
    drop : tuple of str
        Columns left out.
    test_fraction : float or None
        Fraction of the rows held out for testing; None if that is not known.
    seed : int or None
        Seed of that split.
    split : int
        Rule of that split; see `bdnn.splitting`.
    missing_labels : str
        Rule for rows without a label: "error" or "drop".
    id : tuple of str
        Columns that name rows, which are carried into predictions.
    weight : str or None
        Column of the weights of rows.
    na : tuple of str or None
        Texts that stood for missing values, if they were given.
    dates : dict of str to str
        Formats of columns of dates; empty for dates such as 2026-01-31 12:00:00.
    n_columns : int or None
        How many columns the table had, if it did not name them.
    """

    target: str
    missing: str
    fill: tuple[float, ...] | None
    drop: tuple[str, ...] = ()
    test_fraction: float | None = None
    seed: int | None = None
    split: int = SPLIT_VERSION
    missing_labels: str = "error"
    id: tuple[str, ...] = ()
    weight: str | None = None
    na: tuple[str, ...] | None = None
    dates: Mapping[str, str] = field(default_factory=dict)
    n_columns: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """Contents of a model file.

    Attributes
    ----------
    network : Network
        What predicts.
    settings : dict or None
        Parameters of the estimator that trained it.
    result : Result or None
        How the training ended.
    table : TableInfo or None
        How the training table was read.
    encoder : Encoder or None
        How columns become inputs; None in older files, whose inputs are columns.
    calibration : Calibration or None
        Probabilities from the pre-activations of all neurons.
    schema : Schema or None
        What the reader of its packed bytes knows, if it was made for a number of them.
    """

    network: Network
    settings: dict[str, Any] | None = None
    result: Result | None = None
    table: TableInfo | None = None
    encoder: Encoder | None = None
    calibration: Calibration | None = None
    schema: Schema | None = None

    @property
    def encoder_in_use(self) -> Encoder:
        """The encoder; for older files, the one whose inputs are the columns, with the replacements of the table."""
        if self.encoder is not None:
            return self.encoder
        fill = None if self.table is None else self.table.fill
        return Encoder.identity(self.network.feature_names, self.network.n_features, fill)

    @property
    def classes(self) -> Array:
        """Labels."""
        return self.network.classes


@dataclass(frozen=True, eq=False, slots=True)
class EnsembleMember:
    """A network of an ensemble, and the features of the whole problem that it takes.

    Attributes
    ----------
    network : Network
        What predicts.
    features : ndarray of shape (n_used,)
        Indices of the features that the network takes, in its own order.
    """

    network: Network
    features: Indices


@dataclass(frozen=True, eq=False, slots=True)
class EnsembleModel:
    """Contents of a file of an ensemble.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    n_features : int
        Inputs of the whole problem.
    feature_names : tuple of str or None
        Their names.
    members : tuple of EnsembleMember
        In the order in which they were trained.
    settings : dict
        Parameters of the ensemble but for the estimator.
    estimator : dict
        Parameters of the estimator that was trained.
    encoder : Encoder or None
        How columns become inputs; None in older files, whose inputs are columns.
    calibration : Calibration or None
        Probabilities from sums and votes.
    """

    classes: Array
    n_features: int
    feature_names: tuple[str, ...] | None
    members: tuple[EnsembleMember, ...]
    settings: dict[str, Any]
    estimator: dict[str, Any]
    encoder: Encoder | None = None
    calibration: Calibration | None = None

    @property
    def table(self) -> TableInfo | None:
        """How the training table was read; files of ensembles do not record it."""
        return None

    @property
    def encoder_in_use(self) -> Encoder:
        """The encoder; for older files, the one whose inputs are the columns."""
        return self.encoder or Encoder.identity(self.feature_names, self.n_features, None)
