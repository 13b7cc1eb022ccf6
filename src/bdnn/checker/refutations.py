"""Refutations in a certificate: clauses, each of which follows from some before it and a limit on costs.

What they are about is explained in `bdnn.checker.check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.checker.lemmas import BY_COST
from bdnn.errors import CertificateError

if TYPE_CHECKING:
    from bdnn.checker.lemmas import Lemmas
    from bdnn.checker.trees import Program


def check_lemmas(name: str, lemmas: Lemmas, program: Program, bound: int) -> int:
    """Check that a refutation shows that the costs asked for are at least a bound; return how many lemmas it has."""
    if not lemmas.literals or lemmas.literals[-1]:
        raise CertificateError(f"{name}: the last lemma must be empty")
    known = _given(name, lemmas, program)
    largest = 2 * program.n_columns
    consequences = _Consequences(program.costs.tolist(), bound - 1)
    for k, (lemma, reasons) in enumerate(zip(lemmas.literals, lemmas.reasons, strict=True)):
        for what, numbers, end in (("literal", lemma, largest), ("clause before it", reasons, len(known))):
            if max(numbers, default=-1) >= end:
                raise CertificateError(f"lemma {k} of {name}: there is no {what} {max(numbers)}")
        if not consequences.contradict(lemma, [None if r == BY_COST else known[r] for r in reasons]):
            raise CertificateError(f"lemma {k} of {name}: does not follow from its reasons")
        known.append(lemma)
    return len(lemmas.literals)


def _given(name: str, lemmas: Lemmas, program: Program) -> list[list[int]]:
    """Return the clauses of cuts and links."""
    clauses = []
    for cut, neuron in lemmas.cuts:
        if cut >= program.n_cuts or neuron >= program.width:
            raise CertificateError(f"{name}: there is no cut {[cut, neuron]}")
        clauses.append([2 * column for column in _entries(program, neuron * program.n_cuts + cut)])
    for point, k in lemmas.links:
        if point >= len(program.n_links) or k >= program.n_links[point]:
            raise CertificateError(f"{name}: there is no link {[point, k]}")
        first, *others = _entries(program, int(program.first_link[point]) + k)
        clauses.append([2 * first, *(2 * column + 1 for column in others)])
    return clauses


def _entries(program: Program, row: int) -> list[int]:
    start = program.starts[row]
    return [int(column) for column in program.entries[start : start + program.sizes[row]]]


class _Consequences:
    """What must hold if all literals of a lemma are false."""

    def __init__(self, costs: list[int], most: int) -> None:
        self._costs, self._most = costs, most
        self._costly = [column for column, cost in enumerate(costs) if cost]
        self._false = bytearray(2 * len(costs))  # of each literal, whether it is false
        self._trail: list[int] = []

    def contradict(self, lemma: list[int], reasons: list[list[int] | None]) -> bool:
        """Return whether the reasons, one after another, come to a contradiction; None is the limit on costs."""
        found, looked = not all([self._take(literal ^ 1) for literal in lemma]), -1
        for clause in reasons:
            if found:
                break
            if clause is None:
                if looked != len(self._trail):  # else there is nothing new
                    found = not self._limit()
                    looked = len(self._trail)
                continue
            left = [literal for literal in clause if not self._false[literal]]
            # two that are left say nothing
            found = not left or (len(set(left)) == 1 and not self._take(left[0]))
        for literal in self._trail:
            self._false[literal ^ 1] = 0
        self._trail.clear()
        return found

    def _take(self, literal: int) -> bool:
        """Let a literal be true; return whether it can be."""
        if self._false[literal]:
            return False
        if not self._false[literal ^ 1]:
            self._false[literal ^ 1] = 1
            self._trail.append(literal)
        return True

    def _limit(self) -> bool:
        """Let columns that cost more than what is left be 0; return whether the others cost no more than allowed."""
        spent = sum(self._costs[literal >> 1] for literal in self._trail if not literal & 1)
        if spent > self._most:
            return False
        for column in self._costly:
            if spent + self._costs[column] > self._most and not self._false[2 * column + 1]:
                self._take(2 * column + 1)
        return True
