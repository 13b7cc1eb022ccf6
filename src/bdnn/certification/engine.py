"""Certification of points: checks of what is asked, and the searches that answer it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.certification.adversarial import Plane, adversarial_classes
from bdnn.certification.attacker import Perturbations, check_points, integer_features, perturbations
from bdnn.certification.deep import CellSearch
from bdnn.certification.limits import Clock, Stopped
from bdnn.certification.linear import search_half_space
from bdnn.certification.many_points import collected, decided
from bdnn.certification.mixed_integer_point import point_at
from bdnn.certification.one_layer import SubsetSearch
from bdnn.certification.result import Certification
from bdnn.certification.verdict import Evidence, Verdict
from bdnn.checks import radius_limit, thread_count
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.labels import label_codes
from bdnn.network.network import Network
from bdnn.status import ProgressCallback

if TYPE_CHECKING:
    from bdnn.certification.point import Point
    from bdnn.types import Bools, Floats, Indices


def certify(
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
    budget: Budget | None = None,
    point_time_limit: float = 60.0,
    n_jobs: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> Certification:
    """Decide exactly whether perturbations of inputs change the decisions of a network.

    Every claim is proven with bounded rounding errors or in rational arithmetic, over all real inputs; every attack is
    an input of doubles for which the network itself decides differently.

    Parameters
    ----------
    network : Network
        Trained.
    X : array-like of shape (m, n_features)
        Points.
    y : array-like of shape (m,) or None
        Their labels: a point that is predicted wrong is not robust. None: the predictions must not change.
    radius : float or None
        Decide whether an input within this distance, included, changes the decision; None: find the smallest
        perturbation of each point.
    norm : {"inf", "1", "2"}
        Norm of δ / scale.
    scale : array-like of shape (n_features,), number or None
        Units of the perturbation of each feature, positive; None for 1.
    lower, upper : array-like of shape (n_features,), number or None
        Bounds that perturbed inputs keep to, as the points do.
    frozen : array-like or None
        Features that an attacker cannot change: a mask, indices or names.
    integer : bool or array-like
        Features that are integers and stay so, as those of the points must be: all, none, a mask, indices or names.
    budget : Budget or None
        Limits of the whole run; points that are not reached are undecided.
    point_time_limit : float
        Seconds for a point.
    n_jobs : int or None
        Points that are decided at the same time, counted as joblib counts: None means what `joblib.parallel_config`
        says or else 1, -1 all processors that may be used, -2 all but one. They are decided by threads, unless
        `joblib.parallel_config` names processes or a cluster.
    on_progress : callable or None
        Receives a `bdnn.status.Progress` several times a second: as objective the points not yet proven robust, as
        bound those with an attack.

    Returns
    -------
    Certification
        Verdicts by point. Ctrl-C ends the run early and leaves the rest undecided.

    Raises
    ------
    InputError
        If the data or a setting is not as described.

    References
    ----------
    M. Fischetti and J. Jo, doi:10.1007/s10601-018-9285-6 (the mixed-integer program that the search replaces).

    Examples
    --------
    >>> from bdnn import Network, certify
    >>> net = Network([([[1.0, 1.0]], [-1.0])], head="threshold", classes=["no", "yes"])
    >>> found = certify(net, [[1.0, 1.0], [0.0, 0.5]])
    >>> found.radius.round(6).tolist(), found.robust.tolist()
    ([0.5, 0.25], [True, True])
    """
    if not isinstance(network, Network):
        raise InputError(
            f"network must be a bdnn.Network, got {type(network).__name__}; use clf.network_ of an estimator"
        )
    points = np.ascontiguousarray(network.check_inputs(X), dtype=np.float64)
    limit = radius_limit(radius)
    allowed = perturbations(network, norm, scale, lower, upper, frozen)
    check_points(allowed, points)
    integers = integer_features(network, integer, points)
    seconds = point_seconds(point_time_limit)
    threads = thread_count(n_jobs)
    codes = network.predict_index(points)
    clean = right_points(network, codes, y)
    asked = _Points(points, codes, Question(network, allowed, integers, limit, seconds))
    verdicts, interrupted = decided(points, clean, asked, budget, threads, on_progress)
    return collected(points, clean, verdicts, radius, str(norm), interrupted)


def point_seconds(limit: float) -> float:
    """Return the seconds for a point, or raise InputError."""
    if isinstance(limit, bool) or not isinstance(limit, Real) or not limit > 0:
        raise InputError(f"point_time_limit must be a positive number of seconds, got {limit!r}")
    return float(limit)


def right_points(network: Network, codes: Indices, y: ArrayLike | None) -> Bools:
    """Return which points are predicted right, all without labels."""
    return np.ones(len(codes), dtype=bool) if y is None else codes == label_codes(network.classes, y, len(codes))


@dataclass(frozen=True)
class _Points:
    """A question to points."""

    points: Floats
    codes: Indices
    question: Question

    def answer(self, i: int, report: Callable[[int], None]) -> Verdict:
        """Decide one point."""
        return self.question.answer(self.points[i], int(self.codes[i]), report)


@dataclass(frozen=True)
class Question:
    """What is asked of every point."""

    network: Network
    allowed: Perturbations
    integers: Bools
    limit: float
    seconds: float

    def answer(self, x: Floats, code: int, report: Callable[[int], None]) -> Verdict:
        """Decide one point that is right, as far as the limits allow."""
        began = reading()
        if self.limit == 0:
            return Verdict(0.0, None, math.inf, True)
        clock, evidence = Clock(began + self.seconds, report), Evidence()

        def point(plane: Plane | None = None) -> Point:
            return point_at(self.network, self.allowed, self.integers, x, code, self.limit, clock, plane, evidence)

        hidden = len(self.network.layers) - 1
        classes = adversarial_classes(self.network, code) if hidden < 2 else []
        proven, finished, first_layer = math.inf, True, point() if hidden else None
        try:
            clock(0)
            if first_layer is not None and hidden > 1:
                proven = CellSearch(first_layer).run()
            for adversary in classes:
                proven = min(
                    proven,
                    search_half_space(point(adversary.plane()), adversary)
                    if first_layer is None
                    else SubsetSearch(first_layer, adversary).run(),
                )
                if self.limit < math.inf and evidence.attack is not None:
                    break
        except Stopped:
            # what was proven against one of several classes says nothing of the others
            finished, proven = False, 0.0 if len(classes) > 1 else evidence.floor
        if self.limit < math.inf:
            return evidence.within(self.limit, finished, clock.nodes, reading() - began)
        verdict = evidence.smallest(proven, finished, clock.nodes, reading() - began)
        if self.network.grid is None and not np.any(self.integers & self.allowed.free):
            return verdict
        # of all planes at once, as any of them may decide
        radius, exact = (first_layer or point()).lattice_radius(verdict.radius)
        return replace(verdict, radius=radius, decided=verdict.decided or exact, seconds=reading() - began)
