"""Values in a certificate, each checked before it is believed; every error says where it is."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from bdnn.errors import CertificateError

OTHER_DATA = "are they the same?"
"""The end of messages if the data are not those of the certificate."""

MAX_BITS = 1024  # any double that is an integer has at most this many bits
_RATIONAL = re.compile(r"-?[0-9]{1,1300}(/[0-9]{1,1300})?", re.ASCII)


def fail(place: str, problem: str) -> CertificateError:
    """Return the error for a place in the certificate."""
    return CertificateError(f"{place}: {problem}")


def shown(value: object) -> str:
    """Return a value as text for error messages, which is short for any value."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def exactly(place: str, value: object, names: str) -> dict[str, Any]:
    """Return an object, which must have these names and no others."""
    if not isinstance(value, dict):
        raise fail(place, f"must be an object, got {shown(value)}")
    required = names.split()
    for name in required:
        if name not in value:
            raise fail(place, f"{name!r} is missing")
    for name in value:
        if name not in required:
            raise fail(place, f"unknown name {shown(name)}")
    return value


def items(place: str, value: object, length: int | None = None) -> list[Any]:
    """Return a list, of a certain length if one is given."""
    if not isinstance(value, list):
        raise fail(place, f"must be a list, got {shown(value)}")
    if length is not None and len(value) != length:
        raise fail(place, f"must have length {length}, got {len(value)}")
    return value


def integer(place: str, value: object, low: int, below: int = 1 << MAX_BITS) -> int:
    """Return an integer from a range."""
    if type(value) is not int or not low <= value < below:
        most = f" and below {below}" if below.bit_length() <= 64 else f" of at most {MAX_BITS} bits"
        raise fail(place, f"must be an integer, at least {low}{most}, got {shown(value)}")
    return value


def rational(place: str, value: object) -> Fraction:
    """Return the rational that a string holds."""
    if not isinstance(value, str) or not _RATIONAL.fullmatch(value):
        raise fail(place, f"must be a rational in a string such as '7' or '15/2', got {shown(value)}")
    top, _, bottom = value.partition("/")
    if bottom and int(bottom) == 0:
        raise fail(place, f"has denominator zero: {shown(value)}")
    return Fraction(int(top), int(bottom or "1"))
