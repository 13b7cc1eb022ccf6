"""Which rows and columns of a table a certificate is about, so that a check needs only the file and the table.

Notes
-----
The part ``table`` of a certificate is an object of exactly these names:

- ``target``, the column of the labels, and ``features``, those of the inputs, in the order of the weights;
- ``rows``: the numbers of rows that are in turn taken and left out, from the first row of the table on, so that
  [3, 1, 2] means rows 0 to 2, 4 and 5 of a table of six;
- ``fill``: what a missing value of each feature was replaced by, or null if none was missing;
- ``inputs``, only where the columns are not inputs themselves: how they become inputs, as the object of the names
  ``encoder`` (as in model files), ``na`` (what stands for missing values, or null for what usually does) and ``dates``
  (formats by column). Then ``fill`` is null, and features are columns, of any number;
- ``weight``, only where rows have weights: the column of these. Certificates of earlier versions do not have it;
- ``drop``, ``missing``, ``test_fraction`` and ``seed``: the settings by which all this was chosen. They are recorded,
  but nothing depends on them. Fraction and seed are null if they are not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdnn.checker.values import OTHER_DATA, exactly, fail, integer, items, shown
from bdnn.errors import CertificateError

__all__ = ["TablePart", "read_table_part", "table_part"]

_MAX_ROWS = 2**31  # as many as indices of points
_RULES = ("median", "error")
_MAX_NAMED = 8  # in messages


@dataclass(frozen=True, slots=True)
class TablePart:
    """The part ``table`` of a certificate; see the module.

    Attributes
    ----------
    target : str
        Column of the labels.
    features : tuple of str
        Columns of the inputs.
    rows : tuple of int
        Numbers of rows that are in turn taken and left out.
    fill : tuple of float or None
        Replacements of missing values.
    drop : tuple of str
        Columns that were left out.
    missing : str
        Rule for missing values.
    test_fraction : float or None
        Part of the rows that was held out.
    seed : int or None
        Seed of that split.
    inputs : mapping of str to object, or None
        How columns become inputs, None if they are inputs themselves.
    weight : str or None
        Column of the weights of rows, None if it is not recorded.
    """

    target: str
    features: tuple[str, ...]
    rows: tuple[int, ...]
    fill: tuple[float, ...] | None
    drop: tuple[str, ...]
    missing: str
    test_fraction: float | None
    seed: int | None
    inputs: Mapping[str, Any] | None = None
    weight: str | None = None

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return sum(self.rows)

    @property
    def n_taken(self) -> int:
        """Rows that the certificate is about."""
        return sum(self.rows[::2])

    def take(self, n_rows: int) -> NDArray[np.intp]:
        """Return the numbers of the rows that the certificate is about.

        Parameters
        ----------
        n_rows : int
            Rows of the table at hand.

        Returns
        -------
        ndarray of shape (n_taken,)
            Ascending.

        Raises
        ------
        CertificateError
            If the certificate is about a table of more or fewer rows.
        """
        if n_rows != self.n_rows:
            raise CertificateError(
                f"data: the table has {n_rows} rows, the certificate's table has {self.n_rows}; {OTHER_DATA}"
            )
        return np.flatnonzero(np.repeat(np.arange(len(self.rows)) % 2 == 0, self.rows))

    def filled(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[str, tuple[int, float]]]:
        """Replace missing values.

        Parameters
        ----------
        values : ndarray of shape (m, n_features)
            Inputs, NaN where they are missing.

        Returns
        -------
        inputs : ndarray of shape (m, n_features)
            The same with replacements.
        replaced : dict of str to (int, float)
            For each feature with missing values, their number and the replacement.
        """
        gaps = np.isnan(values)
        if self.fill is None or not gaps.any():
            return values, {}
        counts = gaps.sum(axis=0).tolist()
        replaced = {
            name: (count, value) for name, count, value in zip(self.features, counts, self.fill, strict=True) if count
        }
        return np.where(gaps, np.array(self.fill), values), replaced

    def described(
        self, table: str, replaced: Mapping[str, tuple[int, float | str]], *, stated: bool = True, n_unlabeled: int = 0
    ) -> str:
        """Return in words which rows of a table a certificate is about.

        Parameters
        ----------
        table : str
            Name of the table.
        replaced : mapping of str to (int, float or str)
            For each column with missing values, their number and the replacement.
        stated : bool
            Whether only the certificate states how the rows were chosen.
        n_unlabeled : int
            Rows of the table without a label, which are left out.

        Returns
        -------
        str
            A part of a sentence.
        """
        some = f"{self.n_taken} of {self.n_rows} rows of {table}"
        if self.n_taken == self.n_rows:
            some = f"all {self.n_rows} rows of {table}"
        elif self.n_taken + n_unlabeled == self.n_rows:
            some += ", all that have a label"
        elif self.test_fraction is not None and self.seed is not None:
            how = "stated to be the training rows of" if stated else "the training rows of"
            some += f", {how} --test-fraction {self.test_fraction:g} --seed {self.seed}"
        if n_unlabeled:
            some += f", {n_unlabeled} row{'s' if n_unlabeled > 1 else ''} without a label left out"
        if self.drop:
            some += f", without {'columns' if len(self.drop) > 1 else 'column'} {_listed(map(repr, self.drop))}"
        if self.weight is not None:
            some += f", weighted by column {self.weight!r}"
        if replaced:
            values = {name: v if isinstance(v, str) else f"{v:g}" for name, (_, v) in replaced.items()}
            amounts = (f"{count} in {name!r} by {values[name]}" for name, (count, _) in replaced.items())
            some += f", missing values replaced: {_listed(amounts)}"
        return some


def table_part(
    *,
    target: str,
    features: Sequence[str],
    rows: NDArray[np.intp],
    n_rows: int,
    fill: Sequence[float] | None,
    drop: Sequence[str],
    missing: str,
    test_fraction: float | None,
    seed: int | None,
    inputs: Mapping[str, Any] | None = None,
    weight: str | None = None,
) -> dict[str, Any]:
    """Return the part ``table`` of a certificate.

    Parameters
    ----------
    target : str
        Column of the labels.
    features : sequence of str
        Columns of the inputs.
    rows : ndarray of int
        Numbers of the rows that the certificate is about, ascending.
    n_rows : int
        Rows of the table.
    fill : sequence of float or None
        Replacements of missing values.
    drop : sequence of str
        Columns that were left out.
    missing : str
        Rule for missing values.
    test_fraction : float or None
        Part of the rows that was held out.
    seed : int or None
        Seed of that split.
    inputs : mapping of str to object, or None
        How columns become inputs; None if they are inputs themselves.
    weight : str or None
        Column of the weights of rows.

    Returns
    -------
    dict
        The part to put into the certificate, whose version becomes 2, or 3 with `inputs` or `weight`.
    """
    taken = np.zeros(n_rows, dtype=bool)
    taken[rows] = True
    ends = [*(np.flatnonzero(taken[1:] != taken[:-1]) + 1).tolist(), n_rows]
    lengths = np.diff([0, *ends]).tolist()
    optional = {"inputs": None if inputs is None else dict(inputs), "weight": weight}
    return {name: value for name, value in optional.items() if value is not None} | {
        "target": target,
        "features": list(features),
        "rows": lengths if taken[0] else [0, *lengths],
        "fill": None if fill is None else list(fill),
        "drop": list(drop),
        "missing": missing,
        "test_fraction": test_fraction,
        "seed": seed,
    }


def read_table_part(value: object, n_features: int, n_rows: int) -> TablePart:
    """Check the part ``table`` of a certificate.

    Parameters
    ----------
    value : object
        From the file.
    n_features, n_rows : int
        What the certificate says of its data.

    Returns
    -------
    TablePart
        Its contents.

    Raises
    ------
    CertificateError
        If it is not as described in the module, or does not match the data.
    """
    names = "target features rows fill drop missing test_fraction seed"
    optional = [name for name in ("inputs", "weight") if isinstance(value, dict) and name in value]
    parts = exactly("table", value, " ".join((names, *optional)))
    encoded = "inputs" in optional
    inputs = exactly("table: inputs", parts["inputs"], "encoder na dates") if encoded else None
    target = _name("table: target", parts["target"])
    features = _names("table: features", parts["features"], None if encoded else n_features)
    if len({target, *features}) <= len(features):
        raise fail("table: features", "must be different columns, and none of them the target")
    weight = _name("table: weight", parts["weight"]) if "weight" in optional else None
    if weight in (target, *features):
        raise fail("table: weight", "must be a column that is neither the target nor a feature")
    rows = tuple(integer("table: rows", length, 0, _MAX_ROWS) for length in items("table: rows", parts["rows"]))
    if sum(rows) >= _MAX_ROWS or 0 in rows[1:]:
        raise fail("table: rows", f"must add up to less than {_MAX_ROWS} and be positive except for the first one")
    if sum(rows[::2]) != n_rows:
        raise fail("table: rows", f"{sum(rows[::2])} rows are taken, and data has n_rows {n_rows}")
    fill = parts["fill"]
    if encoded and fill is not None:
        raise fail("table: fill", "must be null if there are inputs, which say what replaces missing values")
    if fill is not None:
        fill = tuple(_double("table: fill", number) for number in items("table: fill", fill, n_features))
    missing, fraction, seed = parts["missing"], parts["test_fraction"], parts["seed"]
    if missing not in _RULES:
        raise fail("table: missing", f"must be {' or '.join(map(repr, _RULES))}, got {shown(missing)}")
    if fraction is not None and not 0 <= _double("table: test_fraction", fraction) < 1:
        raise fail("table: test_fraction", f"must be from 0 to below 1, got {shown(fraction)}")
    return TablePart(
        target=target,
        features=features,
        rows=rows,
        fill=fill,
        drop=_names("table: drop", parts["drop"]),
        missing=missing,
        test_fraction=fraction,
        seed=None if seed is None else integer("table: seed", seed, 0, _MAX_ROWS),
        inputs=inputs,
        weight=weight,
    )


def _name(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise fail(place, f"must be the name of a column, got {shown(value)}")
    return value


def _names(place: str, value: object, length: int | None = None) -> tuple[str, ...]:
    return tuple(_name(place, name) for name in items(place, value, length))


def _double(place: str, value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is not int or abs(value) > 2**53:
        raise fail(place, f"must be a finite double, got {shown(value)}")
    return value


def _listed(parts: Iterable[str]) -> str:
    known = [part if len(part) <= 60 else f"{part[:57]}..." for part in parts]
    return ", ".join(known[:_MAX_NAMED]) + (f", … ({len(known)} in all)" if len(known) > _MAX_NAMED else "")
