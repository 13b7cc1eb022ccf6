"""Wires of a combinational circuit in Verilog-2001, with the cost of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Wire(NamedTuple):
    """A name, and how many additions and comparisons come before it, one after the other."""

    name: str
    depth: int = 0


def width(low: int, high: int) -> int:
    """Return the bits of a signed wire that holds a range and its negative.

    Examples
    --------
    >>> width(0, 1), width(-128, 127), width(-127, 3)
    (2, 9, 8)
    """
    return max(abs(low), abs(high)).bit_length() + 1


def unsigned_width(high: int) -> int:
    """Return the bits of an unsigned wire that holds 0 to a number."""
    return max(high.bit_length(), 1)


def constant(value: int, bits: int) -> str:
    """Return a signed constant.

    Examples
    --------
    >>> constant(-5, 8), constant(0, 3)
    ("-8'sd5", "3'sd0")
    """
    return f"{'-' if value < 0 else ''}{bits}'sd{abs(value)}"


def balanced(terms: Sequence[str]) -> str:
    """Return a sum of terms as a balanced tree.

    Examples
    --------
    >>> balanced(["a", "b", "c"])
    '(a + (b + c))'
    """
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({balanced(terms[:middle])} + {balanced(terms[middle:])})"


def levels(n: int) -> int:
    """Return the depth of a balanced tree of n leaves, at least one."""
    return (n - 1).bit_length()


@dataclass
class Circuit:
    """Lines of a module and their cost.

    Attributes
    ----------
    lines : list of str
        Declarations of wires.
    n_additions, n_comparisons, n_products : int
        How many are done; a sign is a bit of a sum and no comparison, a product or quotient with a
        power of two is a shift.
    """

    lines: list[str] = field(default_factory=list)
    n_additions: int = 0
    n_comparisons: int = 0
    n_products: int = 0

    def name(self) -> str:
        """Return the name of the wire of the next line."""
        return f"w{len(self.lines) + 1}"

    def bit(self, expression: str, depth: int) -> Wire:
        """Declare a wire of one bit."""
        name = self.name()
        self.lines.append(f"wire {name} = {expression};")
        return Wire(name, depth)

    def signed(self, expression: str, bits: int, depth: int) -> Wire:
        """Declare a wire of a signed number."""
        name = self.name()
        self.lines.append(f"wire signed [{bits - 1}:0] {name} = {expression};")
        return Wire(name, depth)

    def total(self, terms: Sequence[tuple[str, int]], bits: int) -> Wire:
        """Declare the sum of expressions of given depths."""
        if not terms:
            return self.signed(constant(0, bits), bits, 0)
        self.n_additions += len(terms) - 1
        return self.signed(
            balanced([text for text, _ in terms]), bits, max(depth for _, depth in terms) + levels(len(terms))
        )

    def tree(self, x: Wire, cuts: Sequence[int], values: Sequence[int], bits: int, x_bits: int) -> str:
        """Return the expression of steps as a search tree."""
        if not cuts:
            return constant(values[0], bits)
        self.n_comparisons += 1
        middle = len(cuts) // 2
        below = self.tree(x, cuts[:middle], values[: middle + 1], bits, x_bits)
        above = self.tree(x, cuts[middle + 1 :], values[middle + 1 :], bits, x_bits)
        return f"({x.name} >= {constant(cuts[middle], x_bits)} ? {above} : {below})"

    def first_largest(
        self, entries: Sequence[tuple[tuple[Wire, ...], int]], bits: Sequence[int], index_bits: int
    ) -> Wire:
        """Declare the index that belongs to the largest key, the first one of equal keys.

        Parameters
        ----------
        entries : sequence of (tuple of Wire, int)
            Keys, compared part by part, and their indices.
        bits : sequence of int
            Of the parts.
        index_bits : int
            Of the indices.
        """
        leaves = [(key, f"{index_bits}'d{index}") for key, index in entries]
        return Wire(*self._winner(leaves, bits, index_bits, is_last=True)[1:])

    def _winner(
        self, leaves: Sequence[tuple[tuple[Wire, ...], str]], bits: Sequence[int], index_bits: int, is_last: bool
    ) -> tuple[tuple[Wire, ...], str, int]:
        if len(leaves) == 1:
            key, index = leaves[0]
            return key, index, max(part.depth for part in key)
        middle = len(leaves) // 2
        one, one_index, one_depth = self._winner(leaves[:middle], bits, index_bits, is_last=False)
        other, other_index, other_depth = self._winner(leaves[middle:], bits, index_bits, is_last=False)
        depth = max(one_depth, other_depth) + 1
        self.n_comparisons += 2 * len(one) - 1
        test = f"{other[-1].name} > {one[-1].name}"
        for a, b in zip(one[-2::-1], other[-2::-1], strict=True):
            test = f"{b.name} > {a.name} || ({b.name} == {a.name} && {test})"
        better = self.bit(test, depth)
        name = self.name()
        self.lines.append(f"wire [{index_bits - 1}:0] {name} = {better.name} ? {other_index} : {one_index};")
        key = one
        if not is_last:
            key = tuple(
                self.signed(f"{better.name} ? {b.name} : {a.name}", n, depth)
                for a, b, n in zip(one, other, bits, strict=True)
            )
        return key, name, depth
