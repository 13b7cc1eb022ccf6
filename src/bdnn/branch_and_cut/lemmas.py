"""The record of a refutation by clauses, from which a certificate is written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bdnn.types import Array, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Lemmas:
    """Why no solution of a program costs at most so much: clauses, each of which follows from some before it.

    A literal is twice a column, plus one if the column is to be 0. Reasons are numbers: -1 for the limit on costs, then
    those of the rows, then those of the lemmas. If all literals of a lemma are false, its reasons, one after another,
    leave one literal each, and the last leaves none. The last lemma is empty.

    Attributes
    ----------
    rows : ndarray of shape (r, 2), int64
        Clauses that the lemmas rest on, each as a cut and a neuron, or as -1 - linking row and -1.
    literals, literal_ends : ndarray of int64
        The literals of all lemmas, one after another, and where each begins and ends.
    reasons, reason_ends : ndarray of int64
        Their reasons.
    """

    rows: Integers
    literals: Integers
    literal_ends: Integers
    reasons: Integers
    reason_ends: Integers

    @property
    def cuts(self) -> set[int]:
        """All cuts that the lemmas rest on."""
        return {int(cut) for cut in self.rows[:, 0] if cut >= 0}

    @property
    def ranks(self) -> set[int]:
        """Rank rows that the lemmas rest on: none."""
        return set()

    @property
    def proofs(self) -> range:
        """Numbers of the lemmas."""
        return range(len(self.literal_ends) - 1)

    def to_arrays(self) -> dict[str, Array]:
        """Return the lemmas as arrays, to be stored."""
        return {f"lemmas {each.name}": getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], n_cuts: int) -> Lemmas:
        """Return stored lemmas; what they prove is checked by those who read the certificate."""
        lemmas = cls(**{each.name: arrays[f"lemmas {each.name}"].astype(np.int64) for each in fields(cls)})
        if lemmas.rows.ndim != 2 or lemmas.rows.shape[1] != 2 or lemmas.rows[:, 0].max(initial=-1) >= n_cuts:
            raise ValueError("rows of lemmas")
        for ends, values in ((lemmas.literal_ends, lemmas.literals), (lemmas.reason_ends, lemmas.reasons)):
            if not len(ends) or ends[0] != 0 or ends[-1] != len(values) or np.any(np.diff(ends) < 0):
                raise ValueError("ends of lemmas")
        return lemmas
