"""Limits of what the first layer may use: at most so many columns, and signs of the weights of some of them.

An encoded column has several inputs, which form a group: it counts as one. Signs make networks monotone: weights of the
first layer have the sign asked for or are 0, weights of later layers are not negative; docs/cards.md says
what this leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bdnn.columns import numbers_in_order, quoted
from bdnn.errors import InputError
from bdnn.network.network import Layer

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Array, Floats, Indices, Integers

# signed features that a scope names; of more it says how many there are
_NAMED = 4


@dataclass(frozen=True, eq=False, slots=True)
class FeatureLimits:
    """What the first layer may use.

    Attributes
    ----------
    names : tuple of str
        Of the inputs.
    groups : ndarray of shape (n,)
        Column, from 0, that each input comes from.
    n_groups : int
        Columns.
    most : int or None
        Columns that may have weights, None for all.
    signs : ndarray of shape (n,)
        1 where weights must not be negative, -1 where they must not be positive, 0 where they are free.
    """

    names: tuple[str, ...]
    groups: Indices
    n_groups: int
    most: int | None
    signs: Integers

    @property
    def caps(self) -> bool:
        """Whether some columns must be left out."""
        return self.most is not None and self.most < self.n_groups

    @property
    def signed(self) -> bool:
        """Whether some weights have a sign."""
        return bool(np.any(self.signs))

    def __bool__(self) -> bool:
        return self.caps or self.signed

    def used(self, weights: Array) -> Indices:
        """Return the columns with a weight in any neuron of the first layer, of weights of shape (d, n)."""
        return np.unique(self.groups[np.any(weights != 0, axis=0)])

    def violation(self, network: Network) -> str:
        """Say which limit a network breaks; empty if none."""
        weights = network.layers[0].weights
        if self.caps and len(used := self.used(weights)) > (self.most or 0):
            return f"{len(used)} columns have weights, and max_features is {self.most}"
        if not self.signed:
            return ""
        wrong = np.flatnonzero(np.any(weights * self.signs < 0, axis=0))
        if len(wrong):
            sign = "negative" if self.signs[wrong[0]] > 0 else "positive"
            return f"the weight of {self.names[wrong[0]]!r} is {sign}, against monotonic"
        if any(np.any(W < 0) for W, _ in network.layers[1:]):
            return "a weight above the first layer is negative, which monotonic does not allow"
        return ""

    def description(self) -> str:
        """Return the limits as a part of the description of a class of networks; empty if there are none."""
        said = f", at most {self.most} of {self.n_groups} columns" if self.caps else ""
        if not self.signed:
            return said
        up, down = ([self.names[j] for j in np.flatnonzero(self.signs == sign)] for sign in (1, -1))
        for names, sign in ((up, ">= 0"), (down, "<= 0")):
            if names:
                shown = f"of {', '.join(names)}" if len(names) <= _NAMED else f"of {len(names)} features"
                said += f", weights {shown} {sign}"
        return said

    def projected(self, layers: Sequence[Layer], kept: Indices, strength: Floats) -> list[Layer]:
        """Return layers that respect the limits: weights with the wrong sign, and of the weakest columns, become 0.

        Parameters
        ----------
        layers : sequence of Layer
            The first acts on some of the inputs.
        kept : ndarray of shape (n',)
            Which these are.
        strength : ndarray of shape (n',)
            What a weight of 1 can do at each of them.

        Returns
        -------
        list of Layer
            Others than the given ones only where they break a limit.
        """
        if not self:
            return list(layers)
        (W, b), *rest = layers
        W = np.where(W * self.signs[kept] < 0, 0, W)
        if self.caps:
            groups = self.groups[kept]
            size = np.bincount(groups, np.abs(W).sum(axis=0) * strength, minlength=self.n_groups)
            weakest = np.argsort(-size, kind="stable")[self.most :]
            W = np.where(np.isin(groups, weakest), 0, W)
        if self.signed:
            rest = [Layer(np.maximum(V, 0), c) for V, c in rest]
        return [Layer(W, b), *rest]


def feature_limits(
    names: Sequence[str],
    max_features: object,
    monotonic: Mapping[str, int] | ArrayLike | None,
    feature_groups: ArrayLike | None,
) -> FeatureLimits:
    """Return the limits of a problem.

    Parameters
    ----------
    names : sequence of str
        Of the inputs.
    max_features, monotonic, feature_groups
        As for `Problem`.

    Raises
    ------
    InputError
        If one of them is not as described there.
    """
    n = len(names)
    groups = np.arange(n)
    if feature_groups is not None:
        given = np.asarray(feature_groups)
        if given.shape != (n,) or given.dtype.kind not in "iu":
            raise InputError(
                f"feature_groups must hold the column of each of the {n} inputs as an integer, got shape "
                f"{given.shape} and type {given.dtype}"
            )
        groups = np.unique(given, return_inverse=True)[1].ravel()
    if max_features is not None and (
        isinstance(max_features, bool) or not isinstance(max_features, int | np.integer) or max_features < 1
    ):
        raise InputError(f"max_features must be None or a positive integer, got {max_features!r}")
    most = None if max_features is None else int(max_features)
    signs = input_signs(names, monotonic)
    return FeatureLimits(tuple(names), groups, int(groups.max(initial=-1)) + 1, most, signs)


def input_signs(names: Sequence[str], monotonic: Mapping[str, int] | ArrayLike | None) -> Integers:
    """Return the sign of the weights of each input: 1, -1 or 0.

    Parameters
    ----------
    names : sequence of str
        Of the inputs.
    monotonic : mapping of str to int, array-like of shape (n,) or None
        As for `Problem`.

    Returns
    -------
    ndarray of shape (n,)
        Signs.

    Raises
    ------
    InputError
        If a name is unknown, or is that of a categorical column, or a sign is none.
    """
    signs = np.zeros(len(names), dtype=np.int64)
    if monotonic is None:
        return signs
    if isinstance(monotonic, Mapping):
        for name, sign in monotonic.items():
            signs[_inputs_of(names, name)] = _sign(sign, f"of {name!r} ")
        return signs
    given = np.asarray(numbers_in_order("signs of monotonic", monotonic, names))
    if given.shape != (len(names),) or given.dtype.kind not in "iuf":
        raise InputError(
            f"monotonic must be a dict such as {{'age': 1}}, or an array of -1, 0 and 1 with one entry per column "
            f"({len(names)},), got {type(monotonic).__name__} of shape {given.shape}"
        )
    for j, value in enumerate(given.tolist()):
        signs[j] = _sign(value, f"of column {j} ")
    return signs


def _sign(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or value not in (-1, 0, 1):
        raise InputError(f"monotonic: the sign {what}must be 1, -1 or 0, got {value!r}")
    return int(value)


def _inputs_of(names: Sequence[str], name: str) -> list[int]:
    """Return the inputs that a name of `monotonic` stands for."""
    if not isinstance(name, str):
        raise InputError(f"monotonic: names must be strings, got {name!r}; for positions give an array")
    if found := [j for j, other in enumerate(names) if other == name]:
        return found
    raise InputError(f"monotonic has no column {name!r} to apply to; the columns are {quoted(list(names))}")
