"""Refutations in a certificate: clauses, each of which follows from some before it and a limit on costs.

What they are about is explained in `bdnn.checker.check`.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from bdnn.checker.values import exactly, fail, items, shown
from bdnn.errors import CertificateError

if TYPE_CHECKING:
    from bdnn.checker.trees import Program

NAMES = "points bound cuts links lemmas reasons"
_BY_COST = -1  # in the place of the number of a clause
_LARGEST = 2**31  # more than a file that can be read lists


class Lemmas(NamedTuple):
    """Clauses that are given, as cuts and neurons and as points and their links, lemmas, and what these rest on.

    A literal is twice a column, plus one if the column is to be 0.
    """

    cuts: list[list[int]]
    links: list[list[int]]
    literals: list[list[int]]
    reasons: list[list[int]]


def read_lemmas(value: object, place: str) -> Lemmas:
    """Return the refutation that a rank has in the place of a tree."""
    parts = exactly(place, value, NAMES)
    lemmas = Lemmas(
        _lists(f"{place}: cuts", parts["cuts"], 0, 2),
        _lists(f"{place}: links", parts["links"], 0, 2),
        _lists(f"{place}: lemmas", parts["lemmas"], 0),
        _lists(f"{place}: reasons", parts["reasons"], _BY_COST),
    )
    if len(lemmas.literals) != len(lemmas.reasons):
        raise fail(f"{place}: reasons", f"must be {len(lemmas.literals)}, one list for each lemma")
    return lemmas


def _lists(place: str, value: object, least: int, width: int | None = None) -> list[list[int]]:
    lists: list[Any] = items(place, value)
    if not set(map(type, lists)) <= {list} or (width is not None and not set(map(len, lists)) <= {width}):
        raise fail(place, "must hold lists of integers" if width is None else f"must hold lists of {width} integers")
    flat = list(chain.from_iterable(lists))
    if not set(map(type, flat)) <= {int}:
        raise fail(place, "must hold integers only")
    for number in (min(flat, default=0), max(flat, default=0)):
        if not least <= number < _LARGEST:
            raise fail(place, f"must hold integers from {least} to below 2**31, got {shown(number)}")
    return lists


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
        if not consequences.contradict(lemma, [None if r == _BY_COST else known[r] for r in reasons]):
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
        found = not all([self._take(literal ^ 1) for literal in lemma])
        for clause in reasons:
            if found:
                break
            if clause is None:
                found = not self._limit()
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
