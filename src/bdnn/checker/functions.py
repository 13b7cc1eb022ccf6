"""Output functions of a hidden layer, and the program that certificates refer to: its columns and links.

It is part of the independent checker; see `bdnn.checker.check`, which explains the terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from math import isqrt

from bdnn.errors import CertificateError

Sets = tuple[tuple[int, ...], ...]
Function = Sequence[Sequence[int]]


def functions(width: int) -> list[Sets]:
    """Return the monotone threshold functions that need all of their bits, one for each up to the order of the bits.

    Parameters
    ----------
    width : int
        Number of bits, 1 to 6.

    Returns
    -------
    list of tuple of tuple of int
        Their implicants, sorted by size and then as tuples: 1, 2, 5, 17, 92, 994 functions.

    Examples
    --------
    >>> functions(2)
    [((0,), (1,)), ((0, 1),)]
    """
    return sorted(_minimal_sets(table, width) for table in _tables(width))


@lru_cache(maxsize=8)
def _tables(width: int) -> frozenset[int]:
    """Truth tables: bit u of a table is the value at the pattern u, and bit j of a pattern is neuron j.

    With weights in descending order, two functions that differ only in the order of their bits are equal: a heavier bit
    can replace a lighter one, so the function determines the order, up to bits that may be exchanged.
    """
    most = isqrt((width + 1) ** (width + 1)) >> width
    patterns = range(1, 1 << width)
    found = set()
    for weights in combinations_with_replacement(range(most, 0, -1), width):
        level: dict[int, int] = {}
        for u in patterns:
            total = sum(w for bit, w in enumerate(weights) if u >> bit & 1)
            level[total] = level.get(total, 0) | 1 << u
        table = 0
        for total in sorted(level, reverse=True):
            table |= level[total]
            found.add(table)
    return frozenset(table for table in found if _needs_all(table, width))


def _needs_all(table: int, width: int) -> bool:
    return all(any((table >> u ^ table >> (u | 1 << bit)) & 1 for u in range(1 << width)) for bit in range(width))


def _minimal_sets(table: int, width: int) -> Sets:
    """Return the minimal patterns of a monotone truth table, as sets in canonical order."""
    minimal = []
    for u in range(1, 1 << width):
        bits = [bit for bit in range(width) if u >> bit & 1]
        if table >> u & 1 and not any(table >> (u ^ 1 << bit) & 1 for bit in bits):
            minimal.append(bits)
    return canonical(minimal)


def canonical(sets: Function) -> Sets:
    """Return sets in ascending order, sorted by size and then as tuples."""
    return tuple(sorted((tuple(sorted(s)) for s in sets), key=lambda s: (len(s), s)))


def _table(sets: Sequence[Sequence[int]], width: int) -> int:
    masks = [sum(1 << bit for bit in s) for s in sets]
    return sum(1 << u for u in range(1 << width) if any(u & mask == mask for mask in masks))


def width_of(function: Function) -> int:
    """Return the number of bits of a function that needs all of them."""
    return 1 + max(bit for s in function for bit in s)


def blockers(function: Function) -> Sets:
    """Return the minimal sets that meet all implicants of a function, sorted by size and then as tuples.

    Parameters
    ----------
    function : sequence of sequence of int
        Implicants; every bit occurs.

    Returns
    -------
    tuple of tuple of int
        If all bits of such a set are 0, the function is 0.

    Examples
    --------
    >>> blockers([[0, 1], [0, 2]])
    ((0,), (1, 2))
    """
    width = width_of(function)
    table, everything = _table(function, width), (1 << width) - 1
    return _minimal_sets(sum(1 << u for u in range(1 << width) if not table >> (everything ^ u) & 1), width)


def links(function: Function, sign: int) -> Sets:
    """Return the sets Q of the links of a point, in the order that their numbers k count.

    Parameters
    ----------
    function : sequence of sequence of int
        Implicants of the output function.
    sign : int
        +1 or -1, that of the point.

    Returns
    -------
    tuple of tuple of int
        Blockers for +1, implicants for -1, those with at least two neurons.
    """
    return tuple(q for q in (blockers(function) if sign > 0 else canonical(function)) if len(q) > 1)


def columns(function: Function, signs: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the columns of the variables z of each point.

    Parameters
    ----------
    function : sequence of sequence of int
        Implicants of the output function.
    signs : sequence of int
        +1 or -1 for each point; e_i has column i.

    Returns
    -------
    list of tuple of int
        For each point, the column of each neuron's variable, which is the point's own where the two are the same.
        Other columns are numbered from the number of points on.

    Examples
    --------
    >>> columns([[0, 1]], [1, -1])
    [(0, 0), (2, 3)]
    """
    width = width_of(function)
    alone = {
        sign: {q[0] for q in sets if len(q) == 1} for sign, sets in ((1, blockers(function)), (-1, tuple(function)))
    }
    result, free = [], len(signs)
    for i, sign in enumerate(signs):
        own = []
        for bit in range(width):
            own.append(i if bit in alone[sign] else free)
            free += bit not in alone[sign]
        result.append(tuple(own))
    return result


def check_functions(trees: Sequence[Function], width: int) -> None:
    """Check that there is exactly one tree for each output function, with the neurons in any order.

    Parameters
    ----------
    trees : sequence of implicants
        The function of each tree.
    width : int
        Number of hidden neurons; 1 if there is no hidden layer.

    Raises
    ------
    CertificateError
        If one is missing, occurs twice, or is none of those of `functions`.
    """
    missing = set(_tables(width))
    for t, sets in enumerate(trees):
        table = _table(sets, width) if all(s and max(s) < width for s in sets) else 0
        if not table or [list(s) for s in _minimal_sets(table, width)] != sets:
            raise CertificateError(
                f"tree {t}: implicants must be the minimal sets of a function of {width} bits, none contained in "
                f"another, each in ascending order, sorted by size and then as lists"
            )
        # if neurons that fire in more of the true patterns come first, they are in the order of their weights
        counts = [sum(table >> u & u >> bit & 1 for u in range(1 << width)) for bit in range(width)]
        rank = {bit: k for k, bit in enumerate(sorted(range(width), key=lambda bit: -counts[bit]))}
        ordered = _table([[rank[bit] for bit in s] for s in sets], width)
        if ordered not in _tables(width):
            raise CertificateError(f"tree {t}: its function is not a threshold function that needs all {width} bits")
        if ordered not in missing:
            raise CertificateError(f"tree {t}: another tree has the same function, up to the order of the neurons")
        missing.remove(ordered)
    if missing:
        absent = min(_minimal_sets(table, width) for table in missing)
        raise CertificateError(
            f"trees: {len(missing)} of {len(_tables(width))} output functions have no tree, such as that with the "
            f"implicants {[list(s) for s in absent]}"
        )
