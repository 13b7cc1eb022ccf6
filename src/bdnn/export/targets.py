"""The registry of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.errors import InputError
from bdnn.export.c import C
from bdnn.export.firmware import Arduino, EspIdf, PlatformIO, Zephyr
from bdnn.export.micropython import MicroPython
from bdnn.export.verilog import Verilog

if TYPE_CHECKING:
    from bdnn.export.request import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (C(), Arduino(), PlatformIO(), EspIdf(), Zephyr(), MicroPython(), Verilog())
}
"""By the name that --to takes."""


def target_of(name: str) -> Target:
    """Return a target.

    Raises
    ------
    InputError
        If there is none of the name.
    """
    if name not in TARGETS:
        raise InputError(f"the target must be one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]
