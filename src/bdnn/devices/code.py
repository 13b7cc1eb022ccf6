"""A classifier in C, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bdnn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bdnn.types import Array

Unit = Literal["cycles", "instructions"]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Code:
    """A classifier in C.

    Attributes
    ----------
    files : dict of str to str or bytes
        Headers and sources, by paths with slashes.
    sources : tuple of str
        Those of the files that are compiled.
    header : str
        The one that the main program includes.
    predict : str
        Expression in C for the answer to the array x, such as ``model_predict(x)``.
    element : str
        Type of an element of x, such as ``int16_t`` or ``float``.
    rows : ndarray of shape (m, n)
        What x holds, row by row.
    expected : ndarray of shape (m,)
        The answers, integers.
    flags : tuple of str
        Further flags for the compiler.
    declarations : str
        C that follows the includes.
    """

    files: Mapping[str, str | bytes]
    sources: tuple[str, ...]
    header: str
    predict: str
    element: str
    rows: NDArray[Any]
    expected: NDArray[Any]
    flags: tuple[str, ...] = ()
    declarations: str = ""

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.expected.shape != (len(self.rows),) or not self.rows.shape[1]:
            raise InputError(
                f"rows must have shape (m, n) with n >= 1, and expected shape (m,); got {self.rows.shape} and "
                f"{self.expected.shape}"
            )
        if unknown := [path for path in (*self.sources, self.header) if path not in self.files]:
            raise InputError(f"{unknown[0]!r} is not among the files, which are {', '.join(self.files)}")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Measured:
    """What a classifier takes on a device, each figure without that of a stub in its place.

    Attributes
    ----------
    device : str
        Key of `bdnn.devices.DEVICES`.
    optimize : {"size", "speed"}
        What the compiler was to make little.
    flash : int
        Bytes of code, constants and initial values of variables, with what is linked from libraries.
    ram : int
        Bytes of variables that exist all the time.
    stack : int or None
        Most bytes of the stack that a decision used, from its call on; None if it was not run.
    cycles_mean, cycles_most : float and int, or None
        Of a decision, in the unit.
    unit : {"cycles", "instructions"} or None
        What was counted.
    rows : int
        How many rows were run.
    wrong_rows : int
        How many of them got another answer than the expected one.
    first_wrong : int or None
        Index of the first of these among all rows.
    float_functions : tuple of str
        Functions of the compiler's library for floating-point numbers that are linked.
    compiler : str
        Its name and version.
    why_not_run : str or None
        In words.
    remark : str or None
        What else must be said of the run.
    """

    device: str
    optimize: Literal["size", "speed"]
    flash: int
    ram: int
    stack: int | None = None
    cycles_mean: float | None = None
    cycles_most: int | None = None
    unit: Unit | None = None
    rows: int = 0
    wrong_rows: int = 0
    first_wrong: int | None = None
    float_functions: tuple[str, ...] = ()
    compiler: str
    why_not_run: str | None = None
    remark: str | None = None


_INTEGERS = {f"{kind}{bits}_t": np.iinfo(f"{kind}{bits}") for bits in (8, 16, 32, 64) for kind in ("int", "uint")}
"""Ranges of the types of the language."""


def octets_of_rows(code: Code, rows: Array, double: int) -> bytes:
    """Return rows as a device has them in memory: little-endian elements.

    Parameters
    ----------
    code : Code
        What is given the rows.
    rows : ndarray
        Some of its rows.
    double : int
        Bytes of a double on the device.

    Raises
    ------
    InputError
        If the type of the elements is unknown, or cannot hold them.
    """
    if code.element in ("float", "double"):
        size = 4 if code.element == "float" else double
        return np.ascontiguousarray(rows, dtype=f"<f{size}").tobytes()
    if code.element not in _INTEGERS:
        raise InputError(
            f"the type of elements must be one of {', '.join(_INTEGERS)}, float, double; got {code.element!r}"
        )
    ends = _INTEGERS[code.element]
    if rows.size and not (ends.min <= rows.min() and rows.max() <= ends.max and np.all(rows == np.rint(rows))):
        raise InputError(f"some elements of the rows are no {code.element}")
    return np.ascontiguousarray(rows).astype(ends.dtype.newbyteorder("<")).tobytes()


def octets_of_answers(answers: Array, chosen: Array) -> tuple[str, bytes]:
    """Return the narrowest C type that holds all answers, and some of them in it."""
    low, high = int(answers.min(initial=0)), int(answers.max(initial=0))
    bits = next(bits for bits in (8, 16, 32, 64) if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1))
    return f"int{bits}_t", answers[chosen].astype(f"<i{bits // 8}").tobytes()
