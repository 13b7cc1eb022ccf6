"""Classifiers in C written by hand, whose bytes and cycles are known, and what a device needs to be measured."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from bdnn.devices import DEVICES, Code

KEPT, ON_STACK = 200, 160
"""Bytes that the counting classifier has in a static array, and on its stack."""

_TURN = """
#if defined(__AVR__)
#define TURNS(n) __asm__ volatile("1: sbiw %0, 1\\n brne 1b" : "+w"(n))
#elif defined(__arm__)
#define TURNS(n) __asm__ volatile(".syntax unified\\n 1: subs %0, %0, #1\\n bne 1b" : "+l"(n) : : "cc")
#else
#define TURNS(n) __asm__ volatile("1: addi %0, %0, -1\\n bnez %0, 1b" : "+r"(n))
#endif
"""
PER_TURN = {"atmega328p": 4, "cortex-m0": 2, "cortex-m4": 2, "rv32imac": 2}
"""Cycles, or instructions, of a turn of its loop: sbiw and brne take two cycles each."""

_COUNTING = f"""#include "../board.h"
{_TURN}
static volatile uint8_t kept[{KEPT}];
uint8_t m_predict(const uint16_t x[2])
{{
    volatile uint8_t here[{ON_STACK}];
    uint16_t turns = x[0], place = x[1];
    here[place] = 1u;
    here[0] = 7u;
    kept[place] = here[place];
    TURNS(turns);
    return (uint8_t)(place != 0u ? kept[place] : 0u);
}}
"""


def counting(turns, expected=None):
    """Return a classifier with a loop of so many turns for each row, which answers 1 but for the first row.

    Its files have the names of some of ours.
    """
    rows = np.array([[n, 5 * (k > 0)] for k, n in enumerate(turns)])
    answers = np.array([k > 0 for k in range(len(turns))], dtype=int) if expected is None else np.array(expected)
    files = {"board.h": "#include <stdint.h>\nuint8_t m_predict(const uint16_t x[2]);\n", "sub/run.c": _COUNTING}
    return Code(
        files=files, sources=("sub/run.c",), header="board.h", predict="m_predict(x)", element="uint16_t",
        rows=rows, expected=answers,
    )  # fmt: skip


def in_header(body, element, rows, expected):
    """Return a classifier whose code is in a header, as many generators write it."""
    text = f"#include <stdint.h>\nstatic inline int m_predict(const {element} *x)\n{{\n{body}\n}}\n"
    return Code(
        files={"m.h": text}, sources=(), header="m.h", predict="m_predict(x)", element=element,
        rows=np.array(rows), expected=np.array(expected),
    )  # fmt: skip


def need_device(name, emulator=True):
    """Skip the test if a device cannot be measured here."""
    device = DEVICES[name]
    if not device.has_compiler:
        pytest.skip(device.without_compiler)
    if emulator and not device.has_emulator:
        pytest.skip(f"{device.emulator[0]} is not installed (Debian: {device.emulator_package})")


def without_emulator(monkeypatch, name):
    """Make the emulator of a device one that is not installed."""
    monkeypatch.setitem(DEVICES, name, replace(DEVICES[name], emulator=("no-such-emulator",)))


def have(*tools):
    """Whether tools are installed."""
    return all(shutil.which(tool) for tool in tools)
