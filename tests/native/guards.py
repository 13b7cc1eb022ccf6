"""Calls of the compiled core that are watched: in time, and with nothing written outside of arrays."""

from __future__ import annotations

import faulthandler
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from bdnn.errors import InputError

REFUSED = (InputError, TypeError, ValueError, OverflowError, MemoryError)
# long work may be asked for here: an argument of these is a number of steps, which Ctrl-C ends
ENDLESS = {
    "boosting.grown": 17,
    "search.integer_neurons": 7,
    "search.improve_neuron": 2,
    "search.improve_robust_neuron": 2,
    "tree.dual_simplex": 2,
    "tree.separate": 5,
    "tree.CutPool.solve": 5,
    "walk.ArrangementWalk.run": 1,
    "certify.SubsetTree.explore": 1,
    "certify.CellTree.explore": 1,
}


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt inside when so much processor time has been used, as Ctrl-C would."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@pytest.fixture(autouse=True)
def backstop() -> Iterator[None]:
    """End the process with a trace if a kernel hangs and does not even look for signals."""
    faulthandler.dump_traceback_later(600, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


class Guarded:
    """Copies of arrays, each in the middle of memory with a pattern."""

    ROOM = 128

    def __init__(self) -> None:
        self.blocks: list[tuple[np.ndarray, int, int]] = []

    def __call__(self, value: object) -> object:
        """The value with all arrays in it embedded."""
        if type(value) in (list, tuple):
            return type(value)(map(self, value))
        if type(value) is not np.ndarray or value.dtype.hasobject or not value.flags.c_contiguous:
            return value
        if not value.flags.aligned or not value.flags.writeable:
            return value
        block = np.full(2 * self.ROOM + value.nbytes, 0xA5, dtype=np.uint8)
        shift = -block.ctypes.data % 64
        start, end = shift + self.ROOM // 2, shift + self.ROOM // 2 + value.nbytes
        inside = block[start:end].view(value.dtype).reshape(value.shape)
        inside[...] = value
        self.blocks.append((block, start, end))
        return inside

    def check(self) -> None:
        """Nothing around the arrays has changed."""
        for block, start, end in self.blocks:
            assert (block[:start] == 0xA5).all() and (block[end:] == 0xA5).all(), "written outside of an array"


def touch(value: object) -> None:
    """Read all of a result."""
    if isinstance(value, np.ndarray):
        value.copy()
    elif isinstance(value, list | tuple):
        for each in value:
            touch(each)


def attempt(name: str, function: Callable[..., object], arguments: list[object], seconds: float = 20.0) -> str:
    """Make a call that may be refused; return what came of it."""
    guarded = Guarded()
    try:
        with warnings.catch_warnings(), processor_time(seconds):
            warnings.simplefilter("ignore")  # of structures that were never made
            touch(function(*map(guarded, arguments)))
        outcome = "returned"
    except REFUSED as error:
        outcome = type(error).__name__
    except KeyboardInterrupt:
        outcome = "interrupted"
        place = ENDLESS.get(name)
        many = place is not None and place < len(arguments) and arguments[place]
        assert isinstance(many, int | np.integer) and many > 1000, f"{called(name, arguments)} hangs"
    except Exception as error:
        pytest.fail(f"{called(name, arguments)} raised {type(error).__name__}: {error}")
    guarded.check()
    return outcome


def called(name: str, arguments: list[object]) -> str:
    """A call in a message; the call itself was given copies of the arrays."""
    return f"{name}({', '.join(map(described, arguments))})"


def described(value: object) -> str:
    """An argument in a message."""
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape} {np.array2string(value, threshold=20)}>"
    return repr(value)[:200]
