"""What makes a class win that a point is not predicted as, in exact numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Bools, Floats, Integers

_MAX_SUM = 2**30  # sums of integers below this leave half a unit, over the largest weight, visible in doubles


class Plane(NamedTuple):
    """A linear form of the inputs, in exact numbers."""

    weights: list[Fraction]
    constant: Fraction

    def value(self, x: Floats) -> Fraction:
        """Return its value."""
        pairs = zip(self.weights, x.tolist(), strict=True)
        return sum((w * Fraction(v) for w, v in pairs if w and v), self.constant)


class AdversarialClass(NamedTuple):
    """A class that may win: it does if Σ v z + beta >= 0, or > 0 if `strict`, for the bits z of the last hidden layer.

    Attributes
    ----------
    v : list of int or Fraction
        Weights.
    beta : int or Fraction
        Constant.
    strict : bool
        Whether a tie is lost.
    """

    v: Sequence[Any]  # type checkers know no common type of int and Fraction that adds and compares
    beta: Any
    strict: bool

    @property
    def signs(self) -> Integers:
        """The state of each neuron, or direction of each feature, that favors the class: 1, -1, or 0 for neither."""
        return np.array([1 if v > 0 else -1 if v < 0 else 0 for v in self.v])

    @property
    def is_small_integral(self) -> bool:
        """Whether all numbers are integers small enough for half a unit to be seen in floats."""
        numbers = [*self.v, self.beta]
        return all(f.denominator == 1 for f in numbers) and sum(abs(f) for f in numbers) < _MAX_SUM

    def in_integers(self) -> AdversarialClass:
        """Return the same in integers, which are much faster to add."""
        factor = math.lcm(self.beta.denominator, *(v.denominator for v in self.v))
        return AdversarialClass([int(v * factor) for v in self.v], int(self.beta * factor), self.strict)

    def wins(self, z: Iterable[bool]) -> bool:
        """Whether the class wins for some bits."""
        return self._beats(self.beta + sum(v for v, bit in zip(self.v, z, strict=True) if bit))

    def wins_with(self, helpful: Bools) -> bool:
        """Whether the class wins if neurons are in the state that favors it exactly where `helpful`."""
        pairs = zip(self.signs.tolist(), helpful.tolist(), strict=True)
        return self.wins([h == (sign > 0) if sign else False for sign, h in pairs])

    def wins_at(self, x: Floats) -> bool:
        """Whether the class wins for some values, where they are inputs."""
        pairs = zip(self.v, x.tolist(), strict=True)
        return self._beats(sum((v * Fraction(value) for v, value in pairs if v and value), Fraction(self.beta)))

    def _beats(self, score: int | Fraction) -> bool:
        return score > 0 or (score == 0 and not self.strict)

    def plane(self) -> Plane:
        """Return the form of the inputs that must be >= 0, or < 0 if the class loses ties; without hidden layers."""
        sign = -1 if self.strict else 1
        return Plane([Fraction(sign * v) for v in self.v], Fraction(sign * self.beta))


def adversarial_classes(network: Network, code: int) -> list[AdversarialClass]:
    """Return what makes an output other than `code` win, in exact numbers: integers for bits of hidden neurons."""
    weights, bias = network.layers[-1]
    rows = [[Fraction(w) for w in row] for row in weights.tolist()]
    constants = [Fraction(b) for b in bias.tolist()]
    if len(rows) > 1:
        found = [
            AdversarialClass(
                [a - b for a, b in zip(rows[c], rows[code], strict=True)], constants[c] - constants[code], c > code
            )
            for c in range(len(rows))
            if c != code
        ]
    elif code == 1:  # class 1 fires; class 0 must stay below 0
        found = [AdversarialClass([-w for w in rows[0]], -constants[0], True)]
    else:
        found = [AdversarialClass(rows[0], constants[0], False)]
    return found if len(network.layers) == 1 else [one.in_integers() for one in found]
