"""Networks without a hidden layer, and with one: which cells make the decision change, and the search among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bdnn._native.certify import CANDIDATE, DONE, LEAF, LIMIT, CellTree, SubsetTree
from bdnn.certification.directions import shoot
from bdnn.certification.mixed_point import WholePoint
from bdnn.certification.point import Plane, Point
from bdnn.certification.support import INF, UNIT, smallest_radii
from bdnn.network.network import Network
from bdnn.types import Floats

_GROWTH = 1.5
NODES_PER_CALL = 64
_HARD = 256  # nodes after which an attack is looked for in other ways, too
_MOST_DROPS = 6


class Rival(NamedTuple):
    """A class that may win: it does if Σ v z + beta >= 0, or > 0 if `strict`, for the bits z of the last hidden layer.

    Attributes
    ----------
    v : list of int or Fraction
        Weights.
    beta : int or Fraction
        Constant.
    strict : bool
        Whether a tie is lost.
    """

    v: Sequence[Any]
    beta: Any
    strict: bool

    def in_integers(self) -> Rival:
        """Return the same in integers, which are much faster to add."""
        factor = math.lcm(self.beta.denominator, *(v.denominator for v in self.v))
        return Rival([int(v * factor) for v in self.v], int(self.beta * factor), self.strict)

    def wins(self, z: Any) -> bool:
        """Whether the class wins for some bits."""
        score = self.beta + sum(v for v, bit in zip(self.v, z, strict=True) if bit)
        return score > 0 or (score == 0 and not self.strict)

    def wins_at(self, x: Floats) -> bool:
        """Whether the class wins for some values, where they are inputs."""
        pairs = zip(self.v, x.tolist(), strict=True)
        score = sum((v * Fraction(value) for v, value in pairs if v and value), Fraction(self.beta))
        return score > 0 or (score == 0 and not self.strict)


def rivals(network: Network, code: int) -> list[Rival]:
    """Return what makes an output other than `code` win, in exact numbers: integers for bits of hidden neurons."""
    found = _rivals(network, code)
    return found if len(network.layers) == 1 else [rival.in_integers() for rival in found]


def _rivals(network: Network, code: int) -> list[Rival]:
    weights, bias = network.layers[-1]
    rows = [[Fraction(w) for w in row] for row in weights.tolist()]
    constants = [Fraction(b) for b in bias.tolist()]
    if len(rows) == 1:
        # class 1 fires; class 0 must stay below 0
        return [Rival([-w for w in rows[0]], -constants[0], True) if code == 1 else Rival(rows[0], constants[0], False)]
    return [
        Rival([a - b for a, b in zip(rows[c], rows[code], strict=True)], constants[c] - constants[code], c > code)
        for c in range(len(rows))
        if c != code
    ]


def search_sets(point: Point, rival: Rival) -> float:
    """Search for inputs at which a class wins; return a radius that is proven, attacks are with the point.

    Parameters
    ----------
    point : Point
        Of a network with one hidden layer.
    rival : Rival
        The class.

    Returns
    -------
    float
        No input up to this distance, included, makes the class win, but for cells that the point has noted; inf if
        none at all does.
    """
    helpful = np.array([1 if v > 0 else -1 if v < 0 else 0 for v in rival.v])
    constant = ~np.any(point.W, axis=1)
    if not rival.wins(_bits(helpful, np.where(constant, (point.alpha >= 0) == (helpful > 0), True))):
        return math.inf
    if isinstance(point, WholePoint):
        point.try_steps()
    growth, end = _GROWTH, point.farthest
    start = point.first_change() if isinstance(point, WholePoint) else _knapsack(point, rival, helpful)
    first = radius = min(max(start * _GROWTH, 1e-9), 1e300) if start < math.inf else min(end, 1.0)
    point.floor = 0.0
    while True:
        # small radii first: they are quick, and what is proven stands if the time runs out
        radius = min(radius, end, point.radius)
        proven = _decide(point, rival, helpful, radius)
        point.floor = max(point.floor, proven)
        if proven >= point.radius or (point.fixed and point.attack is not None):
            return proven
        if point.distance == math.inf and (proven >= end or radius > 1e7 * first):
            return math.inf if proven >= end and point.least == math.inf else proven
        growth *= 1.2
        radius *= growth


def _knapsack(point: Point, rival: Rival, helpful: Any) -> float:
    """Return about the radius below which too few neurons can be helpful, by their own distances."""
    side = np.where(helpful >= 0, 1.0, -1.0)
    norm, low, high = point.allowed.norm, point.low, point.high
    reach = smallest_radii(norm, point.W * side[:, None], -point.alpha * side, low, high)
    for distance in np.unique(reach[reach < math.inf]).tolist():
        if rival.wins(_bits(helpful, reach <= distance)):
            return float(distance)
    return math.inf


def _decide(point: Point, rival: Rival, helpful: Any, radius: float) -> float:
    """Search at a radius, which shrinks with every attack found; return what is proven."""
    size = max((abs(v) for v in rival.v), default=0) or 1
    goal = -rival.beta - sum(v for v in rival.v if v < 0)
    norm = point.allowed.norm
    side = np.where(helpful >= 0, 1.0, -1.0)
    W, alpha = point.W * side[:, None], point.alpha * side
    reach, up, down = point.reaches(W, radius)
    n = len(point.columns)
    slack = 1.01 * point.error + 4.0 * (n + 20) * UNIT * (reach + np.abs(alpha)) + 1e-300
    surely, never = alpha - down > slack, alpha + up < -slack
    gains = [abs(v) for v in rival.v]
    missing = goal - sum(gains[i] for i in np.flatnonzero((helpful != 0) & surely).tolist())
    open_ = np.flatnonzero((helpful != 0) & ~surely & ~never)
    possible = sum(gains[i] for i in open_.tolist())
    if possible < missing or (possible == missing and rival.strict):
        return radius
    weight, need = np.array([float(gain / size) for gain in gains]), float(missing / size)
    v = weight[open_]
    band = 1e-12 * (float(v.sum()) + abs(need))
    low_goal, high_goal = need - band, need + band
    if _whole(rival):
        # sums are multiples of 1 / size: half of that separates those that win
        half = float(1 / (2 * size))
        low_goal = high_goal = need + (half if rival.strict else -half)
    if not len(open_):
        point.settle(np.zeros(len(alpha), bool), np.zeros(len(alpha), bool), radius)
        return radius
    unit = radius
    rho = np.maximum(reach[open_], 1e-300)
    scaled = alpha[open_] / rho
    error = point.error[open_] / rho + 4.0 * UNIT * np.abs(scaled)
    M = np.maximum(-(scaled - down[open_] / rho), 0.0) + error + 1e-11
    tree = SubsetTree(
        norm,
        point.spread(W[open_], rho, unit),
        scaled,
        error,
        M,
        v,
        (low_goal, high_goal),
        *point.box(radius, unit),
        *point.steps(unit),
    )
    stable_set = (helpful != 0) & surely
    while True:
        if (code := explored(point, tree)) == DONE:
            return radius
        chosen = np.zeros(len(alpha), dtype=bool)
        chosen[open_[tree.found]] = True
        if isinstance(point, WholePoint) and code != LIMIT:
            fire, rest = chosen & (helpful > 0), chosen & (helpful < 0)
            if point.improved(tree.solution, fire, rest, unit):
                if (rest_of := point.rest()) is not None:
                    # the steps were rounded, so that neurons may be in other states than in the program
                    real, fires = rest_of
                    chosen[open_] = np.where(fires, helpful > 0, helpful < 0)[open_]
                    _improve(real, chosen, helpful, weight, need)
                tree.reopen()  # the rest of the node is left
            elif code == LEAF and (tree.is_full or rival.wins(_bits(helpful, chosen | stable_set))):
                divide(point, tree, fire, rest, radius)
        elif code == CANDIDATE:
            _improve(point, chosen, helpful, weight, need)
        elif code == LEAF and rival.wins(_bits(helpful, chosen | stable_set)):
            point.settle(chosen & (helpful > 0), chosen & (helpful < 0), radius)
        if point.fixed and point.attack is not None:
            return 0.0
        radius = shrunk(point, tree, radius, unit)


def explored(point: Point, tree: SubsetTree | CellTree) -> int:
    """Go on with a tree; report, and shoot at what turns out to be hard; return why it stopped."""
    before = tree.nodes
    code = tree.explore(NODES_PER_CALL, point.pause)
    point.pause(tree.nodes - before)
    if code == LIMIT and point.attack is None and not point.shot and tree.nodes >= _HARD:
        point.shot = True
        shoot(point, np.random.default_rng(0), 64)
    return code


def shrunk(point: Point, tree: SubsetTree | CellTree, radius: float, unit: float) -> float:
    """Bring a tree down to the distance of the nearest attack, where that is asked for; return its radius."""
    if point.fixed or not point.radius < radius:
        return radius
    tree.shrink(*point.box(point.radius, unit))
    return point.radius


def divide(point: WholePoint, tree: SubsetTree | CellTree, on: Any, off: Any, radius: float) -> None:
    """Go on below a leaf that is feasible up to rounding, but whose input is no attack, or settle it."""
    if tree.is_full:
        point.settle(on, off, 0.0)
    elif not tree.branch_any():
        point.settle_steps(tree.lower, on, off, radius)


def _improve(point: Point, chosen: Any, helpful: Any, weight: Floats, need: float) -> None:
    """Find the nearest attack with a set of helpful neurons, and then without those that it does not need."""
    for _ in range(_MOST_DROPS):
        known = point.distance
        _, (factors, *_) = point.close(chosen & (helpful > 0), chosen & (helpful < 0))
        if (point.fixed and point.attack is not None) or not point.distance < known:
            return
        spare = float(weight[chosen].sum()) - need
        dropped = False
        for i in np.argsort(-factors):
            if chosen[i] and factors[i] > 0 and weight[i] < spare:
                chosen[i], dropped = False, True
                spare -= weight[i]
        if not dropped:
            return


def _bits(helpful: Any, chosen: Any) -> list[bool]:
    """Bits with the chosen neurons in their helpful state and all others not."""
    return [c == (h > 0) if h else False for h, c in zip(helpful.tolist(), chosen.tolist(), strict=True)]


def _whole(rival: Rival) -> bool:
    """Whether all numbers are integers small enough for half a unit to be seen in floats."""
    numbers = [*rival.v, rival.beta]
    return all(f.denominator == 1 for f in numbers) and sum(abs(f) for f in numbers) < 2**30


def search_alone(point: Point, rival: Rival) -> float:
    """Do the same for a network without hidden layer, where one half-space is all there is.

    Parameters
    ----------
    point : Point
        Whose only row is the linear form of `plane_of`.
    rival : Rival
        The class.

    Returns
    -------
    float
        As for `search_sets`.
    """
    if not np.any(point.W):
        return math.inf  # the form does not change, and the class does not win at the point
    if isinstance(point, WholePoint):
        if point.pure and point.allowed.norm == INF:
            return _search_corners(point, rival)
        # one neuron that fires where the form is not negative
        return search_sets(point, Rival([-1 if rival.strict else 1], 0 if rival.strict else -1, False))
    on = np.array([not rival.strict])
    end = point.radius if point.radius < math.inf else point.farthest
    proven, listed = point.close(on, ~on)
    if proven < min(end, point.radius) and (not point.fixed or point.attack is None):
        exact = any(point.excluded_exactly(on, ~on, factors, end) for factors in listed)
        point.doubtful |= point.fixed and not exact
        return end if exact else proven
    return proven


def plane_of(rival: Rival) -> Plane:
    """Return the linear form that must be >= 0, or < 0 if the rival loses ties."""
    sign = -1 if rival.strict else 1
    return Plane([Fraction(sign * v) for v in rival.v], Fraction(sign * rival.beta))


def _search_corners(point: WholePoint, rival: Rival) -> float:
    """Do the same for integers in norm inf: at a radius, the corner that favours the class decides, so bisect."""
    sides = np.array([1 if v > 0 else -1 if v < 0 else 0 for v in rival.v])[point.columns]

    def attacked(radius: float) -> bool:
        _, low, high = point.box(radius, 1.0)
        corner = np.where(sides > 0, high, np.where(sides < 0, low, 0.0))
        if not np.all(np.isfinite(corner)):
            return True
        integers = point.at.copy()
        integers[point.columns] += corner
        if not rival.wins_at(integers):
            return False
        point.offer(point.moved(corner))
        return True

    if point.fixed:
        return 0.0 if attacked(point.limit) else point.limit
    far, end = point.farthest, min(point.farthest, point.radius)  # of an attack of another class, less is asked for
    if not attacked(end):
        return math.inf if end == far else end
    low, high = 0.0, end if end < math.inf else max(point.first_change(), 1.0)
    while end == math.inf and not attacked(high):
        low, high = high, 2.0 * high
        if high == math.inf:
            return low
    inner, outer = point.box(low, 1.0)[1:], point.box(high, 1.0)[1:]
    while low < (middle := low + 0.5 * (high - low)) < high:
        reached = point.box(middle, 1.0)[1:]
        # the sums of a corner are rational, so only corners that are new are worth them
        if np.array_equal(reached, inner):
            low = middle
        elif np.array_equal(reached, outer) or attacked(middle):
            high, outer = middle, reached
        else:
            low, inner = middle, reached
    return low
