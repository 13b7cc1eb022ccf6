"""Networks with two or more hidden layers: the search over the bits of the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bdnn._native.certify import CANDIDATE, DONE, LEAF, LIMIT, CellTree, UpperLayers
from bdnn.certification.mixed_point import WholePoint
from bdnn.certification.one_layer import divide, explored, shrunk
from bdnn.certification.point import Point
from bdnn.certification.support import TWO, UNIT, smallest_radii
from bdnn.network.network import Network

_GROWTH = 1.5


def search_cells(point: Point) -> float:
    """Search for inputs that are decided otherwise; return a radius that is proven, attacks are with the point.

    Parameters
    ----------
    point : Point
        Of a network with hidden layers.

    Returns
    -------
    float
        No input up to this distance, included, is decided otherwise, but for cells that the point has noted; inf if
        none at all is.
    """
    upper = _upper(point)
    now = (point.alpha >= 0).astype(np.float64)
    constant = ~np.any(point.W, axis=1)
    if upper.constant(np.where(constant, now, 0.0), np.where(constant, now, 1.0)):
        return math.inf
    if isinstance(point, WholePoint):
        point.try_steps()
    side = np.where(now > 0, -1.0, 1.0)
    norm, low, high = point.allowed.norm, point.low, point.high
    nearest = (
        point.first_change()
        if isinstance(point, WholePoint)
        else float(smallest_radii(norm, side[:, None] * point.W, np.abs(point.alpha), low, high).min())
    )
    end, growth = point.farthest, _GROWTH
    first = radius = max(_GROWTH * nearest, 1e-9) if nearest < math.inf else min(end, 1.0)
    while True:
        # small radii first: they are quick, and what is proven stands if the time runs out
        radius = min(radius, end, point.radius)
        proven = _decide(point, upper, radius)
        point.floor = max(point.floor, proven)
        if proven >= point.radius or (point.fixed and point.attack is not None):
            return proven
        if point.distance == math.inf and (proven >= end or radius > 1e7 * first):
            return math.inf if proven >= end and point.least == math.inf else proven
        growth *= 1.2
        radius *= growth


def _upper(point: Point) -> UpperLayers:
    """Return the layers above the first as the kernels want them."""
    layers = point.network.layers[1:]
    numbers = [np.concatenate([w.ravel(), b]).astype(np.float64) for w, b in layers]
    exact = [bool(np.all(a == np.rint(a)) and np.abs(a).sum() < 2**50) for a in numbers]
    return UpperLayers(
        np.concatenate(numbers), np.array(point.network.widths, dtype=np.int64), np.array(exact), point.code
    )


def _decide(point: Point, upper: UpperLayers, radius: float) -> float:
    """Search at a radius, which shrinks with every attack found; return what is proven."""
    norm, n = point.allowed.norm, len(point.columns)
    reach, up, down = point.reaches(point.W, radius)
    slack = 1.01 * point.error + 4.0 * (n + 20) * UNIT * (reach + np.abs(point.alpha)) + 1e-300
    still = reach == 0.0
    on = np.where(still, point.alpha >= 0, point.alpha - down > slack)
    off = np.where(still, point.alpha < 0, point.alpha + up < -slack)
    bits = np.stack([on, ~off]).astype(np.float64)
    if upper.constant(bits[0], bits[1]):
        return radius
    open_ = np.flatnonzero(~on & ~off)
    tail = Network(point.network.layers[1:], point.network.head, point.network.classes)
    if not len(open_):
        if tail.predict_index(bits[:1])[0] != point.code:
            point.least = 0.0
            point.doubtful = True
        return radius
    rho = np.maximum(reach[open_], 1e-300)
    scaled = point.alpha[open_] / rho
    unit = radius
    tree = CellTree(
        norm,
        point.spread(point.W[open_], rho, unit),
        scaled,
        point.error[open_] / rho + 4.0 * UNIT * np.abs(scaled),
        upper,
        *point.box(radius, unit),
        open_,
        bits,
        np.abs(point.network.layers[1].weights[:, open_]).sum(axis=0).astype(np.float64) + 1e-9,
        *point.steps(unit),
    )
    while True:
        code = explored(point, tree)
        if code == DONE:
            return radius
        fire = _pattern(len(point.alpha), open_[tree.found == 1])
        rest = _pattern(len(point.alpha), open_[tree.found == 0])
        if isinstance(point, WholePoint) and code != LIMIT:
            if point.improved(tree.solution, fire, rest, unit):
                tree.reopen()  # the rest of the node is left
            elif code == LEAF and (
                tree.is_full or tail.predict_index(np.where(fire | on, 1.0, 0.0)[None, :])[0] != point.code
            ):
                divide(point, tree, fire, rest, radius)
        elif code == CANDIDATE:
            if norm != TWO or np.linalg.norm(tree.solution) <= (1.0 + 1e-3) * tree.ball:
                point.close(fire, rest)
        elif code == LEAF:
            pattern = np.where(fire | on, 1.0, 0.0)
            if tail.predict_index(pattern[None, :])[0] != point.code:
                point.settle(fire, rest, radius)
        if point.fixed and point.attack is not None:
            return 0.0
        radius = shrunk(point, tree, radius, unit)


def _pattern(d: int, chosen: Any) -> Any:
    pattern = np.zeros(d, dtype=bool)
    pattern[chosen] = True
    return pattern
