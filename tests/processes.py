"""Commands in processes of their own that begin with everything imported, which takes ten times as long as the work.

Each is forked from a server that has imported the package and done nothing else, so that no thread, cache or handler of
the tests is in it. Its working folder, environment, streams, signals and exit code are its own. What must begin from
nothing, such as the first run of each command, is a `subprocess`.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bdnn.clock import reading

_IMPORTED = ["bdnn.cli", "bdnn.estimators.ensemble", "bdnn.tables.scan", "duckdb", "highspy", "sklearn.metrics"]
_PATIENCE = 300.0  # seconds for a command, the longest of which take some


@cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


class Process:
    """A process that calls a function, with pipes or files as its standard output and error.

    Parameters
    ----------
    call : callable
        A function of this module.
    given : sequence
        What it is called with.
    cwd : path-like or None
        Working folder; None for that of the tests.
    env : dict of str to str or None
        Environment; None for that of the tests.
    stdout, stderr : int or None
        File descriptors; None for pipes that are read.
    text : bool
        Whether what is read is text in UTF-8.
    longest_file : int or None
        Bytes that a file may have.
    """

    def __init__(
        self, call: Callable[..., None], given: Sequence[Any], *, cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None, stdout: int | None = None, stderr: int | None = None, text: bool = False,
        longest_file: int | None = None,
    ) -> None:  # fmt: skip
        self.returncode: int | None = None
        pipes, ends = [], []
        for place in (stdout, stderr):
            ours, theirs = os.pipe() if place is None else (None, os.dup(place))
            pipes.append(None if ours is None else os.fdopen(ours, "r" if text else "rb", **_utf8(text)))
            ends.append(Connection(theirs, readable=False))
        self.stdout, self.stderr = pipes
        state = (os.getcwd() if cwd is None else str(cwd), dict(os.environ if env is None else env), longest_file)
        self._process = _server().Process(target=_begin, args=(call, given, ends, state))
        self._process.start()
        self.pid = self._process.pid
        for end in ends:
            end.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = _PATIENCE) -> int:
        """Return the exit code, or the negative number of the signal that ended the process."""
        self._process.join(timeout)
        self.returncode = self._process.exitcode
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self.returncode

    def communicate(self, timeout: float = _PATIENCE) -> tuple[Any, Any]:
        """Return all that is left to read, once the process has ended."""
        until = reading() + timeout
        pipes = (self.stdout, self.stderr)
        with ThreadPoolExecutor(2) as pool:
            parts = [None if pipe is None else pool.submit(pipe.read) for pipe in pipes]
            try:
                self.wait(until - reading())
            finally:
                self.kill()
                found = [None if part is None else part.result() for part in parts]
        for pipe in pipes:
            if pipe is not None:
                pipe.close()
        return found[0], found[1]


def bdnn_begun(*words: object, **settings: Any) -> Process:
    """Begin a command of bdnn in a process of its own."""
    return Process(_command, [str(word) for word in words], **settings)


def code_begun(code: str, *words: object, **settings: Any) -> Process:
    """Begin a program, given as text, in a process of its own."""
    return Process(_code, [code, "-c", *map(str, words)], **settings)


def code_done(code: str, *words: object, **settings: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program, given as text, in a process of its own."""
    return _done(["-c", *map(str, words)], code_begun(code, *words, **settings))


def sooner(text: str, seconds: float = 0.5) -> str:
    """Lower the time limits in a text: what is found within them is shown to readers, and not looked at in tests."""
    limit = re.compile(r"(time[_-]limit(?:[= ]|\": ))([\d.]+)")
    return limit.sub(lambda found: f"{found[1]}{min(float(found[2]), seconds):g}", text)


def script_done(path: str | Path, seconds: float = math.inf, **settings: Any) -> subprocess.CompletedProcess[Any]:
    """Run a script in a process of its own, with time limits of at most so many seconds."""
    text = sooner(Path(path).read_text(encoding="utf-8"), seconds)
    return _done([str(path)], Process(_code, [text, str(path)], **settings))


def bdnn_done(*words: object, **settings: Any) -> subprocess.CompletedProcess[Any]:
    """Run a command of bdnn in a process of its own."""
    return _done(["bdnn", *map(str, words)], bdnn_begun(*words, **settings))


def _done(words: list[str], process: Process) -> subprocess.CompletedProcess[Any]:
    out, err = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def _utf8(text: bool) -> dict[str, str]:
    return {"encoding": "utf-8"} if text else {}


def _begin(
    call: Callable[..., None], given: Sequence[Any], ends: Sequence[Connection],
    state: tuple[str, dict[str, str], int | None],
) -> None:  # fmt: skip
    """Make this process like one that has just begun, and call the function."""
    folder, environment, longest_file = state
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    encoding = environment.get("PYTHONIOENCODING") or "utf-8"
    for number, end in enumerate(ends, start=1):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)
    unbuffered = open(2, "wb", buffering=0, closefd=False)
    sys.stderr = io.TextIOWrapper(unbuffered, encoding, "backslashreplace", line_buffering=True, write_through=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under `nohup`, whose processes do not hear of it
    if longest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, resource.RLIM_INFINITY))
    try:
        call(*given)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # the interpreter ends without what it cannot write, too
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _code(code: str, *argv: str) -> None:
    sys.argv = [*argv]
    exec(compile(code, argv[0], "exec"), {"__name__": "__main__", "__file__": argv[0]})


def _command(*words: str) -> None:
    from bdnn.cli import main

    sys.argv = ["bdnn", *words]
    main(words)
