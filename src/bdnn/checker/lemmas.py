"""Refutations in a certificate as they are read: clauses that are given, and lemmas that are to follow from them.

What they are about is explained in `bdnn.checker.check`.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from bdnn.checker.values import exactly, fail, items, shown

NAMES = "points bound cuts links lemmas reasons"
BY_COST = -1  # in the place of the number of a clause
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
        _lists(f"{place}: reasons", parts["reasons"], BY_COST),
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
