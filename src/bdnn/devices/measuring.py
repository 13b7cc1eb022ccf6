"""Bytes by linking a classifier and a stub in its place; cycles and stack by running rows on an emulated device."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.devices.code import Code, Measured, octets_of_answers, octets_of_rows
from bdnn.devices.emulating import SECONDS, Found, emulated, fault
from bdnn.devices.registry import BOARDS, Device, device_of
from bdnn.errors import ExportError
from bdnn.export.host import run as run_tool
from bdnn.export.host import write_all
from bdnn.export.request import OPTIMIZE
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.export.request import Optimize
    from bdnn.types import Indices

_FEW_ROWS = 16  # that are run if all of them take too long
_SPARE = 4_096  # bytes of flash: more than the program that runs rows takes with its output, the rows aside
_SPARE_RAM = 64  # bytes of RAM for the stack of that program itself, its row aside: with less it reports nothing
# bytes for the stack, with less of which a program that gives no answers may be one that overwrote its variables: none
# of the classifiers of benchmarks/device takes more than 195 on an ATmega
_LITTLE_RAM = 200
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
        with_it, stub = folder.link_size(), folder.link_size("-DBDNN_STUB")
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
    if not len(code.rows):
        return "there are no rows"
    row = len(octets_of_rows(code, code.rows[:1], device.double))
    if measured.flash > device.flash:
        return f"{measured.flash} bytes do not fit into {device.flash} bytes of flash"
    if measured.ram + row + _SPARE_RAM > device.ram:
        return f"{measured.ram} bytes and a row of {row} bytes do not fit into {device.ram} bytes of RAM"
    return None


def _run(code: Code, device: Device, folder: _Folder, measured: Measured, most_rows: int | None) -> Measured:
    """Return what was measured, with the figures of a run."""
    wanted = len(code.rows) if most_rows is None else min(most_rows, len(code.rows))
    fit = _rows_that_fit(code, device, folder, measured, wanted)
    if not fit:
        words = f"{measured.flash} bytes, a row and what runs it do not fit into {device.flash} bytes of flash"
        return replace(measured, why_not_run=words)
    for most in (fit, _FEW_ROWS):
        chosen = stratified(code.expected, most)
        program = folder.link_run(code, chosen)
        found = emulated(device.emulator, program)
        if found is not None or len(chosen) <= _FEW_ROWS:
            break
    if found is None:
        return replace(measured, why_not_run=_no_answers(device, folder, program))
    if found.full:
        words = f"the stack does not fit: the {found.stack} bytes of RAM that are left for it were all used"
        return replace(measured, why_not_run=words)
    doubts: list[str] = []
    other = None
    if device.second:
        text = folder.disassembly(program)
        doubt, second_doubt = fault(device.emulator, text), fault(device.second, text)
        doubts += [doubt] if doubt else []
        if found.wrong or doubt:
            doubts += [second_doubt] if second_doubt else []
            other = None if second_doubt else emulated(device.second, program)
    first = found if other is None else other
    measured = replace(
        measured, stack=first.stack, rows=len(chosen), wrong_rows=first.wrong,
        first_wrong=int(chosen[first.first]) if first.wrong else None,
        remark=_remark(device, doubts, found, other),
    )  # fmt: skip
    if first.wrong != found.wrong:  # whoever decides otherwise than the device does not count its cycles
        return measured
    return replace(measured, cycles_mean=found.sum / len(chosen), cycles_most=found.most, unit=device.unit)


def _no_answers(device: Device, folder: _Folder, program: Path) -> str:
    words, left = f"{device.emulator[0]} gave no answers within {SECONDS:g} s", device.ram - folder.bytes_of(program)[1]
    return f"{words}; the stack may not fit into the {left} bytes of RAM left for it" if left < _LITTLE_RAM else words


def _rows_that_fit(code: Code, device: Device, folder: _Folder, measured: Measured, wanted: int) -> int:
    """Return how many rows fit into the flash of a device, at most as many as are wanted."""
    one = np.arange(1)
    width = len(octets_of_rows(code, code.rows[one], device.double)) + len(octets_of_answers(code.expected, one)[1])
    if measured.flash + _SPARE + wanted * width <= device.flash:
        return wanted
    try:
        used, _ = folder.bytes_of(folder.link_run(code, one))
    except ExportError:  # the linker has no room: what it links was linked before, without a row
        return 0
    return min(wanted, 1 + (device.flash - used) // width)


def _remark(device: Device, doubts: Sequence[str], found: Found, other: Found | None) -> str | None:
    """Return what must be said if emulators are known to be wrong about a program, or two of them differ."""
    differ = other is not None and other.wrong != found.wrong
    if not doubts and not differ:
        return None
    second = "" if other is None else f", {other.wrong} by {device.second[0]}"
    counts = f"wrong rows: {found.wrong} by {device.emulator[0]}{second}"
    left_out = [f"cycles, which only {device.emulator[0]} counts, are left out"] if differ else []
    return "; ".join([*doubts, counts, *left_out])


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
        boards = path / BOARDS
        boards.mkdir()
        for each in files("bdnn.devices").joinpath("boards").iterdir():
            boards.joinpath(each.name).write_bytes(each.read_bytes())
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

    def link(self, out: str, *sources: str) -> Path:
        """Link a program and return the file."""
        run_tool([*self.words, "-o", out, *sources, *self.device.start, *self.device.linking, "-lm"], self.path)
        return self.path / out

    def link_size(self, *stub: str) -> Path:
        """Link the program whose bytes are counted, with the classifier or the stub, and return the file."""
        # an object that is not used still makes the linker take what initializes its variables
        objects = () if stub else self.objects
        return self.link("stub.elf" if stub else "size.elf", f"{BOARDS}/size.c", *stub, *objects, *self.device.sizing)

    def link_run(self, code: Code, chosen: Indices) -> Path:
        """Link the program that runs some rows, and return the file."""
        kind, answers = octets_of_answers(code.expected, chosen)
        rows = octets_of_rows(code, code.rows[chosen], self.device.double)
        self.path.joinpath("bdnn_rows.bin").write_bytes(rows)
        self.path.joinpath("bdnn_expected.bin").write_bytes(answers)
        counts = (f"-DBDNN_ROWS={len(chosen)}UL", f"-DBDNN_EXPECTED={kind}")
        return self.link("run.elf", f"{BOARDS}/run.c", f"{BOARDS}/rows.S", *counts, *self.objects)

    def bytes_of(self, program: Path) -> tuple[int, int]:
        """Return the bytes of a program in flash, and of its variables in RAM."""
        text = run_tool([self.device.tool("objdump"), "-h", program.name], self.path).decode("utf-8", "replace")
        flash = ram = 0
        for size, flags in re.findall(r"^ +\d+ \S+ +([0-9a-f]{8}) .*\n +(.*)$", text, flags=re.MULTILINE):
            words = set(re.split(r",\s*", flags.strip()))
            flash += int(size, 16) * ("LOAD" in words)
            ram += int(size, 16) * ("ALLOC" in words and "READONLY" not in words)
        return flash, ram

    def disassembly(self, program: Path) -> str:
        """Return the instructions of a program."""
        return run_tool([self.device.tool("objdump"), "-d", program.name], self.path).decode("utf-8", "replace")

    def float_functions(self, program: Path) -> tuple[str, ...]:
        """Return the functions for floating-point numbers that are linked, one name for each."""
        text = run_tool([self.device.tool("nm"), program.name], self.path).decode("utf-8", "replace")
        by_place: dict[str, str] = {}
        for place, name in re.findall(r"^([0-9a-f]+) [TtWw] (\S+)$", text, flags=re.MULTILINE):
            if _FLOAT.fullmatch(name):
                plain = _PLAIN.get(name.removeprefix("__aeabi_"), name)
                by_place[place] = min(by_place.get(place, plain), plain, key=_preference)
        return tuple(sorted(set(by_place.values())))


_PLAIN = {
    **{f"{kind}{what}": f"__{what}{size}3" for kind, size in (("f", "sf"), ("d", "df")) for what in
       ("add", "sub", "mul", "div")},
    **{f"{kind}2{sign}iz": f"__fix{long}{size}si" for kind, size in (("f", "sf"), ("d", "df")) for sign, long in
       (("", ""), ("u", "uns"))},
    **{f"{sign}i2{kind}": f"__float{long}si{size}" for kind, size in (("f", "sf"), ("d", "df")) for sign, long in
       (("", ""), ("u", "un"))},
    "f2d": "__extendsfdf2", "d2f": "__truncdfsf2",
}  # fmt: skip
"""GCC's names of functions for floating point by those of Arm."""


def _preference(name: str) -> tuple[bool, str]:
    """Return what orders the names of a function: those of GCC are the same on all devices."""
    return name.startswith("__aeabi"), name
