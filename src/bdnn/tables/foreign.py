"""Text files that are no tables of lines and cells: recognized by what they hold, and how to convert them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence

from bdnn.errors import InputError

_SEEN_LINES = 50  # lines that a file of lines is recognized from
_MARK_UP = {"<!doctype html": "read_html({})[0]", "<html": "read_html({})[0]", "<table": "read_html({})[0]"}
_ARRAY = re.compile(r'\[\s*(?:\{\s*["}]|\[\s*[-\d"])')
_OBJECT = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\w"{\[+-]')
_PAIRS = re.compile(r"[+-]?\d+(?:\.\d+)?((?:\s+\d+:[+-]?\d\S*)*)\s*(?:#.*)?")
_MINUTES = re.compile(r"[0-5]\d")


def refuse_foreign(name: str, sample: str) -> None:
    """Raise an error if a text is JSON, HTML, XML, ARFF or LIBSVM's format.

    Parameters
    ----------
    name : str
        Of the file.
    sample : str
        Its first lines.

    Raises
    ------
    InputError
        If it is; the message says how to convert the file.
    """
    text = sample.lstrip("\ufeff \t\r\n")
    lines = text.split("\n", _SEEN_LINES)[:_SEEN_LINES]
    found = _json(text) or _mark_up(text) or _arff(lines) or _libsvm(lines)
    if found:
        what, how = found
        raise InputError(f"{name} is {what} and not a table of lines and cells; {how.format(repr(name))}")


def _pandas(call: str) -> str:
    return f"convert it, for example with pandas: pandas.{call}.to_csv('table.csv', index=False)"


def _json(text: str) -> tuple[str, str] | None:
    if _ARRAY.match(text):
        return "a JSON array", _pandas("read_json({})")
    if not _OBJECT.match(text):
        return None
    try:
        found, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return "JSON", _pandas("read_json({})")  # cut off, or damaged
    rest = text[end:].lstrip(" \t")
    if not isinstance(found, dict) or (rest and rest[0] not in "\r\n"):
        return None
    lines = rest.lstrip().startswith("{")
    return ("a JSON Lines file", _pandas("read_json({}, lines=True)")) if lines else ("JSON", _pandas("read_json({})"))


def _mark_up(text: str) -> tuple[str, str] | None:
    start = text[:20].lower()
    if call := next((call for tag, call in _MARK_UP.items() if start.startswith(tag)), None):
        return "an HTML page", _pandas(call)
    if start.startswith("<?xml"):
        return "an XML file", "save the sheet as CSV if it is one, or convert the file"
    return None


def _arff(lines: Sequence[str]) -> tuple[str, str] | None:
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("%")), "")
    if not first.lstrip().lower().startswith("@relation"):
        return None
    return "an ARFF file", "write one line of names in place of the lines up to @data, and save it as CSV"


def _libsvm(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return what to say of lines of a label and pairs such as ``3:0.5`` of rising numbers; not of times of day."""
    sure = False
    for line in filter(str.strip, lines):
        match = _PAIRS.fullmatch(line.strip())
        if match is None:
            return None
        pairs = [pair.split(":", 1) for pair in match[1].split()]
        numbers = [int(number) for number, _ in pairs]
        if any(left >= right for left, right in itertools.pairwise(numbers)):
            return None
        sure = sure or any(not _MINUTES.fullmatch(value) for _, value in pairs)
    if not sure:
        return None
    how = (
        "convert it, for example: X, y = sklearn.datasets.load_svmlight_file({}); "
        "pandas.DataFrame(X.toarray()).assign(target=y).to_csv('table.csv', index=False)"
    )
    return "a file in LIBSVM's format", how
