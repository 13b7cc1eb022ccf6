"""Certification of a network on the columns of a table, from which an encoder makes its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bdnn.budget import Budget
from bdnn.certification.attacker import Perturbations, feature_mask, perturbations
from bdnn.certification.cells import Space
from bdnn.certification.engine import Question, certify, point_seconds, right_points
from bdnn.certification.levels import LevelSearch
from bdnn.certification.limits import Clock
from bdnn.certification.many_points import collected, decided
from bdnn.certification.result import Certification
from bdnn.certification.verdict import Verdict
from bdnn.checks import radius_limit, thread_count
from bdnn.clock import reading
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.network.network import Network
from bdnn.status import ProgressCallback

if TYPE_CHECKING:
    from bdnn.types import Bools, Floats, Indices


def certify_columns(
    network: Network,
    encoder: Encoder,
    table: RawTable,
    y: ArrayLike | None = None,
    *,
    radius: float | None = None,
    norm: str = "inf",
    scale: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    frozen: ArrayLike | None = None,
    integer: ArrayLike = False,
    level_changes: int = 0,
    budget: Budget | None = None,
    point_time_limit: float = 60.0,
    n_jobs: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> Certification:
    """Decide exactly whether changes of the cells of rows change the decisions of a network.

    Numbers are perturbed as by `bdnn.certify`, also where the network sees them through thresholds. Levels of
    categorical and boolean columns may change to any other level of the training, in at most `level_changes` columns of
    a row at once, which does not count as distance. Dates stay as they are, and so do cells without a value.

    Parameters
    ----------
    network : Network
        Trained.
    encoder : Encoder
        How columns become its inputs.
    table : RawTable
        Rows; columns are found by name.
    y : array-like of shape (m,) or None
        Their labels: a row that is predicted wrong is not robust. None: the predictions must not change.
    radius : float or None
        Decide whether a perturbation of numbers within this distance, included, changes the decision together with
        changes of levels; None: find the smallest one.
    norm : {"inf", "1", "2"}
        Norm of δ / scale.
    scale, lower, upper : array-like of shape (n_columns,), number or None
        See `bdnn.certify`; of numeric columns.
    frozen : array-like or None
        Columns that do not change: a mask, indices or names.
    integer : bool or array-like
        Numeric columns that hold integers and stay so: all, none, a mask, indices or names.
    level_changes : int
        Most columns whose level changes; 0 for none.
    budget, point_time_limit, n_jobs, on_progress : optional
        See `bdnn.certify`.

    Returns
    -------
    Certification
        Attacks are inputs of the network, and in `Certification.columns` cells of the table.

    Raises
    ------
    InputError
        If the data or a setting is not as described.

    Examples
    --------
    >>> from bdnn.encoding.codes import ColumnCode
    >>> from bdnn.encoding.raw import RawColumn
    >>> encoder = Encoder((ColumnCode("a", "numeric", 0.0), ColumnCode("b", "categorical", "x", ("x", "y"))))
    >>> net = Network([([[1.0, 1.0]], [-1.5])], head="threshold", classes=["no", "yes"])
    >>> b = RawColumn("b", "categorical", np.array([0]), ("x",))
    >>> table = RawTable((RawColumn("a", "numeric", np.array([0.0])), b))
    >>> [certify_columns(net, encoder, table, level_changes=k).radius.round(6).tolist() for k in (0, 1)]
    [[1.5], [0.5]]
    """
    space = Space(network, encoder, encoder.matched(table))
    allowed = space.allowed(perturbations(space.names, norm, scale, lower, upper, frozen))
    limit, seconds, threads = radius_limit(radius), point_seconds(point_time_limit), thread_count(n_jobs)
    if isinstance(level_changes, bool) or not isinstance(level_changes, int | np.integer) or level_changes < 0:
        raise InputError(f"level_changes must be a number of columns, at least 0, got {level_changes!r}")
    integers = space.integers(integer)
    codes = network.predict_index(space.inputs)
    still = feature_mask(space.names, "frozen", frozen)
    asked = _Rows(space, allowed, integers, codes, still, limit, seconds, int(level_changes))
    clean = right_points(network, codes, y)
    verdicts, interrupted = decided(space.points, clean, asked, budget, threads, on_progress)
    found = collected(space.points, clean, verdicts, radius, str(norm), interrupted)
    attacked = np.isfinite(found.distance)
    attack = np.full(space.inputs.shape, np.nan)
    attack[attacked] = space.seen(found.attack[attacked])
    columns = space.table_of(np.where(attacked[:, None], found.attack, space.points))
    found = replace(found, attack=attack, columns=columns)
    if not level_changes:
        return found
    # changes of level alone, at radius 0, may have changed a decision, or not be decided
    robust = found.robust if radius is not None else clean & ((found.radius > 0) | (~found.undecided & ~found.attained))
    changed = np.array([verdict.changed for verdict in verdicts], dtype=np.int64)
    return replace(found, robust=robust, level_changes=int(level_changes), changed=changed)


@dataclass(frozen=True)
class _Rows:
    """What is asked of the rows of a table."""

    space: Space
    allowed: Perturbations
    integers: Bools
    codes: Indices
    still: Bools
    limit: float
    seconds: float
    level_changes: int

    def answer(self, i: int, report: Callable[[int], None]) -> Verdict:
        """Decide one row."""
        space, integers, limit = self.space, self.integers, self.limit
        own = replace(self.allowed, free=self.allowed.free & ~space.gaps[i])
        choices = space.ranges(i, own, integers) + (space.levels(i, self.still) if self.level_changes else [])

        def decide(left: float, z: Floats, code: int, tell: Callable[[int], None]) -> Verdict:
            return Question(space.network, own, integers, limit, left).answer(z, code, tell)

        task = space.search(i, int(self.codes[i]), own, integers, limit, decide)
        found = LevelSearch(task, choices, self.level_changes).run(Clock(reading() + self.seconds, report))
        return replace(found.verdict, changed=found.changed)


def certify_table(
    network: Network, encoder: Encoder, table: RawTable, y: ArrayLike | None = None, **settings: Any
) -> Certification:
    """Certify rows by `bdnn.certify` if their columns are numbers that the network takes as they are, else by columns.

    Parameters
    ----------
    network : Network
        Trained.
    encoder : Encoder
        How columns become its inputs.
    table : RawTable
        Rows; columns are found by name.
    y : array-like of shape (m,) or None
        Their labels.
    **settings : Any
        The keywords of `certify_columns`.

    Returns
    -------
    Certification

    Raises
    ------
    InputError
        If the data or a setting is not as described.
    """
    rows = encoder.matched(table)
    plain = encoder.is_identity and all(code.kind == "numeric" for code in encoder.columns)
    if not plain or rows.n_missing.any() or settings.get("level_changes"):
        return certify_columns(network, encoder, rows, y, **settings)
    settings.pop("level_changes", None)
    return certify(network, encoder.transform(rows), y, **settings)
