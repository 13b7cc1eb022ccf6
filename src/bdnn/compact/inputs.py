"""What a compact network sees of the inputs of an encoder: bits x >= t, or grids of few bits, of some of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bdnn.encoding.encoder import Encoder
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer, Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.network.losses import Head
    from bdnn.types import Array, Bools, Floats, Indices, Integers

_WIDEST_INTEGER = 2.0**16
"""A column of integers over a wider range counts as one of real numbers, as in the packed format."""
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """The inputs that an encoder without thresholds makes, as far as compact networks may use them.

    Attributes
    ----------
    encoder : Encoder
        Which makes them.
    whole : ndarray of shape (n,)
        Whether all values of an input are integers of at most 16 bits.
    low, high : ndarray of shape (n,)
        Its least and largest value.
    dated : ndarray of shape (n,)
        Whether it is a part of a date, which has no thresholds.
    """

    encoder: Encoder
    whole: Bools
    low: Floats
    high: Floats
    dated: Bools

    @classmethod
    def of(cls, encoder: Encoder, X: Floats) -> Source:
        """Return the inputs that an encoder makes of the training rows, X of shape (m, n)."""
        low, high = X.min(axis=0), X.max(axis=0)
        whole = np.all(np.rint(X) == X, axis=0) & (high - low < _WIDEST_INTEGER)
        dates = np.array([code.kind == "date" for code in encoder.columns], dtype=bool)
        return cls(encoder, whole, low, high, dates[encoder.column_of_input])

    @property
    def n(self) -> int:
        """Number of inputs."""
        return len(self.low)

    @property
    def bits(self) -> Integers:
        """Bits of the values of each integer input; 0 of others, shape (n,)."""
        width = np.ceil(np.log2(np.maximum(self.high - self.low, 1.0) + 1.0)).astype(np.int64)
        return np.where(self.whole, width, 0)

    def threshold(self, j: int, above: float) -> float:
        """Return t such that x >= t is about x > above: an integer, or a number of 16 bits, within the values."""
        if self.whole[j]:
            return float(np.clip(np.floor(above) + 1.0, self.low[j] + 1.0, max(self.high[j], self.low[j] + 1.0)))
        with np.errstate(over="ignore"):
            short = float(np.float16(above))
        if abs(short) > _LARGEST_HALF or not self.low[j] < short <= self.high[j]:
            return float(np.clip(np.nextafter(above, np.inf), self.low[j], self.high[j]))
        return short


class Inputs(Protocol):
    """What a network sees."""

    def values(self, X: Floats) -> Floats:
        """Return it for rows of the inputs of the encoder, integers of shape (m, k)."""

    def placed(self, source: Source, layers: Sequence[Layer], head: Head, classes: Array) -> Placed:
        """Return a network on these inputs as one behind an encoder of its own."""


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """An encoder, and a network on what it makes."""

    encoder: Encoder
    network: Network


def _only(layers: Sequence[Layer]) -> tuple[list[Layer], Indices]:
    """Return layers without inputs and hidden neurons that have no weight, and the inputs that are left."""
    kept = list(layers)
    for k in range(len(kept) - 1, -1, -1):
        used = np.any(kept[k].weights != 0, axis=0)
        used[0] |= not used.any()
        kept[k] = Layer(kept[k].weights[:, used], kept[k].bias)
        if k:
            kept[k - 1] = Layer(kept[k - 1].weights[used], kept[k - 1].bias[used])
    return kept, np.flatnonzero(used)


def _network(
    encoder: Encoder,
    places: Indices,
    layers: Sequence[Layer],
    head: Head,
    classes: Array,
    grid: InputGrid | None = None,
) -> Placed:
    """Return a network whose first layer reads some of the inputs of an encoder."""
    weights = np.zeros((len(layers[0].weights), encoder.n_inputs), dtype=np.int64)
    weights[:, places] = layers[0].weights
    whole = (Layer(weights, layers[0].bias), *layers[1:])
    return Placed(encoder, Network(whole, head, classes, grid, encoder.network_names))


def _with_columns(source: Source, used: Indices, thresholds: dict[int, list[float]]) -> Encoder:
    """Return the encoder without the columns of which no input is used, and with thresholds of some columns."""
    columns = set(source.encoder.column_of_input[used].tolist())
    codes = [
        replace(code, thresholds=tuple(sorted(thresholds.get(c, ()))))
        if c in columns
        else replace(code, used=False, parts=())
        for c, code in enumerate(source.encoder.columns)
    ]
    return Encoder(tuple(codes), source.encoder.named)


@dataclass(frozen=True, eq=False, slots=True)
class BitInputs:
    """Bits x >= t.

    Attributes
    ----------
    feature : ndarray of shape (k,)
        Inputs of the encoder, ascending.
    threshold : ndarray of shape (k,)
        Of each; ascending where the feature is the same.
    """

    feature: Indices
    threshold: Floats

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, float]]) -> BitInputs:
        """Return different pairs of a feature and a threshold, sorted."""
        ordered = sorted(set(pairs))
        return cls(
            np.array([j for j, _ in ordered], dtype=np.intp), np.array([t for _, t in ordered], dtype=np.float64)
        )

    def values(self, X: Floats) -> Floats:
        """Return the bits of rows, shape (m, k)."""
        return np.asarray(X[:, self.feature] >= self.threshold, dtype=np.float64)

    def placed(self, source: Source, layers: Sequence[Layer], head: Head, classes: Array) -> Placed:
        """Return a network on these bits as one behind an encoder of its own."""
        layers, used = _only(layers)
        feature, threshold = self.feature[used], self.threshold[used]
        numeric = source.encoder.numeric_inputs()
        of_column: dict[int, list[float]] = {}
        for j, t in zip(feature.tolist(), threshold.tolist(), strict=True):
            if numeric[j]:
                of_column.setdefault(int(source.encoder.column_of_input[j]), []).append(t)
        encoder = _with_columns(source, feature, of_column)
        old, new = list(source.encoder.input_slices()), list(encoder.input_slices())
        places = []
        for j, t in zip(feature.tolist(), threshold.tolist(), strict=True):
            c = int(source.encoder.column_of_input[j])
            if numeric[j]:
                places.append(new[c].start + encoder.columns[c].thresholds.index(t))
            elif source.encoder.columns[c].kind == "numeric":  # its missing bit
                places.append(new[c].stop - 1)
            else:
                places.append(new[c].start + j - old[c].start)
        return _network(encoder, np.array(places, dtype=np.intp), layers, head, classes)


@dataclass(frozen=True, eq=False, slots=True)
class GridInputs:
    """Inputs on grids.

    Attributes
    ----------
    feature : ndarray of shape (k,)
        Inputs of the encoder, ascending.
    grid : InputGrid
        Of these.
    """

    feature: Indices
    grid: InputGrid

    @classmethod
    def of(cls, feature: Indices, X: Floats, source: Source, bits: int) -> GridInputs:
        """Return grids whose steps are powers of two, across the values but for the outer hundredth at both ends.

        Integers of no more bits are taken as they are, counted from their least value.
        """
        feature = np.sort(feature)
        values = X[:, feature]
        low, high = np.quantile(values, 0.01, axis=0), np.quantile(values, 0.99, axis=0)
        flat = high <= low
        low, high = np.where(flat, values.min(axis=0), low), np.where(flat, values.max(axis=0), high)
        span = np.where(high > low, high - low, 1.0)  # of a constant any
        step = 2.0 ** np.ceil(np.log2(span / (2**bits - 1)))
        offset = np.rint(low / step) * step
        own = source.bits[feature]
        direct = (own > 0) & (own <= bits)
        return cls(feature, InputGrid(np.where(direct, source.low[feature], offset), np.where(direct, 1.0, step), bits))

    def values(self, X: Floats) -> Floats:
        """Return the integers of rows, shape (m, k)."""
        return self.grid.quantize(X[:, self.feature])

    def placed(self, source: Source, layers: Sequence[Layer], head: Head, classes: Array) -> Placed:
        """Return a network on these grids as one behind an encoder of its own."""
        layers, used = _only(layers)
        feature = self.feature[used]
        encoder = _with_columns(source, feature, {})
        old, new = list(source.encoder.input_slices()), list(encoder.input_slices())
        columns = source.encoder.column_of_input[feature].tolist()
        places = np.array([new[c].start + j - old[c].start for j, c in zip(feature.tolist(), columns, strict=True)])
        offset, step = np.zeros(encoder.n_inputs), np.ones(encoder.n_inputs)
        offset[places], step[places] = self.grid.offset[used], self.grid.step[used]
        return _network(encoder, places, layers, head, classes, InputGrid(offset, step, self.grid.bits))
