"""Output functions: the threshold functions of a few hidden neurons, up to their order.

Only finitely many matter; docs/mathematics/activation.md says why. They are found through their integer weights.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from bdnn.errors import InputError

Sets = tuple[tuple[int, ...], ...]
Cube = tuple[tuple[int, int], ...]
Cubes = tuple[Cube, ...]

MAX_BITS = 5  # these are 92 functions already, and each has a program of its own


@dataclass(frozen=True)
class OutputFunction:
    """A monotone threshold function that depends on all its bits: ``f(u) = [weights · u >= threshold]``.

    Attributes
    ----------
    n_bits : int
        Number of bits d.
    implicants : tuple of tuple of int
        Minimal sets of bits that make f true when they are 1, whatever the others are; by size, then by bits.
    blockers : tuple of tuple of int
        Minimal sets of bits that make f false when they are 0, whatever the others are; in the same order.
    weights : tuple of int
        Positive and not increasing; no positive integers with a smaller sum represent f.
    threshold : int
        Between 1 and the sum of the weights.
    """

    n_bits: int
    implicants: Sets
    blockers: Sets
    weights: tuple[int, ...]
    threshold: int

    @property
    def wrong(self) -> tuple[Cubes, Cubes]:
        """The maximal cubes of patterns that make f true, and of those that make it false: pairs (bit, value)."""
        return (
            tuple(tuple((bit, 1) for bit in members) for members in self.implicants),
            tuple(tuple((bit, 0) for bit in members) for members in self.blockers),
        )

    def dual(self) -> OutputFunction:
        """Return ``1 - f(1 - u)``: implicants and blockers change places.

        Returns
        -------
        OutputFunction
            The dual function; it is one of `functions` if f is.

        Examples
        --------
        >>> conjunction = functions(2)[1]
        >>> conjunction.implicants, conjunction.dual().implicants
        (((0, 1),), ((0,), (1,)))
        """
        # [w·(1 - u) < t] = [w·u > Σw - t]
        threshold = sum(self.weights) - self.threshold + 1
        return OutputFunction(self.n_bits, self.blockers, self.implicants, self.weights, threshold)

    def symmetries(self) -> Sets:
        """Return the groups of bits that can be exchanged without changing f.

        Returns
        -------
        tuple of tuple of int
            Consecutive bits, since weights do not increase; every bit is in one group.

        Examples
        --------
        >>> [f.symmetries() for f in functions(3) if f.weights == (2, 1, 1)]
        [((0,), (1, 2)), ((0,), (1, 2))]
        """
        implicants = set(self.implicants)
        groups: list[list[int]] = []
        for bit in range(self.n_bits):
            # exchangeability is transitive, so the first bit of a group speaks for it
            if groups and _exchanged(implicants, groups[-1][0], bit) == implicants:
                groups[-1].append(bit)
            else:
                groups.append([bit])
        return tuple(tuple(group) for group in groups)


def _exchanged(sets: set[tuple[int, ...]], i: int, j: int) -> set[tuple[int, ...]]:
    swap = {i: j, j: i}
    return {tuple(sorted(swap.get(bit, bit) for bit in members)) for members in sets}


def _minimal_true(table: int, d: int) -> Sets:
    """Minimal true points of a monotone function, whose value at a set of bits is a bit of `table`."""
    found = []
    for point in range(1 << d):
        below = (point ^ (1 << bit) for bit in range(d) if point >> bit & 1)
        if table >> point & 1 and not any(table >> lower & 1 for lower in below):
            found.append(tuple(bit for bit in range(d) if point >> bit & 1))
    return tuple(sorted(found, key=lambda members: (len(members), members)))


def _largest_weight(d: int) -> int:
    """Muroga's bound: the largest m with ``(2**d m)**2 <= (d + 1)**(d + 1)``."""
    m = 1
    while (2**d * (m + 1)) ** 2 <= (d + 1) ** (d + 1):
        m += 1
    return m


@functools.cache
def functions(d: int) -> tuple[OutputFunction, ...]:
    """Return the monotone threshold functions that depend on all of d bits, up to the order of the bits.

    Parameters
    ----------
    d : int
        Number of bits, 1 to 5.

    Returns
    -------
    tuple of OutputFunction
        By the sum of the weights, the weights and the threshold.

    Raises
    ------
    InputError
        For another number of bits.

    Notes
    -----
    Where weights do not increase, bits stand in the order of their effect: exchanging a bit for one of at least its
    weight keeps f true. Two such functions that differ only by the order of bits are equal, as bits of equal effect can
    be exchanged. So each class has one truth table here.

    Examples
    --------
    >>> [len(functions(d)) for d in range(1, 6)]
    [1, 2, 5, 17, 92]
    >>> functions(2)[0]
    OutputFunction(n_bits=2, implicants=((0,), (1,)), blockers=((0, 1),), weights=(1, 1), threshold=1)
    """
    if d not in range(1, MAX_BITS + 1):
        raise InputError(f"output functions of {d} bits are not listed; 1 to {MAX_BITS} bits are accepted")
    largest = _largest_weight(d)
    everything = (1 << (1 << d)) - 1
    candidates = itertools.combinations_with_replacement(range(largest, 0, -1), d)
    found: dict[int, OutputFunction] = {}
    for weights in sorted(candidates, key=lambda w: (sum(w), w)):
        sums = [sum(w for bit, w in enumerate(weights) if point >> bit & 1) for point in range(1 << d)]
        for threshold in range(1, sum(weights) + 1):
            table = sum(1 << point for point, value in enumerate(sums) if value >= threshold)
            if table in found or not _needs_all(table, d):
                continue
            # f is 0 where the bits of T are 0 iff its dual is 1 where they are 1
            dual = everything ^ int(f"{table:0{1 << d}b}"[::-1], 2)
            found[table] = OutputFunction(d, _minimal_true(table, d), _minimal_true(dual, d), weights, threshold)
    return tuple(found.values())


def _needs_all(table: int, d: int) -> bool:
    """Tell whether every bit changes the value of the function somewhere."""
    return all(any((table >> point ^ table >> (point | 1 << bit)) & 1 for point in range(1 << d)) for bit in range(d))
