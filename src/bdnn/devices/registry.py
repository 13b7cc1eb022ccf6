"""Devices that can be measured, by name."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bdnn.checks import entry
from bdnn.errors import MissingDependencyError

if TYPE_CHECKING:
    from bdnn.devices.code import Unit


BOARDS = "bdnn_boards"
"""Folder of our files beside those of a classifier, which may have any other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device, its compiler and its emulator.

    Attributes
    ----------
    name, title : str
        As it is asked for, and in words.
    compiler, compiler_package : str
        The command, and the Debian packages that have it.
    flags : tuple of str
        For the compiler.
    start : tuple of str
        Files of ours that are compiled with every program.
    linking : tuple of str
        Flags for the linker.
    sizing : tuple of str
        Further ones where bytes are counted, so that what the device has no room for is counted, too.
    emulator : tuple of str
        Command of the emulator, before the program.
    emulator_package : str
        The Debian package that has it.
    second : tuple of str
        Another emulator, which answers are compared with if some are wrong; may be empty.
    unit : {"cycles", "instructions"}
        What the emulator counts.
    flash, ram : int
        Bytes for program and rows, and for variables and stack.
    double : int
        Bytes of a double.
    """

    name: str
    title: str
    compiler: str
    compiler_package: str
    flags: tuple[str, ...]
    start: tuple[str, ...]
    linking: tuple[str, ...]
    sizing: tuple[str, ...] = ()
    emulator: tuple[str, ...]
    emulator_package: str
    second: tuple[str, ...] = ()
    unit: Unit
    flash: int
    ram: int
    double: int

    @property
    def has_compiler(self) -> bool:
        """Whether the compiler is installed, and its C library, which other packages have."""
        found = shutil.which(self.compiler)
        return found is not None and _has_library(found, self.flags)

    @property
    def has_emulator(self) -> bool:
        """Whether the emulator is installed."""
        return shutil.which(self.emulator[0]) is not None

    @property
    def without_compiler(self) -> str:
        """What is said if the compiler or its library is not installed."""
        there = shutil.which(self.compiler) is not None
        lacking = f"C library of {self.compiler}" if there else f"compiler {self.compiler}"
        return (
            f"the device {self.name} needs the {lacking}, which is not installed; on Debian, run: "
            f"apt install {self.compiler_package}"
        )

    def check_compiler(self) -> None:
        """Raise MissingDependencyError if the compiler or its library is not installed."""
        if not self.has_compiler:
            raise MissingDependencyError(self.without_compiler)

    def tool(self, name: str) -> str:
        """Return another command of the compiler's family, such as nm."""
        return f"{self.compiler.removesuffix('gcc')}{name}"


@cache
def _has_library(compiler: str, flags: tuple[str, ...]) -> bool:
    """Whether a compiler finds a header of the C library for a processor."""
    words = [compiler, *flags, "-E", "-x", "c", "-"]
    try:
        return not subprocess.run(words, input=b"#include <string.h>\n", capture_output=True, check=False).returncode
    except OSError:
        return False


_BOARD = 4 * 2**20  # bytes of flash, and as many of RAM, that both the linker scripts and the emulated boards have


def _cortex(name: str, title: str, flags: tuple[str, ...], board: str) -> Device:
    # an instruction takes 2^7 ns, of which the board's timer of 25 MHz tells every one
    return Device(
        name=name, title=title,
        compiler="arm-none-eabi-gcc", compiler_package="gcc-arm-none-eabi libnewlib-arm-none-eabi",
        flags=("-mthumb", *flags), start=(f"{BOARDS}/cortex.c",),
        linking=("--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", f"-L{BOARDS}", "-T", "cortex.ld"),
        emulator=("qemu-system-arm", "-machine", board, "-nographic", "-monitor", "none", "-serial", "none",
                  "-icount", "shift=7", "-semihosting-config", "enable=on,target=native", "-kernel"),
        emulator_package="qemu-system-arm",
        unit="instructions", flash=_BOARD, ram=_BOARD, double=8,
    )  # fmt: skip


DEVICES: dict[str, Device] = {
    "atmega328p": Device(
        name="atmega328p", title="ATmega328P, 8 bits (Arduino Uno)",
        compiler="avr-gcc", compiler_package="gcc-avr avr-libc",
        flags=("-mmcu=atmega328p",), start=(), linking=(),
        # the whole of the address spaces that the linker knows
        sizing=("-Wl,--defsym=__TEXT_REGION_LENGTH__=0x800000,--defsym=__DATA_REGION_LENGTH__=0xfe00",),
        emulator=("simavr", "-m", "atmega328p", "-f", "16000000"), emulator_package="simavr",
        second=("qemu-system-avr", "-machine", "uno", "-nographic", "-monitor", "none", "-serial", "stdio", "-bios"),
        unit="cycles", flash=32 * 2**10, ram=2 * 2**10, double=4,
    ),
    # the M3 of the board also executes the code of an M0
    "cortex-m0": _cortex("cortex-m0", "Arm Cortex-M0, 32 bits", ("-mcpu=cortex-m0",), "mps2-an385"),
    "cortex-m4": _cortex(
        "cortex-m4", "Arm Cortex-M4 with single-precision floating point, 32 bits",
        ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"), "mps2-an386",
    ),
    "rv32imac": Device(
        name="rv32imac", title="RISC-V RV32IMAC, 32 bits",
        compiler="riscv64-unknown-elf-gcc", compiler_package="gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
        flags=("-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs"), start=(f"{BOARDS}/riscv.c",),
        linking=("-nostartfiles", f"-L{BOARDS}", "-T", "riscv.ld"),
        emulator=("qemu-system-riscv32", "-machine", "virt", "-nographic", "-monitor", "none", "-serial", "stdio",
                  "-bios", "none", "-icount", "shift=0", "-kernel"),
        emulator_package="qemu-system-misc",
        unit="instructions", flash=_BOARD, ram=_BOARD, double=8,
    ),
}  # fmt: skip
"""By name."""


def device_of(name: str) -> Device:
    """Return a device, or raise InputError if there is none of the name."""
    return entry("device", name, DEVICES)


def installed() -> tuple[str, ...]:
    """Return the names of the devices whose compiler is installed."""
    return tuple(name for name, device in DEVICES.items() if device.has_compiler)
