"""Weights of classes in the loss that a certificate is about, and how they were determined.

Notes
-----
The part ``class_weight`` of a certificate is an object of exactly these names:

- ``weights``: the weight of each class, in the order of the classes; the weight of a row is that of its class, times
  its own if rows have weights, rounded to a double;
- ``rule``: "given", or "balanced" if both classes have the same total weight, up to the rounding of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdnn.checker.values import exactly, fail, items, shown

if TYPE_CHECKING:
    from bdnn.checker.data import MergedData

_RULES = ("given", "balanced")
# balanced weights are exact where few digits suffice, else multiples of 2^-20, with errors of 1e-6 near 1
_BALANCED_WITHIN = Fraction(1, 10**6)


@dataclass(frozen=True, slots=True)
class ClassWeight:
    """The part ``class_weight`` of a certificate; see the module.

    Attributes
    ----------
    weights : pair of float
        Weight of each class.
    rule : {"given", "balanced"}
        How they were determined.
    """

    weights: tuple[float, float]
    rule: str

    @property
    def described(self) -> str:
        """Both in words."""
        first, second = self.weights
        return f"class weights {first!r} and {second!r}" + (", balanced" if self.rule == "balanced" else "")

    def check_rule(self, data: MergedData) -> None:
        """Check that classes whose weights are said to be balanced have the same total weight.

        Raises
        ------
        CertificateError
            If they do not.
        """
        first, second = (sum((pair[k] for pair in data.class_weights), Fraction(0)) for k in (0, 1))
        if self.rule == "balanced" and abs(first - second) > _BALANCED_WITHIN * max(first, second):
            raise fail(
                "class_weight: rule",
                f"says 'balanced', but the classes have total weights {float(first):g} and {float(second):g}",
            )


def class_weight_part(weights: NDArray[Any], balanced: bool) -> dict[str, Any]:
    """Return the part ``class_weight`` of a certificate, whose version it makes 3."""
    return {"weights": weights.tolist(), "rule": "balanced" if balanced else "given"}


def read_class_weight(value: object) -> ClassWeight:
    """Check the part ``class_weight`` of a certificate.

    Raises
    ------
    CertificateError
        If it is not as described in the module.
    """
    parts = exactly("class_weight", value, "weights rule")
    weights = items("class_weight: weights", parts["weights"], 2)
    for weight in weights:
        # a larger integer is beyond the range of doubles
        number = type(weight) is float or (type(weight) is int and abs(weight) <= 2**53)
        if not number or not math.isfinite(weight) or weight < 0:
            raise fail("class_weight: weights", f"must be finite doubles that are not negative, got {shown(weight)}")
    if parts["rule"] not in _RULES:
        raise fail("class_weight: rule", f"must be {' or '.join(map(repr, _RULES))}, got {shown(parts['rule'])}")
    return ClassWeight((float(weights[0]), float(weights[1])), parts["rule"])


def weighted_rows(
    class_weight: ClassWeight | None, y: ArrayLike, classes: tuple[Any, Any], sample_weight: ArrayLike | None
) -> ArrayLike | None:
    """Return the weights of rows in the loss, None for 1 each; labels that are not classes are rejected elsewhere."""
    if class_weight is None:
        return sample_weight
    given: Any = y.tolist() if hasattr(y, "tolist") else y
    weights: Mapping[Any, float] = dict(zip(classes, class_weight.weights, strict=True))
    own = np.array([weights.get(label.item() if isinstance(label, np.generic) else label, 1.0) for label in given])
    return own if sample_weight is None else own * np.asarray(sample_weight, dtype=np.float64)
