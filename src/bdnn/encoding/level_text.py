"""The text of a level of a categorical column, the same from files and data frames."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

_WHOLE = 2.0**63  # larger numbers would be long strings of digits, most of which mean nothing


def level_text(value: object) -> str:
    """Return the text of a level.

    Parameters
    ----------
    value : object
        Text, a number, a truth value, a date, or anything that can be written.

    Returns
    -------
    str
        As `bdnn.encoding.kinds` says.

    Examples
    --------
    >>> [level_text(value) for value in (" red ", 3.0, 0.5, True, "01", datetime.date(2024, 1, 31))]
    ['red', '3', '0.5', 'true', '01', '2024-01-31']
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    if isinstance(value, np.datetime64 | datetime.date):
        text = np.datetime_as_string(np.datetime64(naive(value), "us"), unit="s")
        return text.removesuffix("T00:00:00")
    return str(value).strip()


def naive(value: Any) -> Any:
    """Return a date without a time zone, in UTC if it has one: files keep no other zone."""
    if isinstance(value, datetime.datetime) and value.utcoffset() is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value
