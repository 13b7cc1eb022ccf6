"""The run for the least worst-case loss: networks are certified, and attacks on them become rows of the program."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bdnn.certification.attacker import Perturbations, perturbations
from bdnn.certification.engine import certify
from bdnn.certification.support import INF, ONE
from bdnn.linear_programs import LinearProgram
from bdnn.methods.candidate import Candidate
from bdnn.methods.run import Run
from bdnn.network.intervals import robust_losses
from bdnn.problem.audit import Audit
from bdnn.problem.problem import Problem
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.network.network import Network
    from bdnn.status import ProgressCallback
    from bdnn.types import Bools, Floats, Indices

# points certified at once: enough for threads to share, few enough to stop soon
_BATCH = 32
# points attacked, after which a network that is worse than the best is not certified further
_ENOUGH = 16
# attacks on one point that become rows at a time: more hardly change the next network, and programs grow
_PER_POINT = 3
# share of the radius that is used, so that rounding does not put an input outside
_INSIDE = 1.0 - 1e-12
# shares of the way from an attack to the center of its cell; the first that is still an attack is taken
_SHARES = (1.0, 0.75, 0.5, 0.25)
# error of the losses that solvers report
_LOSS_ERROR = 1e-6
# divisor in place of a norm of 0
_TINY = 1e-300


class WorstCaseRun(Run):
    """A run whose objective is the weight of the points that an input of their ball is decided wrong for.

    A network that may be the best is certified at every point; what is undecided counts as wrong, so an objective is
    never too small. Attacks found on the way are kept in a pool, and `extend` makes those that a network fails at rows
    of the reduced problem: its optimum is a bound, since it asks for less than every input of the balls, and it grows
    toward the least worst-case loss.

    Parameters
    ----------
    problem : Problem
        With a radius and the robust model "worst_case".
    budget : Budget
        With a running clock.
    on_progress : callable or None
        Receives a `Progress` with news.

    Attributes
    ----------
    base : Presolved
        The problem without attacks.
    n_undecided : int
        Points of the best network that were not decided in the time.
    """

    robust_models = ("worst_case",)

    def __init__(self, problem: Problem, budget: Budget, on_progress: ProgressCallback | None) -> None:
        super().__init__(problem, budget, on_progress)
        self.base = self._reduced
        point, label = np.nonzero(self.base.class_weight > 0)
        self._X = np.asarray(self.base.raw_points[point], dtype=np.float64)
        self._codes = label.astype(np.intp)
        self._weight = self.base.class_weight[point, label]
        self._cost = problem.loss.label_costs(self.base.class_weight)[point, label]
        self._attacks: list[Floats] = []
        self._attacked: list[int] = []
        self._rows = np.zeros(0, dtype=np.intp)  # of the pool
        self.n_undecided = 0
        radius = np.asarray(problem.robust_radius, dtype=np.float64)
        self._frozen, self._scale = radius == 0, np.where(radius > 0, radius, 1.0)

    @property
    def n_attacks(self) -> int:
        """Attacks found so far."""
        return len(self._attacks)

    @property
    def program_scope(self) -> str:
        """What the bound of the present program covers, up to the margin."""
        return f"{self.base.scope}, margin also at {len(self._rows)} attacked inputs"

    def extend(self, network: Network | None = None) -> Indices:
        """Make attacks of the pool that a network fails at rows of the reduced problem, `reduced`.

        Parameters
        ----------
        network : Network or None
            One that should not come again; None leaves the rows as they are.

        Returns
        -------
        ndarray of shape (q,)
            For each new row the row that it is an attack on.
        """
        attacked = np.array(self._attacked, dtype=np.intp)
        if network is not None and self._attacks:
            fails = network.predict_index(np.vstack(self._attacks)) != self._codes[attacked]
            known = network.predict_index(self._X) != self._codes
            known[attacked[self._rows[fails[self._rows]]]] = True
            fails &= ~known[attacked]
            # a few for each point, the latest: they were made for this network
            new = np.flatnonzero(fails)[::-1]
            order = np.argsort(attacked[new], kind="stable")
            first = np.searchsorted(attacked[new][order], attacked[new][order])
            new = np.sort(new[order[np.arange(len(new)) - first < _PER_POINT]])
        else:
            new = np.zeros(0, dtype=np.intp)
        self._rows = np.concatenate([self._rows, new])
        answers = np.concatenate([np.arange(len(self._X)), attacked[self._rows]])
        rows = np.vstack([self._X, *(self._attacks[i] for i in self._rows.tolist())])
        given = self._problem
        nominal = Problem(
            X=rows,
            y=given.classes[self._codes[answers]],
            sample_weight=self._weight[answers],
            hidden_layer_sizes=given.hidden_layer_sizes,
            head=given.head,
            margin=given.margin,
            fit_intercept=given.fit_intercept,
            feature_names=given.feature_names,
        )
        class_weight = np.zeros((len(rows), len(given.classes)))
        class_weight[np.arange(len(rows)), self._codes[answers]] = self._weight[answers]
        # units and scales stay, so that bounds of successive programs compare
        self._reduced = replace(
            self.base, problem=nominal, stored_weight=class_weight, stored_rows=None, constant=0.0, answers=answers
        )
        return attacked[new]

    def evaluate(self, network: Network, solver_objective: float | None = None) -> Candidate:
        """Certify a network, unless the attacks known show that it is not the best; then its objective is infinite."""
        wrong = network.predict_index(self._X) != self._codes
        n_wrong, promised = int(wrong.sum()), None
        if self._attacks:
            attacked = np.array(self._attacked, dtype=np.intp)
            missed = network.predict_index(np.vstack(self._attacks)) != self._codes[attacked]
            wrong[attacked[self._rows[missed[self._rows]]]] = True
            if solver_objective is not None and math.fsum(self._cost[wrong]) > solver_objective + _LOSS_ERROR:
                promised = solver_objective  # of the rows that the solver knew
            wrong[attacked[missed]] = True
        known = math.fsum(self._cost[wrong])
        if self._best is not None and known > self._best.objective:
            return Candidate(network, Audit(math.inf, n_wrong, 0, promised), 0.0, math.inf, None)
        loss, undecided = self._certified(network, wrong)
        if math.isfinite(loss) and (self._best is None or loss < self._best.objective):
            self.n_undecided = undecided
        return Candidate(network, Audit(loss, n_wrong, 0, promised), 0.0, loss, self._accuracy(network))

    def _certified(self, network: Network, wrong: Bools) -> tuple[float, int]:
        """Return the worst-case loss and the number of undecided points; inf once it is more than the best one."""
        allowed = perturbations(network, self._problem.robust_norm, self._scale, frozen=self._frozen)
        # what three-valued propagation proves needs no search
        radius = np.asarray(self._problem.robust_radius, dtype=np.float64)
        doubtful = robust_losses(network, self._X, self._codes, radius, self._problem.robust_norm)[0] > 0
        wrong, n_attacked = wrong.copy(), 0
        open_ = doubtful & ~wrong
        left = np.flatnonzero(open_)
        for begin in range(0, len(left), _BATCH):
            if self._budget.exhausted:
                break
            known = math.fsum(self._cost[wrong])
            if self._best is not None and n_attacked >= _ENOUGH and known > self._best.objective:
                return math.inf, 0
            batch = left[begin : begin + _BATCH]
            verdict = certify(
                network,
                self._X[batch],
                self._problem.classes[self._codes[batch]],
                radius=1.0,
                norm=self._problem.robust_norm,
                scale=self._scale,
                frozen=self._frozen,
                budget=replace(self._budget, nodes=None),
                n_jobs=self._budget.threads,
            )
            if verdict.interrupted:
                raise KeyboardInterrupt
            open_[batch] = verdict.undecided
            wrong[batch] = ~verdict.robust & ~verdict.undecided
            for i in batch[wrong[batch]].tolist():
                n_attacked += 1
                x, code = self._X[i], int(self._codes[i])
                attack = deepened(network, allowed, x, verdict.attack[i == batch][0], code)
                for one in [*extremes(network, allowed, x, attack, code), attack]:
                    self._attacks.append(one)
                    self._attacked.append(i)
        return math.fsum(self._cost[wrong | open_]), int(open_.sum())


def deepened(network: Network, allowed: Perturbations, x: Floats, attack: Floats, code: int) -> Floats:
    """Move an attack away from the boundary of its cell, so that a small change of the network does not undo it.

    Parameters
    ----------
    network : Network
        With a hidden layer, without a grid.
    allowed : Perturbations
        What an attacker may do, within radius 1.
    x, attack : ndarray of shape (n,)
        A point, and an input that is decided otherwise.
    code : int
        Class that the point is predicted as.

    Returns
    -------
    ndarray of shape (n,)
        An input within the radius that is decided otherwise: the center of the cell of the attack within the box of
        the perturbations, or an input on the way there.
    """
    weights, bias = (a.astype(np.float64) for a in network.layers[0])
    columns = np.flatnonzero(allowed.free & np.any(weights != 0, axis=0))
    units = weights[:, columns] * allowed.scale[columns]
    size = np.abs(units).sum(axis=1)
    used = size > 0
    sign = np.where(weights @ attack + bias >= 0, 1.0, -1.0)[used]
    # sign (a + units z) >= t size, |z| <= 1: the largest t
    base = (weights @ x + bias)[used]
    rows = np.hstack([sign[:, None] * units[used], -size[used][:, None]])
    cost, box = np.append(np.zeros(len(columns)), -1.0), np.ones(len(columns))
    center = attack
    if used.any():
        sides = (-sign * base, np.full(len(base), np.inf))
        program = LinearProgram(cost, np.append(-box, 0.0), np.append(box, np.inf), (rows, *sides))
        if program.solve() == Status.OPTIMAL:
            center = x.copy()
            center[columns] += allowed.scale[columns] * program.x[:-1]
    for share in _SHARES:
        candidate = np.where(allowed.free, attack + share * (center - attack), x)
        right = network.predict_index(candidate[None, :])[0] == code
        if not right and allowed.within(x, candidate, 1.0):
            return candidate
    return attack


def extremes(network: Network, allowed: Perturbations, x: Floats, attack: Floats, code: int) -> list[Floats]:
    """Return the extreme points of a ball, in the directions of the neurons and of an attack, that are attacks as well.

    Parameters
    ----------
    network, allowed, x, attack, code
        As for `deepened`.

    Returns
    -------
    list of ndarray of shape (n,)
        Inputs within the radius that are decided otherwise.
    """
    weights, bias = (a.astype(np.float64) for a in network.layers[0])
    sign = np.where(weights @ attack + bias >= 0, 1.0, -1.0)
    units = weights * np.where(allowed.free, allowed.scale, 0.0)
    size = np.maximum(np.abs(units).sum(axis=1, keepdims=True), _TINY)
    ahead = (sign[:, None] * units / size).sum(axis=0)
    attacks = []
    for direction in [ahead, *(sign[:, None] * units), *(-sign[:, None] * units)]:
        if allowed.norm == INF:
            candidate = allowed.pulled_in(x, x + allowed.scale * np.sign(direction), 1.0)
        elif allowed.norm == ONE:
            far = np.arange(len(x)) == np.argmax(np.abs(direction))
            candidate = x + _INSIDE * allowed.scale * far * np.sign(direction)
        else:
            candidate = x + _INSIDE * allowed.scale * direction / max(float(np.linalg.norm(direction)), _TINY)
        candidate = np.where(allowed.free, candidate, x)
        if network.predict_index(candidate[None, :])[0] != code and allowed.within(x, candidate, 1.0):
            attacks.append(candidate)
    return attacks
