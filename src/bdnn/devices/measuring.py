"""Bytes by linking a classifier and a stub in its place; cycles and stack by running rows on an emulated device."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.devices.code import Code, Measured, octets_of_answers, octets_of_rows
from bdnn.devices.emulating import SECONDS, Found, emulated
from bdnn.devices.registry import Device, device_of
from bdnn.export.host import run as run_tool
from bdnn.export.host import write_all
from bdnn.export.request import OPTIMIZE
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.export.request import Optimize
    from bdnn.types import Indices

_FEW_ROWS = 16  # that are run if all of them take too long
_SPARE = 1_536  # bytes of flash that the program which runs rows takes, with its output and vectors, besides the rows
_SPARE_RAM = 64  # bytes of RAM for the stack of that program, its row aside
_SEED = 0  # of the rows that are chosen: the same model has the same figures

_COMMON = ("-w", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-I.")
_LEVEL: dict[Optimize, str] = {"size": "-Os", "speed": "-O2"}
"""What people build firmware with."""

_FLOAT = re.compile(r"__[a-z]+(?:sf|df)[a-z]*[0-9]?|__aeabi_[fd][a-z0-9]+|__aeabi_(?:u?[il]2[fd])")
"""Names that GCC and Arm give their functions for floating-point numbers."""


def measure(
    code: Code, device: str, optimize: Optimize = "size", run: bool = True, *, most_rows: int | None = None
) -> Measured:
    """Compile a classifier for a device, and run rows through it on an emulated one.

    Parameters
    ----------
    code : Code
        The classifier, its rows and their answers.
    device : str
        Key of `bdnn.devices.DEVICES`.
    optimize : {"size", "speed"}
        What the compiler is to make little.
    run : bool
        Whether rows are run, if the emulator is installed.
    most_rows : int or None
        How many rows are run at most; None for as many as fit into the flash of the device.

    Returns
    -------
    Measured

    Raises
    ------
    InputError
        If there is no such device, or rows are not of the type of the elements.
    MissingDependencyError
        If the compiler is not installed; the message names the Debian package.
    ExportError
        If the classifier cannot be compiled or linked for the device.
    """
    target = device_of(device)
    choice("optimize", optimize, OPTIMIZE)
    target.check_compiler()
    with _Folder.of(code, target, optimize) as folder:
        with_it, stub = folder.link("size"), folder.link("size", "-DBDNN_STUB", classifier=False)
        flash, ram = (whole - rest for whole, rest in zip(folder.bytes_of(with_it), folder.bytes_of(stub), strict=True))
        measured = Measured(
            device=device, optimize=optimize, flash=flash, ram=ram, compiler=compiler_text(target.compiler),
            float_functions=folder.float_functions(with_it),
        )  # fmt: skip
        why = None if run else "not asked for"
        if why is None:
            why = _obstacle(code, target, measured)
        return replace(measured, why_not_run=why) if why else _run(code, target, folder, measured, most_rows)


def _obstacle(code: Code, device: Device, measured: Measured) -> str | None:
    """Return why nothing can be run, or None."""
    if not device.has_emulator:
        return (
            f"the emulator {device.emulator[0]} is not installed; on Debian, run: apt install {device.emulator_package}"
        )
    row = len(octets_of_rows(code, code.rows[:1], device.double))
    if not len(code.rows):
        return "there are no rows"
    if measured.flash + _SPARE + row > device.flash:
        return f"{measured.flash} bytes and the program that runs rows do not fit into {device.flash} bytes of flash"
    if measured.ram + row + _SPARE_RAM > device.ram:
        return f"{measured.ram} bytes and a row of {row} bytes do not fit into {device.ram} bytes of RAM"
    return None


def _run(code: Code, device: Device, folder: _Folder, measured: Measured, most_rows: int | None) -> Measured:
    """Return what was measured, with the figures of a run."""
    answer = len(octets_of_answers(code.expected)[1]) // len(code.expected)
    width = len(octets_of_rows(code, code.rows[:1], device.double)) + answer
    fit = (device.flash - measured.flash - _SPARE) // width
    for most in (min(fit, len(code.rows) if most_rows is None else most_rows), _FEW_ROWS):
        chosen = stratified(code.expected, most)
        program = folder.link_run(code, chosen)
        found = emulated(device.emulator, program)
        if found is not None or len(chosen) <= _FEW_ROWS:
            break
    if found is None:
        return replace(measured, why_not_run=f"{device.emulator[0]} gave no answers within {SECONDS:g} s")
    mistaken = device.second != () and folder.skips_long_words(program)
    other = emulated(device.second, program) if (found.wrong or mistaken) and device.second else None
    first = found if other is None else other
    measured = replace(
        measured, stack=first.stack, rows=len(chosen), wrong_rows=first.wrong,
        first_wrong=int(chosen[first.first]) if first.wrong else None,
        remark=_remark(device, mistaken, found, other),
    )  # fmt: skip
    if first.wrong != found.wrong:  # whoever decides otherwise than the device does not count its cycles
        return measured
    return replace(measured, cycles_mean=found.sum / len(chosen), cycles_most=found.most, unit=device.unit)


def _remark(device: Device, mistaken: bool, found: Found, other: Found | None) -> str | None:
    """Return what must be said if an emulator is known to be wrong about a program, or two of them differ."""
    if not mistaken and (other is None or other.wrong == found.wrong):
        return None
    said = [_MISTAKE] if mistaken else []
    second = "" if other is None else f", by {device.second[0]} {other.wrong}"
    said.append(f"{found.wrong} rows are wrong by {device.emulator[0]}{second}")
    if other is not None and other.wrong != found.wrong:
        said.append(f"cycles, which only {device.emulator[0]} counts, are left out")
    return "; ".join(said)


def stratified(labels: Indices, most: int) -> Indices:
    """Return at most so many indices, ascending, of each label as large a part as of all, and at least one if possible.

    Examples
    --------
    >>> labels = np.array([0] * 90 + [1] * 10)
    >>> np.bincount(labels[stratified(labels, 20)]).tolist()
    [18, 2]
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(_SEED)
    shuffled = rng.permutation(len(labels))
    # the k-th of a label's n rows comes at (k + 1/2) / n: beginnings of this order have all labels in their shares
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        mine = shuffled[labels[shuffled] == label]
        rank[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.sort(np.argsort(rank, kind="stable")[:most])


@cache
def compiler_text(command: str) -> str:
    """Return name and version of a compiler, as it says them."""
    return run_tool([command, "--version"], ".").decode("utf-8", "replace").splitlines()[0].strip()


class _Folder:
    """A folder with the sources of a classifier and its objects."""

    def __init__(self, path: Path, code: Code, device: Device, optimize: Optimize) -> None:
        self.path, self.device = path, device
        self.words = [device.compiler, *device.flags, _LEVEL[optimize], *_COMMON, *code.flags]
        write_all(code.files, path)
        for each in files("bdnn.devices").joinpath("boards").iterdir():
            path.joinpath(each.name).write_bytes(each.read_bytes())
        path.joinpath("bdnn_code.h").write_text(
            f'#include "{code.header}"\n{code.declarations}\n#define BDNN_ELEMENT {code.element}\n'
            f"#define BDNN_PLACES {code.rows.shape[1]}\n#define BDNN_PREDICT ({code.predict})\n",
            encoding="utf-8",
        )
        self.objects = []
        for number, source in enumerate(code.sources):
            self.objects.append(f"bdnn_{number}.o")
            run_tool([*self.words, "-c", "-o", self.objects[-1], source], path)

    @classmethod
    @contextmanager
    def of(cls, code: Code, device: Device, optimize: Optimize) -> Iterator[_Folder]:
        """Give a folder that is removed at the end."""
        with tempfile.TemporaryDirectory(prefix="bdnn-") as folder:
            yield cls(Path(folder), code, device, optimize)

    def link(self, main: str, *more: str, classifier: bool = True) -> Path:
        """Link a main program, with the classifier or without, and return the file."""
        out = self.path / f"{main}{'' if classifier else '_stub'}.elf"
        words = [*self.words, *more, "-o", out.name, f"{main}.c", *self.device.start]
        run_tool([*words, *(self.objects if classifier else ()), *self.device.linking, "-lm"], self.path)
        return out

    def link_run(self, code: Code, chosen: Indices) -> Path:
        """Link the program that runs some rows, and return the file."""
        kind, answers = octets_of_answers(code.expected[chosen])
        rows = octets_of_rows(code, code.rows[chosen], self.device.double)
        self.path.joinpath("bdnn_rows.bin").write_bytes(rows)
        self.path.joinpath("bdnn_expected.bin").write_bytes(answers)
        return self.link("run", f"-DBDNN_ROWS={len(chosen)}UL", f"-DBDNN_EXPECTED={kind}", "rows.S")

    def bytes_of(self, program: Path) -> tuple[int, int]:
        """Return the bytes of a program in flash, and of its variables in RAM."""
        text = run_tool([self.device.tool("objdump"), "-h", program.name], self.path).decode("utf-8", "replace")
        flash = ram = 0
        for size, flags in re.findall(r"^ +\d+ \S+ +([0-9a-f]{8}) .*\n +(.*)$", text, flags=re.MULTILINE):
            words = set(re.split(r",\s*", flags.strip()))
            flash += int(size, 16) * ("LOAD" in words)
            ram += int(size, 16) * ("ALLOC" in words and "READONLY" not in words)
        return flash, ram

    def skips_long_words(self, program: Path) -> bool:
        """Whether an AVR program skips what simavr 1.6 takes for a jump: its mask leaves out a bit that tells them."""
        text = run_tool([self.device.tool("objdump"), "-d", program.name], self.path).decode("utf-8", "replace")
        return re.search(_SKIP, text) is not None

    def float_functions(self, program: Path) -> tuple[str, ...]:
        """Return the functions for floating-point numbers that are linked, one name for each."""
        text = run_tool([self.device.tool("nm"), program.name], self.path).decode("utf-8", "replace")
        by_place: dict[str, str] = {}
        for place, name in re.findall(r"^([0-9a-f]+) [TtWw] (\S+)$", text, flags=re.MULTILINE):
            if _FLOAT.fullmatch(name):
                by_place[place] = min(by_place.get(place, name), name, key=_preference)
        return tuple(sorted(by_place.values()))


_SKIP = r"\t(?:cpse|sbrc|sbrs|sbic|sbis)\t.*\n.*\t(?:adiw|sbiw)\tr\d+, 0x[0-9a-f]?[c-f]\t"
"""A conditional skip of an addition or subtraction of a constant whose lowest four bits are 12 to 15."""

_MISTAKE = "simavr 1.6 takes some adiw and sbiw for jumps of two words where they are skipped, as they are here"


def _preference(name: str) -> tuple[bool, str]:
    """Return what orders the names of a function: those of GCC are the same on all devices."""
    return name.startswith("__aeabi"), name
