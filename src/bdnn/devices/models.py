"""Models of ours on devices: their C with golden rows and rows of a table, measured on one device after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bdnn.devices.code import Code, Measured
from bdnn.devices.measuring import measure
from bdnn.devices.registry import DEVICES, device_of, installed
from bdnn.errors import MissingDependencyError
from bdnn.export.c import C
from bdnn.export.c_header import value_type
from bdnn.export.inputs import Interface
from bdnn.export.preparing import prepared
from bdnn.export.request import OPTIMIZE
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.export.request import Optimize, Request
    from bdnn.model_file.contents import EnsembleModel, Model
    from bdnn.types import Indices, Integers

_NAME = "model"  # of files and functions


def measured_model(
    model: Model | EnsembleModel,
    predict: Callable[[RawTable], Indices],
    devices: Sequence[str] | None = None,
    *,
    data: RawTable | None = None,
    interface: Interface | None = None,
    optimize: Optimize = "size",
    input_bits: int = 8,
    run: bool = True,
    most_rows: int | None = None,
) -> dict[str, Measured]:
    """Return what the C of a model takes on devices, by their names.

    Parameters
    ----------
    model : Model or EnsembleModel
        What predicts.
    predict : callable
        Returns the indices of the classes that the model itself gives the rows of a table.
    devices : sequence of str or None
        Keys of `bdnn.devices.DEVICES`; None for those whose compiler is installed.
    data : RawTable or None
        Rows that are run besides the golden ones, and that say how large integers are.
    interface : Interface or None
        What is declared of the columns.
    optimize : {"size", "speed"}
        What export and compiler are to make little.
    input_bits : int
        Bits of the grids of networks that are made integers.
    run, most_rows
        As for `bdnn.devices.measure`.

    Returns
    -------
    dict of str to Measured

    Raises
    ------
    InputError
        If a device is unknown, or the model cannot be expressed by integers.
    ExportError
        If integers decide a row of the table otherwise than the model, or a compiler refuses the files.
    MissingDependencyError
        If a compiler is not installed.
    """
    choice("optimize", optimize, OPTIMIZE)
    chosen = checked_devices(devices)
    request, rows = prepared(
        model, _NAME, interface or Interface(), predict, data, optimize=optimize, input_bits=input_bits
    )
    code = code_of(request, rows, None if data is None else predict(data))
    return {name: measure(code, name, optimize, run, most_rows=most_rows) for name in chosen}


def checked_devices(devices: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of devices whose compilers are installed; None stands for all of these.

    Raises
    ------
    InputError
        If one is unknown.
    MissingDependencyError
        If the compiler of one is not installed, or of all of them.
    """
    if devices is not None:
        for name in devices:
            device_of(name).check_compiler()
        return tuple(dict.fromkeys(devices))
    if found := installed():
        return found
    raise MissingDependencyError(no_compiler())


def no_compiler() -> str:
    """Return what is said if no compiler for a device is installed."""
    packages = dict.fromkeys(device.compiler_package for device in DEVICES.values())
    return (
        f"no compiler for a device is installed; on Debian, run: {', or '.join(f'apt install {p}' for p in packages)}"
    )


def code_of(request: Request, rows: Integers | None = None, expected: Indices | None = None) -> Code:
    """Return the C of an export, with its golden rows and those of a table, whose answers are given."""
    files, name = C().files(request), request.name
    given, answers = request.rows, request.answers
    if rows is not None and expected is not None:
        given, answers = np.concatenate([given, rows]), np.concatenate([answers, expected])
    if not given.shape[1]:
        given = np.zeros((len(given), 1), dtype=np.int64)  # a constant network takes one integer, and reads none
    return Code(
        files=files, sources=(f"{name}.c",), header=f"{name}.h", predict=f"{name}_predict(x)",
        element=f"{value_type(request.program)}_t", rows=given, expected=answers,
    )  # fmt: skip
