"""Rows of a dask data frame: its partitions are encoded where they are, and stay there.

With a client of `distributed`, tasks go to the workers that hold the partitions, and only their answers come back.
Without one, partitions are computed one after the other and encoded here, as those of files are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bdnn.encoding.kinds import level_text
from bdnn.errors import InputError
from bdnn.estimators.frames import Categorical, raw_table
from bdnn.labels import label_array
from bdnn.partitions.numbering import Draw
from bdnn.partitions.preparing import Facts, prepare
from bdnn.partitions.rows import Rows
from bdnn.partitions.store import Blocks, Store
from bdnn.tables.labeled_rows import PART_ROWS, Part
from bdnn.tables.table import Table

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.encoding.raw import RawTable
    from bdnn.partitions.tasks import Task
    from bdnn.tables.cells import Known
    from bdnn.types import Array, Floats, Indices

A = TypeVar("A")

_LABEL_SIZE = 2, 40  # of ten characters
_KINDS = {"M": "date", "b": "boolean", "i": "numeric", "u": "numeric", "f": "numeric"}


def is_dask(X: object) -> bool:
    """Whether an object is a data frame of dask."""
    return type(X).__module__.split(".")[0] == "dask" and hasattr(X, "map_partitions") and hasattr(X, "columns")


class DaskRows:
    """The rows of a dask data frame, with labels and weights of rows; see `LabeledRows`.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
        Whose partitions are in order.
    target : str or None
        Column of the labels.
    weight : str or None
        Column of the weights.
    categorical : "from_dtype", None or sequence
        As `categorical_features` of the estimators.

    Attributes
    ----------
    classes : ndarray or None
        Labels, once they are known.

    Raises
    ------
    InputError
        If a column is missing.
    """

    def __init__(
        self, frame: Any, target: str | None, weight: str | None = None, categorical: Categorical = "from_dtype"
    ) -> None:
        names = [str(name) for name in frame.columns]
        if absent := [name for name in (target, weight) if name is not None and name not in names]:
            raise InputError(f"the data frame has no column {absent[0]!r}; its columns are {', '.join(names[:20])}")
        self._frame, self._target, self._weight, self._categorical = frame, target, weight, categorical
        self._names = [name for name in names if name not in (target, weight)]
        self.classes: Array | None = None
        self._counts: list[int] = self._mapped(len)
        self._firsts = np.concatenate([[0], np.cumsum(self._counts)]).tolist()

    def _mapped(self, function: Callable[..., Any], *each: Sequence[object]) -> list[Any]:
        """Return what a function makes of each partition, and further arguments for each, on the workers."""
        import dask

        parts = self._frame.to_delayed()
        more = zip(*each, strict=True) if each else [()] * len(parts)
        tasks = [dask.delayed(function)(part, *own) for part, own in zip(parts, more, strict=True)]
        return list(dask.compute(*tasks))

    @property
    def n_rows(self) -> int:
        """Rows of all partitions."""
        return sum(self._counts)

    def kinds(self) -> list[str]:
        """Return what the columns of the inputs hold, by their types."""
        kinds = (getattr(self._frame[name].dtype, "kind", "O") for name in self._names)
        return [_KINDS.get(kind, "categorical") for kind in kinds]

    def label_size(self) -> tuple[int, int]:
        """Return a guess of how many labels there are and of their bytes: to know, partitions had to be computed."""
        return _LABEL_SIZE

    def table(self) -> Table:
        """Return all rows, in memory."""
        return self._table(self._frame.compute())

    def _table(self, frame: Any) -> Table:
        labels = None if self._target is None else _labels(frame, self._target)
        weight = None if self._weight is None else _weights(frame, self._weight)
        features = raw_table(frame[self._names], self._categorical)
        return Table(features, labels, np.arange(len(features)), self._target, weight)

    def find_classes(self, classes: Array | None = None) -> dict[int, int]:
        """Find the labels of all rows; return how many rows each class has, by its index.

        Raises
        ------
        InputError
            If a row has no label, or one that is none of the given classes.
        """
        counts: Counter[Any] = Counter()
        for own in self._mapped(_label_counts, [self._target] * len(self._counts)):
            counts.update(own)
        each = label_array("y", list(counts))
        self.classes = np.unique(each) if classes is None else classes
        if odd := [label for label in each.tolist() if label not in self.classes.tolist()]:
            raise InputError(f"y holds {odd[0]!r}, which is not a class of the network")
        index = {label: code for code, label in enumerate(self.classes.tolist())}
        return {index[label]: counts[key] for key, label in zip(counts, each.tolist(), strict=True)}

    def sample(self, drawn: Draw, excluded: Draw, rare: Sequence[int] = ()) -> Table:
        """Return the rows that are drawn, and those of rare classes, but none that is excluded."""
        import pandas as pd

        assert self.classes is not None
        n, labels = len(self._counts), self.classes[list(rare)].tolist()
        found = self._mapped(_sampled, self._firsts[:-1], [drawn] * n, [excluded] * n, [self._target] * n, [labels] * n)
        return self._table(pd.concat([frame for frame in found if len(frame)]))

    def levels(self, known: Mapping[str, Known]) -> dict[str, tuple[str, ...]]:
        """Return the levels of categorical columns in all rows."""
        names = [name for name, what in known.items() if what.kind == "categorical"]
        found: dict[str, set[str]] = {name: set() for name in names}
        for own in self._mapped(_level_texts, [names] * len(self._counts)) if names else []:
            for name in names:
                found[name] |= own[name]
        return {name: tuple(sorted(texts)) for name, texts in found.items()}

    def parts(self, known: Mapping[str, Known], most: int | None = None) -> Iterator[Part]:
        """Yield all rows, one partition after the other, computed here, in parts of so many rows at most."""
        for part, first in zip(self._frame.to_delayed(), self._firsts, strict=False):
            yield from _parts(part.compute(), first, self._columns(known), most or PART_ROWS)

    def _columns(self, known: Mapping[str, Known]) -> tuple[Any, ...]:
        return [n for n in self._names if n in known], self._target, self._weight, self.classes, self._categorical

    def prepared(
        self, encoder: Encoder, known: Mapping[str, Known], n_classes: int, held_out: Draw | None, merges: bool
    ) -> tuple[Rows, Rows | None, Facts] | None:
        """Return the training rows, those held out, and facts, encoded on workers; None if there is no client."""
        if (client := _client()) is None:
            return None
        columns = self._columns(known)
        each = zip(self._frame.to_delayed(), self._firsts, strict=False)
        parts = [client.compute(part) for part, _ in each]
        settings = [(encoder, n_classes, held_out, merges, columns)] * len(parts)
        done = client.map(_prepared, parts, self._firsts[:-1], settings, pure=False)
        sizes = client.gather(client.map(_sizes, done, pure=False))
        facts = Facts(np.zeros(encoder.n_inputs), np.zeros(n_classes))
        for _, _, own in sizes:
            facts.add(own)
        training = _distributed(client, done, 0, [size[0] for size in sizes])
        assert training is not None
        return training, _distributed(client, done, 1, [size[1] for size in sizes]), facts


class DistributedRows(Rows):
    """Blocks on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    blocks : list
        Futures of the blocks of each partition.
    counts : list of int
        Rows of each.
    """

    def __init__(self, client: Any, blocks: list[Any], counts: list[int]) -> None:
        self._client, self._blocks, self._counts = client, blocks, counts

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(self._counts)

    def answers(self, task: Task[A]) -> Iterator[tuple[A, int]]:
        """Yield the answer of a task for each partition, and how many rows that is of."""
        futures = self._client.map(_answered, self._blocks, [task] * len(self._blocks), pure=False)
        try:
            for future, count in zip(futures, self._counts, strict=True):
                yield future.result(), count
        finally:
            self._client.cancel(futures)


def _client() -> Any:
    """Return the client of a cluster; None if there is none."""
    try:
        from distributed import get_client
    except ImportError:
        return None
    try:
        return get_client()
    except ValueError:
        return None


def _distributed(client: Any, done: list[Any], which: int, counts: list[int]) -> Rows | None:
    """Return the rows of the partitions that have any."""
    used = [k for k, count in enumerate(counts) if count]
    if not used:
        return None
    blocks = client.map(_taken, [done[k] for k in used], [which] * len(used), pure=False)
    return DistributedRows(client, blocks, [counts[k] for k in used])


# on the workers


def _labels(frame: Any, target: str) -> Array:
    if frame[target].isna().any():
        raise InputError(f"the target column {target!r} has no label in some rows; label or remove them")
    return label_array("y", frame[target].tolist())


def _weights(frame: Any, name: str) -> Floats:
    weights = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise InputError(f"weights must be numbers and not negative, which those of column {name!r} are not")
    return np.asarray(weights)


def _label_counts(frame: Any, target: str) -> dict[Any, int]:
    labels = _labels(frame, target) if len(frame) else np.zeros(0)
    each, counts = np.unique(labels, return_counts=True)
    return dict(zip(each.tolist(), counts.tolist(), strict=True))


def _sampled(frame: Any, first: int, drawn: Draw, excluded: Draw, target: str, rare: list[Any]) -> Any:
    chosen = drawn(first, len(frame))
    if rare:
        chosen = chosen | frame[target].isin(rare).to_numpy(dtype=bool)
    return frame[chosen & ~excluded(first, len(frame))]


def _level_texts(frame: Any, names: list[str]) -> dict[str, set[str]]:
    return {name: {level_text(value) for value in frame[name].dropna().unique().tolist()} for name in names}


def _parts(frame: Any, first: int, columns: tuple[Any, ...], most: int = PART_ROWS) -> Iterator[Part]:
    names, target, weight, classes, categorical = columns
    for start in range(0, len(frame), most):
        piece = frame.iloc[start : start + most]
        table: RawTable = raw_table(piece[names], categorical)
        codes: Indices | None = None
        if target is not None:
            codes = np.searchsorted(classes, _labels(piece, target))
        yield Part(first + start, table, codes, None if weight is None else _weights(piece, weight), {})


def _prepared(frame: Any, first: int, settings: tuple[Any, ...]) -> tuple[Blocks, Blocks, Facts]:
    encoder, n_classes, held_out, merges, columns = settings
    facts = Facts(np.zeros(encoder.n_inputs), np.zeros(n_classes))
    with Store(np.inf) as training, Store(np.inf) as others:
        prepare(_parts(frame, first, columns), encoder, facts, training, others, held_out, merges)
        return training.frozen(), others.frozen(), facts


def _sizes(done: tuple[Blocks, Blocks, Facts]) -> tuple[int, int, Facts]:
    return done[0].n_rows, done[1].n_rows, done[2]


def _taken(done: tuple[Blocks, Blocks, Facts], which: int) -> Blocks:
    blocks = done[which]
    assert isinstance(blocks, Blocks)
    return blocks


def _answered(blocks: Blocks, task: Task[A]) -> A:
    answer: A | None = None
    for block in blocks:
        own = task.of(block)
        answer = own if answer is None else task.added(answer, own)
    assert answer is not None
    return answer
