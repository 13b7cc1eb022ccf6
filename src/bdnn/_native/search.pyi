from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Reals = NDArray[np.float32] | NDArray[np.float64]
_Floats = NDArray[np.float64]

BLOCK: int
MOST_NEAR: int

class State:
    def __init__(
        self,
        X: _Reals,
        class_weight: _Reals,
        center: _Floats,
        unit: _Floats,
        reach: _Floats,
        widths: Sequence[int],
        argmax: bool,
        bound: int,
        intercept: bool,
        seed: int,
    ) -> None: ...
    @property
    def X(self) -> NDArray[Any]: ...
    @property
    def class_weight(self) -> NDArray[Any]: ...
    @property
    def center(self) -> _Floats: ...
    @property
    def unit(self) -> _Floats: ...
    @property
    def reach(self) -> _Floats: ...
    @property
    def width(self) -> NDArray[np.int64]: ...
    @property
    def w_from(self) -> NDArray[np.int64]: ...
    @property
    def b_from(self) -> NDArray[np.int64]: ...
    @property
    def W(self) -> _Floats: ...
    @property
    def b(self) -> _Floats: ...
    @property
    def doubt(self) -> _Floats: ...
    @property
    def U(self) -> NDArray[np.uint8]: ...
    @property
    def A(self) -> _Floats: ...
    @property
    def loss(self) -> _Floats: ...
    @property
    def sign(self) -> NDArray[np.int8]: ...
    @property
    def rng(self) -> NDArray[np.uint64]: ...
    @property
    def argmax(self) -> bool: ...
    @property
    def bound(self) -> int: ...
    @property
    def intercept(self) -> bool: ...

class RobustState:
    def __init__(
        self,
        state: State,
        low: _Reals,
        high: _Reals,
        radius: _Floats,
        reach: _Floats,
        norm: int,
        penalty: float,
        exact: bool,
    ) -> None: ...
    @property
    def state(self) -> State: ...
    @property
    def low(self) -> NDArray[Any]: ...
    @property
    def high(self) -> NDArray[Any]: ...
    @property
    def radius(self) -> _Floats: ...
    @property
    def reach(self) -> _Floats: ...
    @property
    def norm(self) -> int: ...
    @property
    def penalty(self) -> float: ...
    @property
    def exact(self) -> bool: ...
    @property
    def maybe(self) -> NDArray[np.uint8]: ...

class StraightThrough:
    def __init__(
        self, Z: _Reals, target: _Reals, weight: _Reals, widths: Sequence[int], argmax: bool, bound: int
    ) -> None: ...
    @property
    def values(self) -> NDArray[Any]: ...
    def steps(self, order: NDArray[np.int64], batch: int, rate: float) -> int: ...
    def loss(self) -> float: ...
    def rounded(self) -> tuple[NDArray[Any], NDArray[Any]]: ...

def improve_neuron(state: State, neuron: int, moves: int, spread: float, most: int) -> float:
    """Improve one neuron, all others fixed, by exact line searches over the points at which it matters.

    ``moves`` line searches, a share ``spread`` of them along random directions and Newton steps (integer weights: with
    random jumps of a few weights), the others along coordinates and the bias. If there are more than ``most`` points, a
    random part of them is used; then the change is kept only if the loss of all points does not grow. With no moves,
    everything is brought up to date after a change of the neuron (-1: of all). Return the change of the total loss,
    never positive but for rounding.
    """

def improve_neurons(
    state: State,
    neurons: NDArray[np.int64],
    moves: NDArray[np.int64],
    spread: float,
    most: int,
    total: float,
    best: float,
    W: _Floats,
    b: _Floats,
) -> tuple[float, float]:
    """Improve several neurons, one after the other, and keep the best network.

    ``total`` and ``best`` are the loss of the network and the least so far; ``W`` and ``b`` receive weights and biases
    whenever the loss is less than that. Return both as they are now.
    """

def gains(
    state: State,
    neuron: int,
    first: int,
    step: int,
    active: NDArray[np.int32],
    g: _Floats,
    offset: _Floats,
) -> int:
    """Find the points at which a neuron matters, among first, first + step, ...

    ``active``, ``g`` and ``offset`` receive the points, their gains (loss of firing less loss of not firing) and, for
    outputs of an argmax head, the scores to beat; they have room for all points looked at. Return how many there are.
    """

def line_sums(state: State, neuron: int, directions: _Floats, axes: _Floats, before: _Floats, sums: _Floats) -> None:
    """Add what happens along lines of a neuron to sums by bucket, from the points of a state.

    ``directions`` are the changes of weights and, last, of the bias, one line each, and ``axes`` scale, low end and
    buckets per unit of each line's axis ``u = t / (scale + abs(t))``. ``before`` receives the objective at t = -inf
    less that at t = 0, and ``sums`` the positive and the negative jumps in each bucket; both are added to.
    """

def line_breakpoints(
    state: State, neuron: int, direction: _Floats, axis: _Floats, wanted: NDArray[np.uint8]
) -> tuple[_Floats, _Floats, _Floats]:
    """Return the breakpoints in some buckets of a line, as `line_sums` has them: ascending t, and the jumps at each."""

def line_search(
    a: _Floats, s: _Floats, g: _Floats, integer: bool, rng: NDArray[np.uint64]
) -> tuple[float, float, float]:
    """Minimize ``sum of g_i [a_i + t s_i >= 0]`` over t, exactly.

    Return the best objective less that of t = 0, and the best interval, of equally good ones a random one:
    ``left < t < right``, or ``left <= t < right`` for integers. The outer ones are infinite.
    """

def lattice_search(
    a: _Floats, s: _Floats, g: _Floats, t_min: float, t_max: float, rng: NDArray[np.uint64]
) -> tuple[float, float]:
    """As `line_search` for few integer t: return the change and the best t in [t_min, t_max]."""

def improve_robust_neuron(state: RobustState, neuron: int, moves: int, spread: float) -> float:
    """Improve one neuron of a network under robust search, all others fixed; as `improve_neuron`."""

def toward(
    X: _Reals,
    center: _Floats,
    unit: _Floats,
    features: NDArray[np.int64],
    points: NDArray[np.int32],
    a: _Floats,
    g: _Floats,
    width: float,
    start: int,
    ridge: float,
) -> _Floats:
    """Return the direction of a Newton step of the smoothed loss: changes of the weights and, last, of the bias."""

def integer_neurons(
    X: NDArray[np.int32],
    gain: NDArray[np.int32],
    low: NDArray[np.int32],
    high: NDArray[np.int32],
    weights: NDArray[np.int32],
    found: NDArray[np.int64],
    least: int,
    count: int,
    nonzero: bool,
) -> tuple[bool, int]:
    """Go through integer weights of one neuron, each with its best bias.

    ``X`` holds the points by input, of shape (n, p), ``gain`` what firing costs more than not firing at each; the
    objective is the sum of the gains of the points that fire. ``weights``, from ``low`` to ``high``, is where to begin,
    and becomes where to go on after ``count`` of them. Where the objective is below ``least``, weights and, last, bias
    are written into ``found``. With ``nonzero``, weights of 0 are left out. Return whether weights are left, and the
    least objective.
    """

def halfspaces(
    X: _Floats, gain: NDArray[np.int64], inside: NDArray[np.uint8], least: int, proceed: Callable[[], bool] | None
) -> tuple[bool, int]:
    """Look at all ways in which a halfspace divides points with one to four coordinates.

    ``X`` holds the points by coordinate, of shape (n, p); they must span the space. ``gain`` is what it costs that a
    point is inside, less what it costs that it is outside; the objective is the sum of the gains inside. Where it is
    below ``least``, ``inside`` becomes 1 at the points of the best halfspace and 0 at the others. ``proceed`` is asked
    about every 10 ms whether to go on. Return whether all were seen, and the least objective.
    """
