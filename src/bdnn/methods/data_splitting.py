"""Iterative data splitting (J. Kurtz and B. Bah, arXiv:2110.11382): points of a cluster share their activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bdnn.backends import backend
from bdnn.backends.threads import NODE_LIMIT, TIME_LIMIT
from bdnn.formulations import clusters as clustered
from bdnn.formulations import robust
from bdnn.libraries import limited_threads
from bdnn.methods.block_steps import shrink_penalty
from bdnn.methods.incumbents import submit_given, submit_incumbents
from bdnn.methods.method import INCUMBENTS, Ending, TrainingMethod
from bdnn.methods.milp_run import solve_into, too_large
from bdnn.methods.starts import constant
from bdnn.network.intervals import robust_losses
from bdnn.problem.problem import Problem
from bdnn.result import Incumbent
from bdnn.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdnn.backends.protocol import Backend
    from bdnn.budget import Budget
    from bdnn.formulations.model import TrainingModel
    from bdnn.methods.candidate import Candidate
    from bdnn.methods.run import Run
    from bdnn.network.network import Network
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices

SPLITTERS = ("kmeans", "svm")
INITIAL_CLUSTERS = ("one", "class")

# starts of k-means: a split is cheap beside the program that follows
_RESTARTS = 25
# share of a program's time for the hulls of clusters, which only tighten it, and the most seconds that they may take
_HULL_SHARE, _HULL_SECONDS = 0.05, 10.0
# the smallest spread of a feature that is scaled to 1
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class DataSplitting(TrainingMethod):
    """Solve with clusters of points that share all activations, and split the cluster with the largest loss, in turn.

    The paper calls the model exact once every cluster with a loss is a single point. That is not enough: a cluster
    without loss still binds the network, and splitting it can lower the loss of others. So this method goes on, with
    the largest cluster, and claims optimality only when every cluster is a single point, or the loss is irreducible.

    Parameters
    ----------
    solver : str, default="auto"
        Name of a back-end; "auto" takes the fastest installed one that can do what is needed.
    max_splits : int, default=20
        Splits; one more program is solved.
    splitter : {"kmeans", "svm"}, default="kmeans"
        How a cluster is divided: k-means with k = 2, or a linear support-vector machine between its points that are
        classified right and wrong (k-means where there is only one kind).
    batch_size : int or None, default=None
        Random points used in each program; None for all.
    initial_clusters : {"one", "class"}, default="one"
        One cluster, or one per class.
    incumbents : {"search", "none"}, default="search"
        "search" begins with a short local search, from whose network the first program starts; "none" is the paper's
        method.

    Notes
    -----
    A limit on nodes holds for all programs together. The history of the result has an entry for each iteration.

    References
    ----------
    J. Kurtz and B. Bah, arXiv:2110.11382, iterative data splitting.
    """

    name = "data_splitting"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "splitter": SPLITTERS,
        "incumbents": INCUMBENTS,
        "initial_clusters": INITIAL_CLUSTERS,
    }
    counts: ClassVar[Mapping[str, Sequence[object]]] = {"max_splits": (0,), "batch_size": (None,)}

    solver: str = "auto"
    max_splits: int = 20
    splitter: str = "kmeans"
    batch_size: int | None = None
    initial_clusters: str = "one"
    incumbents: str = "search"

    def _check(self, problem: Problem, budget: Budget) -> None:
        backend(self.solver, problem)

    def _train(self, run: Run, start: Network | None) -> Ending:
        solver = backend(self.solver, run.problem)
        state = Splitting(run, solver, self)
        if self.incumbents == "none":
            submit_given(run, start)
        elif submit_incumbents(run, start):
            state.start_from(run.best)
        step = self._iterate(run, state)
        interrupted = step.interrupted
        if run.problem.regularization == "lexicographic" and not interrupted:
            interrupted = shrink_penalty(run, solver)
        if not run.n_solved and not run.closed:
            run.fell_short("no program was solved")
        return Ending(step.message, interrupted)

    def _iterate(self, run: Run, state: Splitting) -> Step:
        """Solve and split until a limit is reached or nothing is left to do."""
        splits = self.max_splits
        for iteration in range(splits + 1):
            if run.closed:
                return Step(message="nothing left to improve")
            if run.budget.exhausted:
                return Step(message=TIME_LIMIT)
            if run.out_of_nodes:
                return Step(message=NODE_LIMIT)
            step = state.solve(splits + 1 - iteration)
            if step.scope is not None:
                run.covers(step.scope)
            if step.stops or step.scope is not None:
                return step
            if iteration < splits and not state.split() and self.batch_size is None:
                return Step(message="every cluster is a single point")
        return Step(message="split limit reached")


@dataclass(frozen=True, slots=True)
class Step:
    """How the solve of an iteration ended.

    Attributes
    ----------
    message : str
        Why the solve ended.
    interrupted : bool
        Whether Ctrl-C came.
    stops : bool
        Whether there is no point in going on: the program could not be built or solved, or Ctrl-C came.
    scope : str or None
        What a bound that was met covers; None if there is none.
    """

    message: str
    interrupted: bool = False
    stops: bool = False
    scope: str | None = None


class Splitting:
    """Clusters of the reduced points, and the network of the last iteration."""

    def __init__(self, run: Run, solver: Backend, method: DataSplitting) -> None:
        self._run, self._solver, self._method, self._batch_size = run, solver, method, method.batch_size
        self._rng = np.random.default_rng(run.budget.seed)
        points = len(run.reduced.X)
        self._clusters = np.zeros(points, dtype=np.intp)
        if method.initial_clusters == "class" and points:
            self._clusters = np.unique(run.reduced.class_weight.argmax(axis=1), return_inverse=True)[1].ravel()
        self._current: Candidate | None = None

    @property
    def network(self) -> Network | None:
        """The network of the last iteration."""
        return None if self._current is None else self._current.network

    def start_from(self, candidate: Candidate | None) -> None:
        """Start from a network, as if an iteration had found it."""
        self._current = candidate

    def grow(self, origin: Indices) -> None:
        """Put new points, which the reduced problem has at its end, into the clusters of others."""
        self._clusters = np.concatenate([self._clusters, self._clusters[origin]])

    def solve(self, iterations_left: int) -> Step:
        """Solve with the present clusters; there must be nodes left."""
        run, solver, reduced = self._run, self._solver, self._run.reduced
        count = len(reduced.X)
        full = self._batch_size is None or self._batch_size >= count
        batch = np.arange(count) if full else np.sort(self._rng.choice(count, self._batch_size, replace=False))
        part = reduced if full else reduced.restricted(batch)
        clusters = self._clusters[batch]
        n_clusters = len(np.unique(clusters))
        single = full and n_clusters == count
        if reason := too_large(robust.nonzeros(part, n_clusters), solver, run.budget):
            return Step(reason, stops=True)
        budget = run.share(run.budget.remaining / iterations_left, iterations_left)
        with run.phase("build", f"{n_clusters} clusters: build"):
            hull_seconds = min(_HULL_SHARE * budget.remaining, _HULL_SECONDS)
            model = clustered.build(part, clusters, solver.capabilities.tolerances, hull_seconds=hull_seconds)
        with run.phase("solve", f"{n_clusters} clusters: solve"):
            starts = [c.network for c in (self._current, run.best) if c is not None] + [constant(reduced)]
            outcome = solve_into(run, solver, model, budget, starts, bounds=single, compares=full, log=False)
        solution = outcome.solution
        self._current = outcome.last or self._current
        candidate = self._current or run.incumbent
        if math.isinf(candidate.objective):
            candidate = run.incumbent  # it fits the batch only
        run.choose(candidate)
        entry = Incumbent(
            seconds=run.budget.elapsed,
            objective=candidate.objective,
            source="data splitting",
            validation_accuracy=candidate.accuracy,
            clusters=n_clusters,
            binaries=_binaries(model),
            solve_seconds=solution.seconds,
        )
        run.record(entry)
        stops = solution.status == Status.FAILED or solution.interrupted
        scope = model.scope if single and solution.status == Status.OPTIMAL else None
        return Step(solution.message, solution.interrupted, stops, scope)

    def split(self) -> bool:
        """Divide the cluster of largest loss, or if only single points have one, the largest; False: none left."""
        network = (self._current or self._run.incumbent).network
        loss = point_losses(self._run.reduced, network)
        sizes = np.bincount(self._clusters)
        total = np.bincount(self._clusters, weights=loss)
        divisible = sizes > 1
        if not divisible.any():
            return False
        with_loss = divisible & (total > 0)
        cluster = int(np.argmax(np.where(with_loss, total, -1.0) if with_loss.any() else np.where(divisible, sizes, 0)))
        members = np.flatnonzero(self._clusters == cluster)
        second = None
        X, seed = self._run.reduced.X[members], self._run.budget.seed
        X = X / np.maximum(np.abs(X).max(axis=0, initial=0.0), _TINY)
        # one thread: OpenMP of a process that used several hangs in the children of its forks
        with self._run.phase("split"), limited_threads(1):
            if self._method.splitter == "svm":
                second = _svm_split(X, loss[members] > 0, seed)
            if second is None:
                second = _kmeans_split(X, seed)
        self._clusters[members[second]] = len(sizes)
        return True


def _binaries(model: TrainingModel) -> int:
    return int(sum(columns.size for columns in model.layout.fired) + model.layout.right.size)


def point_losses(reduced: Presolved, network: Network) -> Floats:
    """Return the loss of a network at each reduced point, in units of sample weight.

    Parameters
    ----------
    reduced : Presolved
        The reduced problem.
    network : Network
        Of its class.

    Returns
    -------
    ndarray of shape (p,)
        Weighted losses beyond those that no network can avoid there.
    """
    weight, X = reduced.class_weight, reduced.raw_points
    if reduced.problem.robust:
        return _robust_point_losses(reduced, network)
    if reduced.problem.head == "argmax":
        return network.loss.excess_of_winners(network.predict_index(X), weight)
    return network.loss.excess_of_fired(network.activations(X)[-1].astype(bool), weight)


def _robust_point_losses(reduced: Presolved, network: Network) -> Floats:
    problem, loss = reduced.problem, np.zeros(len(reduced.X))
    for label in range(len(problem.classes)):
        codes, radius = np.full(len(reduced.X), label), np.asarray(problem.robust_radius)
        arguments = (radius, problem.robust_norm, problem.robust_model)
        loss += reduced.class_weight[:, label] * robust_losses(network, reduced.raw_points, codes, *arguments)[0]
    return loss


def _kmeans_split(X: Floats, seed: int) -> Bools:
    """Return which points go to the new cluster; both parts are non-empty, as the points are distinct."""
    import warnings

    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # points that differ by less than its tolerance
        labels = KMeans(n_clusters=2, n_init=_RESTARTS, random_state=seed).fit_predict(X)
    second: Bools = labels == 1
    if second.all() or not second.any():
        second = np.arange(len(X)) % 2 == 1
    return second


def _svm_split(X: Floats, wrong: Bools, seed: int) -> Bools | None:
    """Return which points lie on the side of the wrongly classified ones, or None if that divides nothing."""
    import warnings

    from sklearn.svm import LinearSVC

    if wrong.all() or not wrong.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        side = LinearSVC(random_state=seed).fit(X, wrong).decision_function(X) > 0
    return None if side.all() or not side.any() else np.asarray(side)
