"""What a search for compact networks says: what was tried, and what was chosen for each budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.compact.inputs import Placed
    from bdnn.compact.plans import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A plan that was tried.

    Attributes
    ----------
    text : str
        What it is, in words.
    size_bytes : int
        Bytes of the network that was judged: that of the first fold.
    accuracy : float
        On rows that were held out from the training, weighted.
    seconds : float
        Of its training on all folds.
    """

    text: str
    size_bytes: int
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The network for one budget.

    Attributes
    ----------
    max_bytes : int
        The budget.
    size_bytes : int
        What the network takes.
    placed : Placed
        The network with its encoder.
    accuracy : float
        Of its plan on held-out rows, weighted.
    score : float
        The figure by which it was chosen: half of it is the mean accuracy of plans that are nearly the same.
    plan : Plan or None
        The plan; None for the class that is most frequent.
    text : str
        The plan in words.
    reason : str
        Why it was chosen.
    """

    max_bytes: int
    size_bytes: int
    placed: Placed
    accuracy: float
    score: float
    plan: Plan | None
    text: str
    reason: str
