"""Certification of many points: checks, limits, progress and threads around the searches."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.certification.attacker import Perturbations, check_points, perturbations
from bdnn.certification.deep import search_cells
from bdnn.certification.lattice import on_lattice
from bdnn.certification.mixed_point import integer_features, point_at
from bdnn.certification.one_layer import plane_of, rivals, search_alone, search_sets
from bdnn.certification.point import Clock, Plane, Point, Stopped
from bdnn.certification.result import Certification
from bdnn.checks import label_codes, radius_limit, thread_count
from bdnn.clock import reading
from bdnn.errors import InputError
from bdnn.network.network import Network
from bdnn.status import Progress, ProgressCallback
from bdnn.types import Array, Floats

_EVERY = 0.2
_DIGITS = 1e-6


@dataclass
class _Outcome:
    """What is known of a point."""

    radius: float = 0.0
    attack: Floats | None = None
    distance: float = math.inf
    decided: bool = False
    seconds: float = 0.0
    nodes: int = 0


@dataclass
class _Run:
    """What the threads share."""

    budget: Budget
    listener: ProgressCallback | None
    outcomes: list[_Outcome]
    nodes: int = 0
    last: float = -math.inf
    stopped: bool = False
    done: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, nodes: int) -> None:
        """Count nodes of a thread, tell the listener, one thread at a time, and stop where that is wanted."""
        with self.lock:
            self.nodes += nodes
            counted = self.nodes
            spent = self.budget.nodes is not None and counted >= self.budget.nodes
            if self.stopped or spent or self.budget.exhausted:
                raise Stopped
            now = reading()
            if self.listener is None or now - self.last < _EVERY:
                return
            self.last = now
            broken = sum(self.outcomes[i].distance < math.inf for i in self.done)
            proven = sum(self.outcomes[i].decided and self.outcomes[i].distance == math.inf for i in self.done)
            m = len(self.outcomes)
            phase = f"{len(self.done)} of {m} points"
            self.listener(Progress(self.budget.elapsed, float(m - proven), float(broken), counted, phase))


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
    frozen: Any = None,
    integer: Any = False,
    budget: Budget | None = None,
    point_time_limit: float = 60.0,
    n_jobs: int | None = 1,
    on_progress: ProgressCallback | None = None,
) -> Certification:
    """Decide exactly whether perturbations of inputs change the decisions of a network.

    Every claim is proven with bounded rounding errors or in rational arithmetic, over all real inputs; every attack is
    an input of doubles that the network itself decides otherwise.

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
        Threads, counted as joblib counts: None means 1, -1 all processors that may be used, -2 all but one.
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
            f"network must be a bdnn.Network, got {type(network).__name__}; take clf.network_ of an estimator"
        )
    points = np.ascontiguousarray(network.check_inputs(X), dtype=np.float64)
    limit = radius_limit(radius)
    allowed = perturbations(network, norm, scale, lower, upper, frozen)
    check_points(allowed, points)
    integers = integer_features(network, integer, points)
    if isinstance(point_time_limit, bool) or not isinstance(point_time_limit, Real) or not point_time_limit > 0:
        raise InputError(f"point_time_limit must be a positive number of seconds, got {point_time_limit!r}")
    threads = thread_count(n_jobs)
    codes = network.predict_index(points)
    clean = np.ones(len(points), dtype=bool) if y is None else codes == label_codes(network.classes, y, len(points))
    run = _Run((budget or Budget()).start(), on_progress, [_Outcome() for _ in points])
    interrupted = False
    try:
        jobs = min(threads, max(len(points), 1))

        def work(i: int) -> None:
            if not run.stopped:
                run.outcomes[i] = _decided(
                    network, allowed, integers, points[i], int(codes[i]), bool(clean[i]), limit, run, point_time_limit
                )
                run.done.append(i)

        _for_all(work, len(points), jobs, run)
    except KeyboardInterrupt:
        run.stopped = interrupted = True
    return _collected(points, clean, run.outcomes, radius, str(norm), interrupted)


def _for_all(work: Callable[[int], None], count: int, jobs: int, run: _Run) -> None:
    if jobs == 1:
        for i in range(count):
            work(i)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="bdnn-certify") as pool:
        try:
            left = {pool.submit(work, i) for i in range(count)}
            while left:  # short waits, so that Ctrl-C is noticed
                done, left = wait(left, timeout=0.1, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
        except BaseException:
            run.stopped = True  # else the pool waits for the points that are being worked on
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _decided(
    network: Network,
    allowed: Perturbations,
    integers: Array,
    x: Floats,
    code: int,
    clean: bool,
    limit: float,
    run: _Run,
    seconds: float,
) -> _Outcome:
    """Decide one point, as far as the limits allow."""
    began = reading()
    if not clean:
        return _Outcome(0.0, x.copy(), 0.0, True)
    if limit == 0:
        return _Outcome(0.0, None, math.inf, True)  # a right point alone
    clock = Clock(began + seconds, run.report)
    hidden, finished = len(network.layers) - 1, True
    others = rivals(network, code) if hidden < 2 else []
    attack, distance, proven, doubtful, least = None, math.inf, math.inf, False, math.inf

    def started(plane: Plane | None = None) -> Point:
        return point_at(network, allowed, integers, x, code, limit, clock, plane)

    point, floor = started() if hidden else None, 0.0
    try:
        clock(0)
        if point is not None and hidden == 1:
            for rival in others:
                proven = min(proven, search_sets(point, rival))
                if point.fixed and point.attack is not None:
                    break
        elif point is not None:
            proven = search_cells(point)
        for rival in others if point is None else []:
            one = started(plane_of(rival))
            one.attack, one.distance = attack, distance
            try:
                proven = min(proven, search_alone(one, rival))
            finally:
                attack, distance, doubtful = one.attack, one.distance, doubtful or one.doubtful
                least, floor = min(least, one.least), one.floor
            if one.fixed and attack is not None:
                break
    except Stopped:
        # what was proven against one of several classes says nothing of the others
        finished, proven = False, 0.0 if len(others) > 1 else floor if point is None else point.floor
    if point is not None:
        attack, distance, doubtful, least = point.attack, point.distance, point.doubtful, point.least
    radius = min(proven, least)
    if limit < math.inf:
        decided = attack is not None or (finished and not doubtful)
        radius = 0.0 if attack is not None or not decided else limit
    else:
        decided = finished and (distance <= radius * (1.0 + _DIGITS) or radius == math.inf)
        radius = min(radius, distance)
        if network.grid is not None or np.any(integers & allowed.free):
            # of all planes at once, as any of them may decide
            radius, exact = on_lattice(point or started(), radius, attack)
            decided = decided or exact
    return _Outcome(radius, attack, distance, decided, reading() - began, clock.nodes)


def _collected(
    points: Floats,
    clean: Array,
    outcomes: list[_Outcome],
    asked: float | None,
    norm: str,
    interrupted: bool,
) -> Certification:
    for i in np.flatnonzero(~clean).tolist():
        outcomes[i] = _Outcome(0.0, points[i].copy(), 0.0, True)  # known without any search
    radius = np.array([o.radius for o in outcomes])
    distance = np.array([o.distance for o in outcomes])
    decided = np.array([o.decided for o in outcomes], dtype=bool)
    attack = np.full(points.shape, np.nan)
    for i, o in enumerate(outcomes):
        if o.attack is not None:
            attack[i] = o.attack
    robust = clean.copy() if asked is None else decided & (distance == np.inf)
    return Certification(
        robust=robust,
        undecided=~decided,
        radius=radius,
        attained=(distance == radius) & np.isfinite(distance),
        attack=attack,
        distance=distance,
        clean=clean,
        seconds=np.array([o.seconds for o in outcomes]),
        nodes=np.array([o.nodes for o in outcomes], dtype=np.int64),
        asked=None if asked is None else float(asked),
        norm=norm,
        interrupted=interrupted,
    )
