"""Fitting a classifier to rows that do not fit into memory: a fit to a sample of them, improved on all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.base import clone

from bdnn.backends.threads import INTERRUPTED
from bdnn.clock import reading
from bdnn.encoding.kinds import lower_median
from bdnn.errors import InputError, OutputError
from bdnn.estimators.base import seed_of
from bdnn.estimators.memory import LabelSize, room, rows_of_a_block, rows_to_read, rows_within, training_bytes
from bdnn.partitions.numbering import Draw
from bdnn.partitions.preparing import Facts, RowsOfPart, inputs_of, prepare, with_rare
from bdnn.partitions.rows import Rows, StoredRows
from bdnn.partitions.store import Block, Store
from bdnn.partitions.tasks import Audited, Setting, unit_of
from bdnn.partitions.training import Improved, improve
from bdnn.progress import ProgressLines
from bdnn.search.points import deviation
from bdnn.status import Status
from bdnn.tables.cells import Known

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.network.network import Network
    from bdnn.result import Result
    from bdnn.status import Progress, ProgressCallback
    from bdnn.tables.table import Table
    from bdnn.types import Array, Floats, Indices

# shares of the memory for the sample, while it trains, and for blocks after that
_SAMPLE_SHARE, _STORE_SHARE = 0.4, 0.25
# rows of a sample: the loss of a network of some hundred weights differs from that on all rows by a thousandth
_MOST_SAMPLE = 2**20
# expected rows of a class in the sample below which all of its rows are taken, if these are few
_FEW, _MOST_FEW = 50, 5000
# rows of the sample by which directions are chosen
_DIRECTING = 2**17
# share of the time for the sample, of a fit with a limit
_SAMPLE_TIME = 0.5
_HELD_OUT, _SAMPLED = 0, 1  # purposes of draws

_SUPPORTED: Mapping[str, tuple[object, ...]] = {
    "method": ("auto", "local_search"),
    "weights": ("continuous",),
    "regularizer": (None,),
    "certificate": (False,),
    "checkpoint": (None,),
    "monotonic": (None,),
    "validation_fraction": (0, 0.0),
    "probability": (False,),
    "decision_threshold": (None,),
}
"""What settings must be for rows beyond memory."""


class RowSource(Protocol):
    """Rows in parts, with labels; see `bdnn.tables.labeled_rows.LabeledRows`."""

    classes: Array | None

    @property
    def n_rows(self) -> int:
        """How many there are."""

    def kinds(self) -> list[str]:
        """Return what the columns of the inputs hold."""

    def label_size(self) -> tuple[int, int]:
        """Return how many labels there are, about, and how many bytes the longest takes as text."""

    def table(self) -> Table:
        """Return all rows, in memory."""

    def find_classes(self, classes: Array | None = None) -> dict[int, int]:
        """Find the labels of all rows; return how many rows each class has, by its index."""

    def sample(self, drawn: Draw, excluded: Draw, rare: Sequence[int] = ()) -> Table:
        """Return the rows that are drawn, and those of rare classes, but none that is excluded."""

    def levels(self, known: Mapping[str, Known]) -> dict[str, tuple[str, ...]]:
        """Return the levels of categorical columns in all rows."""

    def parts(self, known: Mapping[str, Known], most: int | None = None) -> Iterable[RowsOfPart]:
        """Yield all rows, of columns that an encoder knows, in parts of so many rows at most."""

    def prepared(
        self, encoder: Encoder, known: Mapping[str, Known], n_classes: int, held_out: Draw | None, merges: bool
    ) -> tuple[Rows, Rows | None, Facts] | None:
        """Return the training rows, those held out, and facts, encoded where they are; None if that is here."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Partitioned:
    """How a classifier was fitted to rows in parts.

    Attributes
    ----------
    sample : Table
        The rows that the training began with.
    n_rows, n_unlabeled, n_training, n_held_out : int
        Rows: all, without a label, of the training, and held out for the accuracy.
    sample_loss, loss : float
        Loss on all training rows of the network of the sample and of the last one, with exact signs; infinite if there
        was no time for that.
    confusion : ndarray of shape (n_classes, n_classes), or None
        Held-out rows by label and predicted class.
    missing, unseen : dict of str to int
        Missing values, and rows with levels that the sample does not have, by column.
    n_blocks, file_bytes : int
        Blocks of the training rows, and bytes of the temporary file.
    passes : int
        Of the search over all rows.
    seconds : dict of str to float
        By step.
    """

    sample: Table
    n_rows: int
    n_unlabeled: int
    n_training: int
    n_held_out: int
    sample_loss: float
    loss: float
    confusion: Indices | None
    missing: Mapping[str, int]
    unseen: Mapping[str, int]
    n_blocks: int
    file_bytes: int
    passes: int
    seconds: Mapping[str, float]


def fits_in_memory(clf: Any, source: RowSource, held_out: float = 0.0) -> bool:
    """Whether all rows, of which a part is held out, can be trained on in memory, within the limit of a classifier."""
    needed = training_bytes(clf, source.n_rows, source.kinds(), held_out, LabelSize(*source.label_size()))
    return needed <= room(clf.memory_limit)


def refuse_unsupported(clf: Any) -> None:
    """Raise InputError if a setting is not supported for rows beyond memory."""
    for name, accepted in _SUPPORTED.items():
        if (value := getattr(clf, name)) not in accepted:
            raise InputError(
                f"{name}={value!r} is not supported for rows that do not fit into memory_limit: leave it as "
                f"{accepted[0]!r}, or train on fewer rows"
            )
    if np.any(np.asarray(clf.robust_radius) > 0):
        raise InputError("a robust radius is not supported for rows that do not fit into memory_limit: leave it as 0")


def fit_rows(
    clf: Any, source: RowSource, on_progress: ProgressCallback | None = None, test_fraction: float = 0.0, seed: int = 0
) -> None:
    """Fit a classifier to rows in parts.

    Parameters
    ----------
    clf : BDNNClassifier
        It gets its attributes, and `partitioned_`.
    source : RowSource
        The rows.
    on_progress : callable or None
        Receives the progress.
    test_fraction : float
        Part of the rows that is held out for the accuracy.
    seed : int
        Of the draw of these rows.

    Raises
    ------
    InputError
        If a setting or the data cannot be used.
    """
    refuse_unsupported(clf)
    listener = on_progress or (ProgressLines() if clf.verbose else None)
    _Fit(clf, source, listener, test_fraction, seed).run()


@dataclass(slots=True)
class _Fit:
    """A fit under way."""

    clf: Any
    source: RowSource
    on_progress: ProgressCallback | None
    test_fraction: float
    split_seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    shortfalls: list[str] = field(default_factory=list)
    began: float = field(default_factory=reading)

    def run(self) -> None:
        """Fit."""
        clf, source = self.clf, self.source
        budget, memory = clf._budget(seed_of(clf.random_state)), room(clf.memory_limit)
        began = reading()
        counts = source.find_classes(clf.network_.classes if clf.warm_start and hasattr(clf, "network_") else None)
        assert source.classes is not None
        if len(counts) < 2:
            raise InputError(
                f"training needs at least two classes in y, got only one class: "
                f"{source.classes[list(counts)].tolist()!r}"
            )
        sample = self._sample(counts, memory, budget.seed)
        self.seconds["sampling"] = reading() - began
        inner = self._fitted_to_sample(sample, budget.seed)
        self.interrupted = inner.result_.interrupted
        encoder, known = self._encoder(inner, sample)
        with Store(_STORE_SHARE * memory) as training, Store(0.0) as others:
            merges, threads = bool(2 * inner.result_.n_distinct <= inner.result_.n_rows), budget.threads
            read = rows_to_read(memory, len(source.kinds()))
            most = rows_of_a_block(memory, threads, encoder.n_inputs, inner.network_.widths)
            rows, held_out, facts = self._prepared(encoder, known, training, others, merges, threads, read, most)
            left = budget.seconds - inner.result_.timings["total"]
            outcome = improve(
                rows, self._setting(inner, encoder, facts, sample), self._networks(inner),
                _directing(encoder, sample, source.classes), replace(budget, started=None).start().within(left),
                repeats=inner.result_.n_distinct < inner.result_.n_rows, allowed=_allowed(clf, inner),
                on_progress=self._listener(), interrupted=self.interrupted,
                expected=self.source.n_rows if self.interrupted else 0,
            )  # fmt: skip
            confusion = None
            if held_out is not None and not outcome.interrupted:
                began = reading()
                confusion = held_out.total(Audited(outcome.network, None)).confusion
                self.seconds["held-out accuracy"] = reading() - began
            points = training.n_points or rows.n_rows  # blocks on workers are not counted
            stored = len(training), points, training.file_bytes + others.file_bytes
        self._keep(inner, encoder, outcome, facts, sample, confusion, stored)

    def _listener(self, n_sample: int = 0) -> ProgressCallback | None:
        """Return what hears of a part of the fit, which has a clock of its own, and may be of a sample."""
        listener = self.on_progress
        if listener is None:
            return None

        def told(progress: Progress) -> None:
            phase = f"sample of {n_sample} rows, {progress.phase}" if n_sample else progress.phase
            listener(replace(progress, seconds=reading() - self.began, phase=phase))

        return told

    @property
    def _held_out(self) -> Draw:
        return Draw(self.test_fraction, self.split_seed, _HELD_OUT)

    def _sample(self, counts: Mapping[int, int], memory: float, seed: int) -> Table:
        """Return some of the training rows, with some of each class."""
        kinds, labels = self.source.kinds(), LabelSize(*self.source.label_size())
        share = rows_within(_SAMPLE_SHARE * memory, self.clf, kinds, _MOST_SAMPLE, labels) / self.source.n_rows
        rare = [code for code, count in counts.items() if count * share < _FEW and count <= _MOST_FEW]

        return self.source.sample(Draw(share, seed, _SAMPLED), self._held_out, rare)

    def _fitted_to_sample(self, sample: Table, seed: int) -> Any:
        """Return a classifier that is fitted to the sample, in a part of the time."""
        clf, began = self.clf, reading()
        limit = None if clf.time_limit is None else _SAMPLE_TIME * clf.time_limit
        inner = clone(clf).set_params(memory_limit=None, time_limit=limit, random_state=seed, verbose=0)
        inner._warns = False
        if clf.warm_start and hasattr(clf, "network_"):
            inner.network_, inner.encoder_ = clf.network_, clf.encoder_
        listener = self._listener(len(sample.rows))
        inner.fit(sample.features, sample.labels, sample.weight, on_progress=listener)
        self.seconds["sample"] = reading() - began
        return inner

    def _encoder(self, inner: Any, sample: Table) -> tuple[Encoder, dict[str, Known]]:
        """Return the encoder, which knows the levels of all rows, and what it knows of columns."""

        def known_by(encoder: Encoder) -> dict[str, Known]:
            return {
                code.name: Known(code.kind, frozenset((*code.levels, *code.rare)), sample.forms.get(code.name))
                for code in encoder.columns
                if code.used
            }

        encoder: Encoder = inner.encoder_
        encoder = with_rare(encoder, self.source.levels(known_by(encoder)))
        return encoder, known_by(encoder)

    def _prepared(
        self, encoder: Encoder, known: Mapping[str, Known], training: Store, others: Store, merges: bool, threads: int,
        read: int, most: int,
    ) -> tuple[Rows, Rows | None, Facts]:  # fmt: skip
        """Encode the rows where they are, or into stores; after Ctrl-C those of the first part only, for the audit."""
        assert self.source.classes is not None
        n_classes, began = len(self.source.classes), reading()
        facts = Facts(np.zeros(encoder.n_inputs), np.zeros(n_classes))
        out = self._held_out if self.test_fraction else None
        try:
            if not self.interrupted:
                if (done := self.source.prepared(encoder, known, n_classes, out, merges)) is not None:
                    self.seconds["reading"] = reading() - began
                    return done
                prepare(self.source.parts(known, read), encoder, facts, training, others, out, merges, most=most)
        except KeyboardInterrupt:
            self.interrupted = True
        except OutputError as error:  # the disk is full: the network of the sample is kept
            self.interrupted = True
            self.shortfalls.append(str(error))
        if not len(training):
            first = itertools.islice(self.source.parts(known, most), 1)
            prepare(first, encoder, facts, training, None, out, merges)
        self.seconds["reading"] = reading() - began
        return StoredRows(training, threads), StoredRows(others, threads) if len(others) else None, facts

    def _setting(self, inner: Any, encoder: Encoder, facts: Facts, sample: Table) -> Setting:
        """Return what all blocks have in common."""
        network: Network = inner.network_
        of_class = None if self.clf.class_weight is None else np.asarray(inner.class_weight_)
        total = float((facts.of_class * (1.0 if of_class is None else of_class)).sum())
        inputs = inputs_of(encoder, encoder.matched(sample.features))
        spread = np.array([deviation(column) for column in inputs])
        reach = np.maximum(facts.reach, [float(np.abs(column).max(initial=0.0)) for column in inputs])
        spread = np.where(spread > 0, spread, np.where(reach > 0, reach, 1.0))
        center = np.array([float(lower_median(column)) for column in inputs])
        unit = unit_of(total, network.loss)
        return Setting(network.loss, network.widths, self.clf.fit_intercept, of_class, unit, center, 1 / spread, reach)

    def _networks(self, inner: Any) -> list[Network]:
        """Return the network of the sample, and one to start from."""
        network: Network = inner.network_
        if not (self.clf.warm_start and hasattr(self.clf, "network_")):
            return [network]
        start = self.clf.network_.for_columns(network.feature_names)
        return [network, start] if start.widths == network.widths and start.head == network.head else [network]

    def _keep(
        self, inner: Any, encoder: Encoder, outcome: Improved, facts: Facts, sample: Table,
        confusion: Indices | None, stored: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """Give the classifier its attributes."""
        clf = self.clf
        for name, value in vars(inner).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(clf, name, value)
        clf.network_, clf.encoder_ = outcome.network, encoder
        self.seconds |= outcome.seconds
        if not outcome.interrupted and math.isinf(outcome.loss):
            self.shortfalls.append("the time limit left no time for a pass over all rows")
        clf.result_ = self._result(inner.result_, outcome, stored[1])
        clf._interrupted = outcome.interrupted
        clf.partitioned_ = Partitioned(
            sample=sample, n_rows=self.source.n_rows, n_unlabeled=facts.n_unlabeled, n_training=facts.n_training,
            n_held_out=facts.n_held_out, sample_loss=outcome.start_loss, loss=outcome.loss, confusion=confusion,
            missing=dict(facts.missing), unseen=dict(facts.unseen), n_blocks=stored[0], file_bytes=stored[2],
            passes=outcome.passes, seconds=dict(self.seconds),
        )  # fmt: skip
        if clf._warns:
            clf._warn(clf.result_.shortfalls)

    def _result(self, of_sample: Result, outcome: Improved, n_points: int) -> Result:
        """Return the result for all rows."""
        before = of_sample.timings["total"]
        message = outcome.message.replace("interrupted", INTERRUPTED, 1) if outcome.interrupted else outcome.message
        if self.shortfalls:
            message = f"{message}: {'; '.join(self.shortfalls)}"
        objective = outcome.audit.loss
        return replace(
            of_sample,
            network=outcome.network,
            status=Status.OPTIMAL if objective <= outcome.irreducible else Status.FEASIBLE,
            objective=objective,
            bound=min(outcome.irreducible, objective),
            irreducible=outcome.irreducible,
            irreducible_of="every classifier on these inputs, as far as equal rows lie in one block",
            audit=outcome.audit,
            message=message,
            interrupted=outcome.interrupted and not self.shortfalls,
            n_rows=outcome.n_audited,
            n_distinct=min(n_points, outcome.n_audited),
            nodes=of_sample.nodes + outcome.rounds,
            history=tuple(replace(step, seconds=before + step.seconds) for step in outcome.history),
            bounds=(),
            timings=self.seconds | {"total": before + outcome.seconds.get("search", 0.0) + outcome.seconds["audit"]},
            shortfalls=tuple(self.shortfalls),
        )


def _directing(encoder: Encoder, sample: Table, classes: Array) -> Block:
    """Return rows of the sample by which directions are chosen."""
    assert sample.labels is not None
    m = len(sample.labels)
    some = np.unique(np.linspace(0, m - 1, min(m, _DIRECTING)).astype(np.intp))
    inputs = [column[some] for column in inputs_of(encoder, encoder.matched(sample.features))]
    weight: Floats | None = None if sample.weight is None else sample.weight[some]
    with Store(math.inf) as store:
        store.append(inputs, np.searchsorted(classes, sample.labels[some]), weight)
        return store.block(0)


def _allowed(clf: Any, inner: Any) -> Indices | None:
    """Return the inputs that may be used, where there is a limit on them: those of columns in use."""
    if clf.max_features is None:
        return None
    network, of_input = inner.network_, inner.encoder_.column_of_input
    used = np.unique(of_input[np.any(network.layers[0].weights != 0, axis=0)])
    return np.flatnonzero(np.isin(of_input, used))
