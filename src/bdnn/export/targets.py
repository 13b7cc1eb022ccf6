"""The registry of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.checks import entry
from bdnn.export.c import C
from bdnn.export.firmware import Arduino, EspIdf, PlatformIO, Zephyr
from bdnn.export.micropython import MicroPython
from bdnn.export.onnx_target import Onnx
from bdnn.export.verilog import Verilog
from bdnn.export.vnnlib import VnnLib

if TYPE_CHECKING:
    from bdnn.export.request import ModelTarget, Target

TARGETS: dict[str, Target] = {
    target.name: target for target in (C(), Arduino(), PlatformIO(), EspIdf(), Zephyr(), MicroPython(), Verilog())
}
"""Those that integer programs are made into, by the name that --to takes."""

MODEL_TARGETS: dict[str, ModelTarget] = {target.name: target for target in (Onnx(), VnnLib())}
"""Those that take the values of the table as they are."""


def names() -> tuple[str, ...]:
    """Return the names of all targets."""
    return (*TARGETS, *MODEL_TARGETS)


def target_of(name: str) -> Target:
    """Return a target, or raise InputError if there is none of the name."""
    return entry("target", name, TARGETS, names())
