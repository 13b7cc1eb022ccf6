"""Export of fitted classifiers as files for devices, and as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from bdnn.devices.models import measured_model
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.estimators.inputs import given_columns, numbers_as_table
from bdnn.export.exporting import Exported, Wanted, export
from bdnn.export.inputs import Interface, for_numbers
from bdnn.model_file.packed import pack
from bdnn.network.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bdnn.devices.code import Measured
    from bdnn.encoding.codes import ColumnCode
    from bdnn.encoding.encoder import Encoder
    from bdnn.export.request import Optimize
    from bdnn.files import FilePath
    from bdnn.model_file.contents import EnsembleModel, Model
    from bdnn.types import Array, Indices

    _Ends = tuple[float | str, float | str]


class Exportable:
    """A classifier that can be put onto a device."""

    encoder_: Encoder
    classes_: Array

    def _contents(self) -> Model | EnsembleModel:
        raise NotImplementedError

    if TYPE_CHECKING:  # of the other base

        def predict(self, X: ArrayLike | RawTable) -> Array:
            """Return labels."""

    def export(
        self,
        target: str,
        out: FilePath,
        *,
        name: str = "model",
        data: ArrayLike | RawTable | None = None,
        check: ArrayLike | RawTable | None = None,
        scale: Mapping[str, int] | int | None = None,
        every_scale: int | None = None,
        ranges: Mapping[str, _Ends] | _Ends | None = None,
        missing: Sequence[str] = (),
        optimize: Optimize = "size",
        input_bits: int = 8,
        certificate: FilePath | None = None,
        radius: float | None = None,
    ) -> Exported:
        """Write files that decide on a device as `predict` does, in integers only; or ONNX, or properties to verify.

        Parameters
        ----------
        target : str
            What to write: a key of `bdnn.export.targets.TARGETS`, "c" for example.
        out : path-like
            Folder to write to. It is made, or is empty, or holds an earlier export of the same name.
        name : str
            Of files and functions, an identifier.
        data : array-like of shape (n_samples, n_features), data frame or None
            Rows that say which integers occur. Continuous weights need them: they become integers that decide these
            rows alike. Rows for the self-test are taken from them.
        check : array-like of shape (n_samples, n_features), data frame or None
            Rows that the files decide on this machine, and that must get the answers of `predict`.
        scale : dict of str to int, int or None
            Integers per unit, for columns by name or for all numeric ones: with 100, the integer 2350 stands for 23.5.
            Columns of integers need none.
        every_scale : int or None
            Integers per unit of the numeric columns that `scale` does not name.
        ranges : dict of str to (float, float), (float, float) or None
            Least and largest value of columns by name, and of parts of dates by names such as ``"inspected year"``;
            or of all numeric columns. Narrow ranges make small files.
        missing : sequence of str
            Columns that may be missing on the device, besides those of which the model or the data say so.
        optimize : {"size", "speed"}
            What to minimize: the size or the time.
        input_bits : int
            Bits of each input if continuous weights are turned into integers and the inputs are not integers.
        certificate : path-like or None
            File whose hash is recorded in the exported files.
        radius : float or None
            For the target vnnlib: how far each value of a row may be moved.

        Returns
        -------
        bdnn.export.exporting.Exported
            Files that were written, and the number of rows that were checked.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If the model or a column cannot be expressed by integers as declared, or the folder holds other files.
        ExportError
            If the files cannot be built, or decide a row of `check` otherwise. Then nothing is written.
        MissingDependencyError
            If the check needs a compiler that is not installed.
        OutputError
            If the files cannot be written.
        """
        check_is_fitted(self)
        interface = _interface(scale, every_scale, ranges, missing, self.encoder_.columns)
        wanted = Wanted(
            target=target, out=out, name=name, interface=interface, optimize=optimize, input_bits=input_bits,
            certificate=certificate, radius=radius,
        )  # fmt: skip
        given = self._raw(data)
        same = check is not None and check is data
        return export(self._contents(), wanted, self._indices, given, given if same else self._raw(check))

    def device_size(
        self,
        devices: Sequence[str] | None = None,
        *,
        data: ArrayLike | RawTable | None = None,
        scale: Mapping[str, int] | int | None = None,
        every_scale: int | None = None,
        ranges: Mapping[str, _Ends] | _Ends | None = None,
        missing: Sequence[str] = (),
        optimize: Optimize = "size",
        input_bits: int = 8,
    ) -> dict[str, Measured]:
        """Measure bytes of flash and RAM, cycles and stack of the C on devices, by compilers and emulators.

        Parameters
        ----------
        devices : sequence of str or None
            Keys of `bdnn.devices.DEVICES`, such as "atmega328p"; None for all whose compiler is installed.
        data : array-like of shape (n_samples, n_features), data frame or None
            Rows that are run on the emulated devices besides golden ones, and that say which integers occur.
        scale, every_scale, ranges, missing, optimize, input_bits
            As in `export`; `optimize` is also what the compiler is to make little.

        Returns
        -------
        dict of str to bdnn.devices.Measured
            By device; `wrong_rows` counts the rows that got another answer than that of `predict`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If a device is unknown, or the model or a column cannot be expressed by integers as declared.
        ExportError
            If a compiler refuses the files.
        MissingDependencyError
            If a compiler is not installed; without the emulator, there are bytes of flash and RAM alone.
        """
        check_is_fitted(self)
        interface = _interface(scale, every_scale, ranges, missing, self.encoder_.columns)
        return measured_model(
            self._contents(), self._indices, devices, data=self._raw(data), interface=interface, optimize=optimize,
            input_bits=input_bits,
        )  # fmt: skip

    def schema(self, X: ArrayLike | RawTable | None = None) -> Schema:
        """Return what the reader of packed bytes knows without them: columns and labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), data frame or None
            Rows that say which columns hold integers, or decimals of few digits, from where to where, and in which of
            them values are missing: packed models take fewer bytes then, and only rows that keep to it. None for no
            limits, or for the attribute `schema_` of networks that were made for a number of bytes.

        Returns
        -------
        Schema

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If the rows cannot be used.
        """
        check_is_fitted(self)
        known = getattr(self, "schema_", None)
        if X is None and isinstance(known, Schema):
            return known
        return Schema.of(self._contents(), self._raw(X))

    def to_bytes(self, schema: Schema | None = None) -> bytes:
        """Return the model as few bytes, from which `bdnn.from_bytes` makes a classifier that predicts the same.

        Parameters
        ----------
        schema : Schema or None
            What the reader knows, as `schema` returns it; None for that without data, or for the attribute `schema_`
            of networks that were made for a number of bytes.

        Returns
        -------
        bytes
            The networks and the way from columns to their inputs; no labels, names, settings, results or probabilities.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        InputError
            If the schema is of other columns or labels.
        """
        check_is_fitted(self)
        model = self._contents()
        known = getattr(self, "schema_", None) if schema is None else schema
        if known is not None and not isinstance(known, Schema):
            raise InputError(
                f"schema must be a bdnn.Schema, as the method schema returns it, got {type(known).__name__}"
            )
        return pack(model, Schema.of(model) if known is None else known)

    def _raw(self, X: Any) -> RawTable | None:
        if X is None:
            return None
        columns = given_columns(self, self.encoder_, X)
        return columns if isinstance(columns, RawTable) else numbers_as_table(columns, self.encoder_.names)

    def _indices(self, table: RawTable) -> Indices:
        """Return the indices of the classes that are predicted."""
        where = {label: index for index, label in enumerate(self.classes_.tolist())}
        return np.array([where[label] for label in self.predict(table).tolist()], dtype=np.intp)


def _interface(
    scale: Mapping[str, int] | int | None,
    every_scale: int | None,
    ranges: Mapping[str, _Ends] | _Ends | None,
    missing: Sequence[str],
    columns: Sequence[ColumnCode],
) -> Interface:
    """Return what is declared of the columns."""
    each = ranges or {}
    if not isinstance(each, Mapping):
        each = for_numbers(columns, each)
    return Interface(
        scale={} if scale is None or isinstance(scale, int) else dict(scale),
        every_scale=scale if isinstance(scale, int) else every_scale,
        ranges={column: (_exact(column, low), _exact(column, high)) for column, (low, high) in each.items()},
        missing=tuple(missing),
    )


def _exact(column: str, value: float | str | Fraction) -> Fraction:
    """Return a decimal number as it is written: 0.1 is a tenth."""
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"the range of column {column!r} must be two numbers, got {value!r}") from None
