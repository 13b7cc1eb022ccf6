"""The labels of a target column: what its different texts stand for, and which of them are alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.labels import from_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.encoding.raw import RawTable
    from bdnn.types import Array

_FEWEST_ROWS = 20  # of which a column may be called a copy of the target
_FIRST_ROWS = 1000  # that are looked at before all
# a whole number as programs write it among integers and among numbers with decimals: 2 and 2.0
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0+)?")


def labels_of(texts: Sequence[str]) -> Array:
    """Return the label that each text of a column stands for.

    Parameters
    ----------
    texts : sequence of str
        Different ones, none of them missing, without blanks around them.

    Returns
    -------
    ndarray of shape (k,)
        Integers where all are whole numbers, some of them written twice, with decimals and without; else as
        `bdnn.labels.from_text` has it.

    Examples
    --------
    >>> labels_of(["1", "1.0", "2"]), labels_of(["1.0", "2.5"]), labels_of(["01", "1"])
    (array([1, 1, 2]), array([1. , 2.5]), array(['01', '1'], dtype='<U2'))
    """
    whole = [match[1] for match in map(_WHOLE.fullmatch, texts) if match]
    if len(whole) == len(texts) and len(set(whole)) < len(whole):
        return np.array(list(map(int, whole)), dtype=np.int64)
    return from_text(texts)


def written_twice(labels: Sequence[Any], texts: Sequence[str]) -> list[int]:
    """Return the places of labels that are there as another text as well.

    Examples
    --------
    >>> written_twice([1, 1, 2, 2], ["1", "1.0", "2", "2"])
    [0, 1]
    """
    written: dict[Any, set[str]] = {}
    for label, text in zip(labels, texts, strict=True):
        written.setdefault(label, set()).add(text)
    return [place for place, label in enumerate(labels) if len(written[label]) > 1]


def differ_by_case(labels: Array) -> list[str]:
    """Return the labels, sorted, that are the same as others but for upper and lower case.

    Examples
    --------
    >>> differ_by_case(np.array(["Yes", "no", "yes"]))
    ['Yes', 'yes']
    """
    texts = np.unique(labels).tolist() if labels.dtype.kind == "U" else []
    return [texts[k] for k in written_twice([text.casefold() for text in texts], texts)]


def copies(columns: RawTable, labels: Array) -> list[str]:
    """Return the columns that say the same as the labels in every row, one value for each label.

    Parameters
    ----------
    columns : RawTable
        Of m rows.
    labels : ndarray of shape (m,)
        Their labels.

    Returns
    -------
    list of str
        Names; none where there are few rows or only one label.
    """
    if len(labels) < _FEWEST_ROWS:
        return []
    found = list(columns.columns)
    for rows in (slice(_FIRST_ROWS), slice(None)):
        codes = np.unique(labels[rows], return_inverse=True)[1].ravel()
        found = [column for column in found if _same(column.values[rows], codes)]
        if not found:
            return []
    return [column.name for column in found]


def _same(values: Array, codes: Array) -> bool:
    """Return whether values and codes from 0 on are the same but for their names, and come again."""
    n_codes = int(codes.max()) + 1
    different, places = np.unique(values, return_inverse=True)
    if not 2 <= n_codes <= len(codes) // 2 or len(different) != n_codes:
        return False
    return len(np.unique(places.ravel() * n_codes + codes)) == n_codes
