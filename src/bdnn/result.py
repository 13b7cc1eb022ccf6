"""What a training run returns: the network, its audited loss, the bound and what it bounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bdnn.status import Status, relative_gap

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.problem.audit import Audit


MEASURES = ("recall", "precision", "specificity")
"""What an operating point may be moved for."""


NO_TIME_FOR_CERTIFICATE = (
    "the certificate is not written, for which the time limit left no time: the checkpoint keeps the proof, for a run "
    "with a longer limit to write it"
)
NO_CERTIFICATE = (
    "no certificate can be written: what the rows cost has no common unit that is large enough for exact sums (sample "
    "weights that are integers have one), or multipliers could not be computed"
)
NOTHING_TO_CERTIFY = "there is nothing to write a certificate of: no network is better than another"
CERTIFICATE_IMPOSSIBLE = frozenset({NO_CERTIFICATE, NOTHING_TO_CERTIFY})
"""Why there can be no certificate, however long a run may take."""
CERTIFICATE_SHORTFALLS = CERTIFICATE_IMPOSSIBLE | {NO_TIME_FOR_CERTIFICATE}
"""Why there is no certificate, perhaps in spite of a proof."""


@dataclass(frozen=True, slots=True)
class Incumbent:
    """A step of a run: a new best network, or an iteration of data splitting.

    Attributes
    ----------
    seconds : float
        Since the start.
    objective : float
        Audited objective of the network.
    source : str
        Where it came from.
    validation_accuracy : float or None
        On the held-out data, if there are any.
    clusters, binaries : int or None
        Data splitting: clusters of the iteration, and binary variables of its program.
    solve_seconds : float or None
        Data splitting: time of its solve.
    """

    seconds: float
    objective: float
    source: str
    validation_accuracy: float | None = None
    clusters: int | None = None
    binaries: int | None = None
    solve_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A step of a run: a better bound.

    Attributes
    ----------
    seconds : float
        Since the start.
    bound : float
        From then on.
    """

    seconds: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where the output of a network of two classes was moved to, by rows that are held out.

    Attributes
    ----------
    measure : {"recall", "precision", "specificity"}
        What was asked for.
    wanted : float
        Its value.
    positive : label
        The class that it is about.
    recall, precision, specificity : float
        What the network reaches on the held-out rows; a precision of no rows is 0. It was chosen on them, so that new
        rows may have somewhat less.
    rows : int
        How many they are.
    shift : float
        What was added to the bias of the output of the second class.
    reachable : tuple of float
        Values of the measure on these rows that other thresholds reach, answers that are the same for all rows left
        out.
    """

    measure: str
    wanted: float
    positive: Any
    recall: float
    precision: float
    specificity: float
    rows: int
    shift: float
    reachable: tuple[float, ...]

    @property
    def reached(self) -> float:
        """The measure on the held-out rows."""
        return float(getattr(self, self.measure))

    @property
    def met(self) -> bool:
        """Whether it reaches what was wanted, and not by the same answer for all rows."""
        return bool(self.reachable) and self.reached >= self.wanted

    @property
    def described(self) -> str:
        """The point in words."""
        return (
            f"{self.purpose}: recall {self.recall:.2%}, precision {self.precision:.2%}, specificity "
            f"{self.specificity:.2%} on {self.rows} held-out rows"
        )

    @property
    def purpose(self) -> str:
        """What the output was moved for, and whether that is reached."""
        reached = "" if self.met else ", which is not reached"
        return f"the output was moved for a {self.measure} of {self.wanted:g} of class {self.positive!r}{reached}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Outcome of training.

    Attributes
    ----------
    network : Network
        The best network found.
    status : Status
        `optimal` only if `bound` meets `objective`.
    objective : float
        What was minimized, audited: training loss of `network`, in units of sample weight, plus weighted regularizer.
    bound : float
        No network in `bound_of` has a smaller objective.
    bound_of : str
        The class of networks that the bound covers.
    irreducible : float
        Loss that no classifier of `irreducible_of` can avoid, because equal rows have different labels, or in robust
        training the balls of points with different labels meet.
    audit : Audit
        Sign-exact evaluation of `network`, and what the solver said.
    method, solver : str
        What ran; `solver` is empty if none was needed.
    message : str
        Why it stopped, in words.
    interrupted : bool
        Whether Ctrl-C ended the run.
    n_rows, n_distinct : int
        Training rows, and those left after merging duplicates.
    nodes : int
        Branch-and-bound nodes, with those of earlier runs if it went on from a checkpoint; of method "local_search",
        which has none, the rounds of all threads.
    penalty : float
        Value of the regularizer, without its factor.
    validation_accuracy : float or None
        Accuracy on the held-out data by which the network was chosen.
    history : tuple of Incumbent
        Successive best networks, or the iterations of data splitting.
    bounds : tuple of BoundStep
        Successive bounds, the first from before any solve, the last one `bound`; steps that followed one another within
        a thousandth of the time until then are one.
    timings : dict of str to float
        Seconds by phase: ``presolve``, ``start``, ``build``, ``solve``, ``total``.
    irreducible_of : str
        The classifiers that `irreducible` is a bound for: every classifier on these inputs, or, where inputs are
        rounded for integer weights, on the grid of them.
    grid_loss : float
        Part of `irreducible` that is due to the grid: rows of different labels that it makes equal, although their
        inputs differ.
    shortfalls : tuple of str
        What could not be done for lack of time, beyond a gap that is not closed: the message says it too, and `fit` as
        a `sklearn.exceptions.ConvergenceWarning`.
    certificate : dict or None
        Contents of a certificate file that proves the bound, if one was asked for and can be given; see
        `bdnn.checker.check`.
    weighted : bool
        Whether rows have other weights in the loss than 1, be it by their classes or their own.
    class_weight : tuple of float or None
        Weights of the classes in the loss, in their order; None if classes have none.
    operating_point : OperatingPoint or None
        Where the output was moved to, if a `decision_threshold` was asked for: `network`, `audit`, `objective` and
        `gap` are of the network after that, the history is of networks before it.
    """

    network: Network
    status: Status
    objective: float
    bound: float
    bound_of: str
    irreducible: float
    audit: Audit
    method: str
    solver: str
    message: str
    interrupted: bool
    n_rows: int
    n_distinct: int
    nodes: int
    penalty: float = 0.0
    validation_accuracy: float | None = None
    history: tuple[Incumbent, ...] = ()
    bounds: tuple[BoundStep, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    irreducible_of: str = "every classifier on these inputs"
    grid_loss: float = 0.0
    certificate: dict[str, Any] | None = None
    shortfalls: tuple[str, ...] = ()
    weighted: bool = False
    class_weight: tuple[float, ...] | None = None
    operating_point: OperatingPoint | None = None

    @property
    def gap(self) -> float:
        """Relative gap (objective - bound) / objective; 0 when closed."""
        return relative_gap(self.objective, self.bound)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but network and certificate as plain Python values, `gap` included."""
        left_out = "network", "certificate"
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}
        values["status"] = str(self.status)
        values["audit"] = asdict(self.audit) | {"mismatch": self.audit.mismatch}
        steps = (asdict(incumbent) for incumbent in self.history)
        values["history"] = [{k: v for k, v in step.items() if v is not None} for step in steps]
        values["bounds"] = [asdict(step) for step in self.bounds]
        values["shortfalls"] = list(self.shortfalls)
        values["class_weight"] = None if self.class_weight is None else list(self.class_weight)
        point = self.operating_point
        values["operating_point"] = None if point is None else asdict(point) | {"reachable": list(point.reachable)}
        return values | {"gap": self.gap, "timings": dict(self.timings)}
