"""An export from beginning to end: program, files, check, and the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.errors import ExportError, InputError
from bdnn.export.host import octets
from bdnn.export.inputs import Interface, device_rows
from bdnn.export.names import checked_name
from bdnn.export.preparing import facts_of, prepared
from bdnn.export.request import OPTIMIZE, Files, ModelRequest, Optimize, Request
from bdnn.export.targets import MODEL_TARGETS, names, target_of
from bdnn.files import check_folder, write_folder
from bdnn.model_file.contents import Model
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.export.program import IntegerProgram
    from bdnn.files import FilePath
    from bdnn.model_file.contents import EnsembleModel
    from bdnn.types import Indices

MANIFEST = "bdnn-export.json"
"""File that lists the others of an export; it says which may be replaced."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Wanted:
    """Settings of an export; see `bdnn.BDNNClassifier.export`."""

    target: str
    out: FilePath
    name: str = "model"
    interface: Interface = field(default_factory=Interface)
    optimize: Optimize = "size"
    input_bits: int = 8
    certificate: FilePath | None = None
    radius: float | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Exported:
    """Outcome of an export.

    Attributes
    ----------
    files : tuple of str
        Paths of the files that were written.
    program : IntegerProgram or None
        What they compute; None if they take the values of the table as they are.
    n_checked : int
        Rows that the files themselves decided, all as `predict` does.
    """

    files: tuple[str, ...]
    program: IntegerProgram | None
    n_checked: int = 0


def export(
    model: Model | EnsembleModel,
    wanted: Wanted,
    predict: Callable[[RawTable], Indices],
    data: RawTable | None = None,
    check: RawTable | None = None,
) -> Exported:
    """Write the files of a target for a model.

    Parameters
    ----------
    model : Model or EnsembleModel
        What predicts.
    wanted : Wanted
        Settings.
    predict : callable
        Returns the indices of the classes that the model itself gives the rows of a table.
    data : RawTable or None
        Rows that say how large integers are and become golden rows; those of `check` if there are no others.
    check : RawTable or None
        Rows that the files are to decide on this machine.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        If something cannot be expressed by integers, or the folder holds other files.
    ExportError
        If the files cannot be built, or decide otherwise than the model.
    MissingDependencyError
        If a check needs a tool that is not installed.
    OutputError
        If the files cannot be written; then none is.
    """
    if wanted.radius is not None and wanted.target in names() and wanted.target != "vnnlib":
        raise InputError(f"a radius is for the target vnnlib, not for {wanted.target!r}; leave --radius out")
    if wanted.target in MODEL_TARGETS:
        return _of_model(model, wanted, predict, data, check)
    target, name = target_of(wanted.target), checked_name(wanted.name)
    choice("optimize", wanted.optimize, OPTIMIZE)
    old = _checked_place(wanted.out, name)
    if check is not None:
        target.check_tools()
    known = check if data is None else data
    request, rows = prepared(
        model, name, wanted.interface, predict, known, optimize=wanted.optimize, input_bits=wanted.input_bits,
        certificate=wanted.certificate,
    )  # fmt: skip
    program = request.program
    files = dict(target.files(request))
    n_checked = 0
    if check is not None:
        given = rows if rows is not None and check is known else device_rows(program.inputs, check)
        n_checked = _all_equal(target.decide(request, files, given), predict(check))
    manifest = _manifest(request, wanted.target, files, program.classes)
    manifest |= {"optimize": request.optimize, "inputs": _inputs_of(program)}
    return _written(wanted, files, manifest, old, program, n_checked)


def _of_model(
    model: Model | EnsembleModel,
    wanted: Wanted,
    predict: Callable[[RawTable], Indices],
    data: RawTable | None,
    check: RawTable | None,
) -> Exported:
    """Write the files of a target that takes the values of the table as they are."""
    target, name = MODEL_TARGETS[wanted.target], checked_name(wanted.name)
    if wanted.interface.scale or wanted.interface.every_scale is not None:
        raise InputError(f"the target {wanted.target} takes the values of the table as they are; leave --scale out")
    old = _checked_place(wanted.out, name)
    if check is not None:
        target.check_tools()
    wanted.interface.check_names(model.encoder_in_use.names)
    request = ModelRequest(
        model=model, name=name, facts=facts_of(model, wanted.certificate), table=check if data is None else data,
        interface=wanted.interface, input_bits=wanted.input_bits, radius=wanted.radius,
    )  # fmt: skip
    files = dict(target.files(request))
    n_checked = 0 if check is None else _all_equal(target.decide(request, files, check), predict(check))
    manifest = _manifest(request, wanted.target, files, model.classes.tolist())
    return _written(wanted, files, manifest, old, None, n_checked)


def _all_equal(found: Indices, expected: Indices) -> int:
    """Return the number of rows, and raise ExportError if some are decided otherwise."""
    differs = found != expected
    if np.any(differs):
        raise ExportError(
            f"{len(expected) - int(differs.sum())} of {len(expected)} rows equal: the files decide row "
            f"{np.argmax(differs) + 1} first otherwise than the model; nothing was written"
        )
    return len(expected)


def _written(
    wanted: Wanted,
    files: dict[str, str | bytes],
    manifest: dict[str, Any],
    old: list[str],
    program: IntegerProgram | None,
    n_checked: int,
) -> Exported:
    files[MANIFEST] = json.dumps(manifest, indent=1) + "\n"
    write_folder(wanted.out, {path: octets(contents) for path, contents in files.items()}, old)
    paths = tuple(str(Path(wanted.out, path)) for path in files)
    return Exported(files=paths, program=program, n_checked=n_checked)


def _checked_place(out: FilePath, name: str) -> list[str]:
    """Return the files of an earlier export of the same name, and refuse a folder that holds anything else."""
    ours: set[str] = {MANIFEST}
    manifest = Path(out, MANIFEST)
    if manifest.is_file():
        try:
            said: Any = json.loads(manifest.read_text(encoding="utf-8"))
            if said["name"] != name:
                raise InputError(f"{out} holds an export of the name {said['name']!r}, not {name!r}; give another "
                                 f"folder (--out), or the same name (--name)")  # fmt: skip
            ours |= {str(Path(path)) for path in said["files"]}
        except (ValueError, TypeError, KeyError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{manifest} is no list of the files of an export; give another folder (--out)") from None
    return check_folder(out, ours)


def _manifest(request: Request | ModelRequest, target: str, files: Files, classes: Sequence[object]) -> dict[str, Any]:
    return {
        "format": "bdnn-export",
        "version": 1,
        "bdnn": request.version,
        "name": request.name,
        "target": target,
        "classes": [label if isinstance(label, bool | int | float | str) else str(label) for label in classes],
        "files": [*files],
    }


def _inputs_of(program: IntegerProgram) -> list[dict[str, Any]]:
    return [
        {
            "column": each.column, "kind": each.kind, "type": each.type, "low": each.low, "high": each.high,
            "scale": each.scale, "missing": each.missing, "levels": list(each.levels), "rare": list(each.rare),
        }
        for each in program.inputs
    ]  # fmt: skip
