"""Networks without a hidden layer, where one half-space of inputs is all that makes a class win."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.adversarial import AdversarialClass
from bdnn.certification.one_layer import SubsetSearch
from bdnn.certification.support import INF

if TYPE_CHECKING:
    from bdnn.certification.point import Point


def search_half_space(point: Point, adversary: AdversarialClass) -> float:
    """Search for inputs at which a class wins; return a radius that is proven, attacks are noted in the evidence.

    Parameters
    ----------
    point : Point
        Whose only row is the plane of the class.
    adversary : AdversarialClass
        The class.

    Returns
    -------
    float
        No input up to this distance, included, makes the class win; inf if none at all does.
    """
    if not np.any(point.W):
        return math.inf  # the form does not change, and the class does not win at the point
    if point.integral and point.allowed.norm == INF:
        return _search_corners(point, adversary)
    proven = point.exclude_half_space(not adversary.strict)
    if proven is not None:
        return proven
    # one neuron that fires where the form is not negative
    neuron = AdversarialClass([-1 if adversary.strict else 1], 0 if adversary.strict else -1, False)
    return SubsetSearch(point, neuron).run()


def _search_corners(point: Point, adversary: AdversarialClass) -> float:
    """Search among integers in norm inf: at a radius, the corner that favors the class decides, so bisect."""
    signs = adversary.signs[point.columns]

    def attacked(radius: float) -> bool:
        _, low, high = point.box(radius, 1.0)
        corner = np.where(signs > 0, high, np.where(signs < 0, low, 0.0))
        if not np.all(np.isfinite(corner)):
            return True
        integers = point.at.copy()
        integers[point.columns] += corner
        if not adversary.wins_at(integers):
            return False
        point.offer(point.moved(corner))
        return True

    if point.fixed:
        return 0.0 if attacked(point.limit) else point.limit
    far, end = point.farthest, min(point.farthest, point.radius)  # of an attack of another class, less is asked for
    if not attacked(end):
        return math.inf if end == far else end
    low, high = 0.0, end if end < math.inf else max(point.first_radius(lambda: 1.0), 1.0)
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
