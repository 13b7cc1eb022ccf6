"""The binarized network: layers, heads and the forward pass. This is the definition of prediction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.arrays import frozen, real_numbers, row_blocks
from bdnn.checks import name_tuple
from bdnn.columns import in_order, permutation
from bdnn.errors import InputError
from bdnn.exact import signs
from bdnn.labels import label_array
from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer as Layer
from bdnn.network.layer import checked_layer
from bdnn.network.losses import Head, Loss

if TYPE_CHECKING:
    from types import ModuleType

    from bdnn.network.schema import Schema
    from bdnn.types import Array, Floats, Indices, Reals


_rounding: list[Callable[[Network, ArrayLike, int, int | None, float, bool], Network]] = []


def gives_to_integer(
    function: Callable[[Network, ArrayLike, int, int | None, float, bool], Network],
) -> Callable[[Network, ArrayLike, int, int | None, float, bool], Network]:
    """Take the function behind `Network.to_integer`, which lies on a higher floor, in a module that `bdnn` imports."""
    _rounding[:] = [function]
    return function


_packing: list[Callable[[], ModuleType]] = []


def gives_packing(function: Callable[[], ModuleType]) -> Callable[[], ModuleType]:
    """Take the function that imports `bdnn.network.packing` at first use: it needs encoders, which networks do not."""
    _packing[:] = [function]
    return function


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """A feed-forward network whose neurons fire 1 if their pre-activation is >= 0, otherwise 0 (so σ(0) = 1).

    Every sign and every argmax is decided exactly, as if in rational arithmetic; ties of the argmax go to the lowest
    index. Networks are immutable and equal when all their numbers are.

    Parameters
    ----------
    layers : sequence of (weights, bias)
        Weights of shape (d_k, d_{k-1}) and biases of shape (d_k,), first layer first, acting on raw inputs (or on the
        integers of `grid`). All floats (continuous weights) or all integers.
    head : {"threshold", "argmax"}
        Threshold: the last layer fires too; one output for two classes, or one output per class against a one-hot
        target, in which case the class of largest pre-activation is predicted. Argmax: the class of largest
        pre-activation, one output per class.
    classes : array-like of shape (n_classes,)
        Labels in the order of the outputs.
    grid : InputGrid or None
        Quantization of the inputs that precedes the first layer.
    feature_names : sequence of str or None
        Names of the inputs. Columns of a data frame are taken by name, in any order, and others left out; columns of an
        array by position.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite or an integer exceeds ``2**53``.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, section 2.

    Examples
    --------
    >>> net = Network([([[1.0, -1.0]], [0.0])], head="threshold", classes=["no", "yes"])
    >>> net.predict([[2, 1], [1, 2], [1, 1]]).tolist()
    ['yes', 'no', 'yes']
    """

    layers: tuple[Layer, ...]
    head: Head
    classes: Array
    grid: InputGrid | None = None
    feature_names: tuple[str, ...] | None = field(default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.head, str) or self.head not in get_args(Head):
            raise InputError(f"head must be one of {', '.join(get_args(Head))}, got {self.head!r}")
        if not np.iterable(self.layers):
            raise InputError(f"layers must be a sequence of pairs (weights, bias), got {self.layers!r}")
        layers = tuple(checked_layer(k, layer) for k, layer in enumerate(self.layers, start=1))
        if not layers:
            raise InputError("a network needs at least one layer, got none")
        classes = frozen(label_array("classes", self.classes))
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "feature_names", name_tuple("feature_names", self.feature_names, self.n_features))
        if len({layer.weights.dtype for layer in layers}) > 1:
            raise InputError("the layers of a network must be all continuous (float) or all integer, got both")
        for k, (below, above) in enumerate(itertools.pairwise(layers), start=2):
            if above.weights.shape[1] != below.weights.shape[0]:
                raise InputError(
                    f"layer {k} takes {above.weights.shape[1]} inputs "
                    f"but layer {k - 1} has {below.weights.shape[0]} neurons"
                )
        n_classes, labels = len(classes), classes.tolist()
        if n_classes < 2 or len(set(labels)) != n_classes:
            raise InputError(f"classes must be at least two different labels, got {labels!r}")
        if layers[-1].weights.shape[0] != self.loss.n_outputs:
            raise InputError(
                f"a {self.head} head for {n_classes} classes needs {self.loss.n_outputs} output(s), "
                f"the last layer has {layers[-1].weights.shape[0]}"
            )
        if self.grid is not None and not isinstance(self.grid, InputGrid):
            raise InputError(f"grid must be an InputGrid or None, got {self.grid!r}")
        if self.grid is not None and len(self.grid.step) != self.n_features:
            size = len(self.grid.step)
            raise InputError(f"the grid covers {size} features but the first layer takes {self.n_features}")

    @property
    def n_features(self) -> int:
        """Number of inputs."""
        return int(self.layers[0].weights.shape[1])

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of neurons of each layer, outputs included."""
        return tuple(int(layer.weights.shape[0]) for layer in self.layers)

    @property
    def loss(self) -> Loss:
        """What the outputs of the network cost."""
        return Loss(self.head, len(self.classes))

    @property
    def is_integer(self) -> bool:
        """Whether weights and biases are integers."""
        return bool(np.issubdtype(self.layers[0].weights.dtype, np.integer))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases, zeros included."""
        return sum(layer.weights.size + layer.bias.size for layer in self.layers)

    @property
    def size_bytes(self) -> int:
        """Bytes of the packed network: the length of `to_bytes`."""
        return int(_packing[0]().packed_size(self, self.schema))

    @property
    def schema(self) -> Schema:
        """What is known of the inputs without data: their names, if there are any, and that they are real numbers."""
        schema: Schema = _packing[0]().schema_of(self)
        return schema

    def to_bytes(self, schema: Schema | None = None) -> bytes:
        """Return the network as few bytes, from which `from_bytes` makes one that decides the same; see the guide.

        Parameters
        ----------
        schema : Schema or None
            What the reader knows and bytes do not say: inputs and labels. None for `schema` of this network.

        Returns
        -------
        bytes

        Raises
        ------
        InputError
            If the schema is of other inputs or labels.

        Examples
        --------
        >>> net = Network([([[1, -1]], [0])], head="threshold", classes=["no", "yes"])
        >>> Network.from_bytes(net.to_bytes(), net.schema) == net, net.size_bytes
        (True, 2)
        """
        return bytes(_packing[0]().packed(self, self.schema if schema is None else schema))

    @classmethod
    def from_bytes(cls, data: bytes, schema: Schema) -> Network:
        """Return the network of bytes.

        Parameters
        ----------
        data : bytes
            What `to_bytes` returned.
        schema : Schema
            The one that they were made with.

        Returns
        -------
        Network
            It takes the same inputs; those that no decision depends on have weight 0.

        Raises
        ------
        PackedError
            (a ValueError) If the bytes hold no network of this schema.
        """
        network: Network = _packing[0]().network_of(data, schema)
        return network

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        mine, theirs = self._numbers(), other._numbers()
        return (
            (self.head, self.feature_names) == (other.head, other.feature_names)
            and self._labels() == other._labels()
            and len(mine) == len(theirs)
            and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def _numbers(self) -> list[Array]:
        grid = [] if self.grid is None else [self.grid.offset, self.grid.step, np.array([self.grid.bits])]
        return [*grid, *(a for layer in self.layers for a in layer)]

    def _labels(self) -> list[tuple[type, Any]]:
        """Labels with their Python types: 1 and True differ, the widths of integers and strings do not matter."""
        return [(type(label), label) for label in self.classes.tolist()]

    def check_inputs(self, X: ArrayLike) -> Reals:
        """Return checked inputs.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Raw inputs. Columns of a data frame are found by name, if the network has names.

        Returns
        -------
        ndarray of shape (m, n_features)
            float32 or float64.

        Raises
        ------
        InputError
            If a column is missing, the shape is wrong, or a value is not finite.
        """
        values = real_numbers("inputs", in_order("inputs", X, self.feature_names), single=True)
        if values.ndim != 2 or values.shape[1] != self.n_features:
            raise InputError(f"inputs must have shape (m, {self.n_features}), got {values.shape}")
        if not all(np.all(np.isfinite(values[rows])) for rows in row_blocks(*values.shape)):
            raise InputError("inputs hold NaN or infinity; this network takes finite numbers only")
        return values

    def for_columns(self, names: Sequence[str] | None) -> Network:
        """Return the same network for inputs whose columns are in another order.

        Parameters
        ----------
        names : sequence of str or None
            Names of the columns, those of this network in any order.

        Returns
        -------
        Network
            This one if either side has no names, or they are in the same order.

        Raises
        ------
        InputError
            If there are other names than those of this network.

        Examples
        --------
        >>> net = Network([([[1.0, -2.0]], [0.0])], head="threshold", classes=[0, 1], feature_names=["a", "b"])
        >>> net.for_columns(["b", "a"]).layers[0].weights.tolist()
        [[-2.0, 1.0]]
        """
        own = self.feature_names
        if names is None or own is None or tuple(names) == own:
            return self
        order = permutation("the network", own, names)
        grid = self.grid
        if grid is not None:
            grid = replace(grid, offset=grid.offset[order], step=grid.step[order])
        first = Layer(self.layers[0].weights[:, order], self.layers[0].bias)
        return replace(self, layers=(first, *self.layers[1:]), grid=grid, feature_names=tuple(names))

    def _blocks(self, X: Reals) -> Iterator[tuple[slice, Floats]]:
        """Yield checked inputs as doubles, in blocks of rows so that no matrix of a whole data set arises."""
        for rows in row_blocks(len(X), max(self.n_features, *self.widths)):
            yield rows, X[rows].astype(np.float64, copy=False)

    def _hidden(self, X: Floats) -> tuple[list[Floats], int]:
        """Return the inputs of every layer, and how many signs needed rational arithmetic."""
        signals, n_rational = [X if self.grid is None else self.grid.quantize(X)], 0
        for weights, bias in self.layers[:-1]:
            out = signs.affine(signals[-1], _floats(weights), _floats(bias))
            signals.append((out.values >= 0).astype(np.float64))
            n_rational += out.n_rational
        return signals, n_rational

    def activations(self, X: ArrayLike) -> list[NDArray[np.uint8]]:
        """Return what the thresholded layers fire on X.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Raw inputs.

        Returns
        -------
        list of ndarray of shape (m, d_k), uint8
            One array per thresholded layer: all layers with a threshold head, all but the last with an argmax head.
        """
        values = self.check_inputs(X)
        widths = self.widths if self.head == "threshold" else self.widths[:-1]
        fired = [np.empty((len(values), width), dtype=np.uint8) for width in widths]
        for rows, block in self._blocks(values):
            signals, _ = self._hidden(block)
            for layer, signal in zip(fired, signals[1:], strict=False):
                layer[rows] = signal
            if self.head == "threshold":
                fired[-1][rows] = self._outputs(signals[-1]).values >= 0
        return fired

    def _outputs(self, signal: Floats) -> signs.Affine:
        return signs.affine(signal, *(_floats(a) for a in self.layers[-1]))

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the pre-activations of the output layer, rounded to doubles, with exact signs.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Raw inputs.

        Returns
        -------
        ndarray of shape (m,) or (m, n_classes)
            One value per point for a single output, else one per class.
        """
        inputs = self.check_inputs(X)
        values = np.empty((len(inputs), self.widths[-1]))
        for rows, block in self._blocks(inputs):
            values[rows] = self._outputs(self._hidden(block)[0][-1]).values
        return values[:, 0] if values.shape[1] == 1 else values

    def predict_index(self, X: ArrayLike) -> Indices:
        """Return the index into `classes` of the predicted class of each row of X, shape (m,)."""
        inputs = self.check_inputs(X)
        index = np.empty(len(inputs), dtype=np.intp)
        for rows, block in self._blocks(inputs):
            last = self._hidden(block)[0][-1]
            if self.widths[-1] == 1:
                index[rows] = self._outputs(last).values[:, 0] >= 0
            else:
                index[rows] = signs.largest(last, *(_floats(a) for a in self.layers[-1]))[0]
        return index

    def predict(self, X: ArrayLike) -> Array:
        """Return the predicted labels.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Raw inputs.

        Returns
        -------
        ndarray of shape (m,)
            Elements of `classes`.

        Raises
        ------
        InputError
            If X has the wrong shape or is not finite.
        """
        labels: Array = self.classes[self.predict_index(X)]
        return labels

    def to_integer(
        self,
        X: ArrayLike,
        *,
        input_bits: int = 8,
        weight_bound: int | None = None,
        time_limit: float = 10.0,
        keep_signs: bool = False,
    ) -> Network:
        """Return a network of small integers with the same activations and predictions on X.

        The largest weight P of each layer, which `size_bytes` depends on, is the smallest that was found; it is the
        smallest there is only where a lower bound meets it. `bdnn.rounding.rounded` returns these bounds.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Points whose decisions are kept, at least one. If they are not all integers and the network has no grid, the
            network gets the grid that spans them; at other inputs predictions may differ.
        input_bits : int
            Bits per input of that grid, 1 to 16.
        weight_bound : int or None
            Largest absolute weight that is accepted; None for any.
        time_limit : float
            Seconds for the search. Checks of all points are not interrupted.
        keep_signs : bool
            Whether weights keep their signs or become 0, and those that are 0 stay 0, so that ``max_features`` and
            ``monotonic`` of the training still hold; the smallest weights may be larger then.

        Returns
        -------
        Network
            Verified exactly. A network of integers never gets larger weights.

        Raises
        ------
        RoundingError
            If there is no such network, or none was found; the message says where and why.
        InputError
            If X does not fit or a setting is not as described.

        References
        ----------
        docs/mathematics/polish.md states the method.

        Examples
        --------
        >>> net = Network([([[0.51, 0.26]], [-0.4])], head="threshold", classes=[0, 1])
        >>> net.to_integer([[0, 0], [0, 1], [1, 0], [1, 1]]).layers[0].weights.tolist()
        [[1, 0]]
        """
        return _rounding[0](self, X, input_bits, weight_bound, time_limit, keep_signs)

    def losses(self, X: ArrayLike, codes: Sequence[int] | Indices) -> tuple[Indices, int]:
        """Return the unweighted training loss of each point, and the number of rational evaluations it took.

        Parameters
        ----------
        X : array-like of shape (m, n_features)
            Raw inputs.
        codes : array-like of shape (m,)
            Index into `classes` of each point's label.

        Returns
        -------
        losses : ndarray of shape (m,)
            Threshold head: number of outputs that differ from the target. Argmax head: 1 if misclassified, else 0.
        n_rational : int
            Number of signs decided by rational arithmetic.
        """
        values = self.check_inputs(X)
        y = np.asarray(codes)
        if y.shape != (len(values),) or y.dtype.kind not in "iu":
            raise InputError(f"codes must be integers of shape ({len(values)},), got {y.dtype} of shape {y.shape}")
        losses, n_rational = np.empty(len(values), dtype=np.intp), 0
        for rows, block, more in self.losses_by_block(values, y):
            losses[rows] = block
            n_rational += more
        return losses, n_rational

    def losses_by_block(self, X: Reals, codes: Indices) -> Iterator[tuple[slice, Indices, int]]:
        """Yield the losses block by block; for finite inputs and codes that fit, which is not checked.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            As `check_inputs` returns them.
        codes : ndarray of shape (m,)
            Index into `classes` of each point's label.

        Yields
        ------
        rows : slice
            Some of the points, all in turn.
        losses : ndarray
            Of these points; see `losses`.
        n_rational : int
            Number of signs of these points decided by rational arithmetic.
        """
        for rows, block in self._blocks(X):
            signals, n_rational = self._hidden(block)
            if self.head == "argmax":
                winners, more = signs.largest(signals[-1], *(_floats(a) for a in self.layers[-1]))
                losses = self.loss.of_winners(winners, codes[rows])
            else:
                fires, more = (out := self._outputs(signals[-1])).values >= 0, out.n_rational
                losses = self.loss.of_fired(fires, codes[rows])
            yield rows, losses, n_rational + more


def _floats(a: Array) -> Floats:
    return a.astype(np.float64, copy=False)
