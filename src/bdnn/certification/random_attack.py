"""A quick search for small perturbations that change a decision: no proof, but a figure beside the certified one.

Every input that is returned has been decided otherwise by the network itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bdnn.certification.adversarial import adversarial_classes
from bdnn.certification.attacker import check_points, integer_features, perturbations
from bdnn.certification.directions import attack_along_directions
from bdnn.certification.limits import Stopped
from bdnn.certification.linear import search_half_space
from bdnn.certification.mixed_integer_point import point_at
from bdnn.checks import radius_limit
from bdnn.errors import InputError
from bdnn.labels import label_codes

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Floats

_NODES = 512  # nodes of a search for one class without hidden layers: an attack is to be quick rather than nearest


class Attacks(NamedTuple):
    """Attacked inputs.

    Attributes
    ----------
    inputs : ndarray of shape (m, n)
        Inputs that are decided otherwise, NaN where none was found.
    distance : ndarray of shape (m,)
        Their distances from the points, rounded up; inf where none was found.
    """

    inputs: Floats
    distance: Floats


def attack(
    network: Network,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    radius: float | None = None,
    norm: str = "inf",
    scale: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    frozen: ArrayLike | None = None,
    integer: ArrayLike = False,
    seed: int = 0,
    restarts: int = 32,
) -> Attacks:
    """Search for small perturbations that change the decisions of a network.

    Parameters
    ----------
    network : Network
        Trained.
    X : array-like of shape (m, n_features)
        Points.
    y : array-like of shape (m,) or None
        Their labels: a point that is predicted wrong is its own attack. None: the predictions are to change.
    radius : float or None
        Distance up to which attacks count; None for any.
    norm, scale, lower, upper, frozen, integer : optional
        What an attacker may do, as for `bdnn.certify`.
    seed : int
        Seed of the random directions.
    restarts : int
        Directions per point.

    Returns
    -------
    Attacks
        The nearest input found for each point.

    Raises
    ------
    InputError
        If the data or a setting is not as described.

    Examples
    --------
    >>> from bdnn import Network
    >>> net = Network([([[1.0, 1.0]], [-1.0]), ([[1.0]], [-1.0])], head="threshold", classes=["no", "yes"])
    >>> attack(net, [[0.0, 0.5]]).distance.round(6).tolist()
    [0.25]
    """
    points = np.ascontiguousarray(network.check_inputs(X), dtype=np.float64)
    allowed = perturbations(network, norm, scale, lower, upper, frozen)
    check_points(allowed, points)
    integers = integer_features(network, integer, points)
    limit = radius_limit(radius)
    if isinstance(restarts, bool) or not isinstance(restarts, int | np.integer) or restarts < 1:
        raise InputError(f"restarts must be a positive integer, got {restarts!r}")
    codes = network.predict_index(points)
    wrong = np.zeros(len(points), dtype=bool) if y is None else codes != label_codes(network.classes, y, len(points))
    inputs, distance = np.full(points.shape, np.nan), np.full(len(points), np.inf)
    rng = np.random.default_rng(seed)
    for i, x in enumerate(points):
        if wrong[i]:
            inputs[i], distance[i] = x, 0.0
            continue
        code = int(codes[i])
        if len(network.layers) > 1:
            point = point_at(network, allowed, integers, x, code, limit, lambda _: None)
            attack_along_directions(point, rng, int(restarts))
            tried = [point.evidence]
        else:
            # without a hidden layer the nearest attack has a closed form, or with integers is soon found
            tried = []
            for adversary in adversarial_classes(network, code):
                pause = _pause(_NODES)
                point = point_at(network, allowed, integers, x, code, limit, pause, adversary.plane())
                tried.append(point.evidence)
                with suppress(Stopped):
                    search_half_space(point, adversary)
        best = min(tried, key=lambda one: one.distance)
        if best.attack is not None:
            inputs[i], distance[i] = best.attack, best.distance
    return Attacks(inputs, distance)


def _pause(most: int) -> Callable[[int], None]:
    """Return what ends a search after some nodes."""
    left = most

    def pause(nodes: int) -> None:
        nonlocal left
        left -= nodes
        if left < 0:
            raise Stopped

    return pause
