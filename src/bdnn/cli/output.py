"""What commands print and write: to standard output in any encoding, and to files."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from bdnn import files
from bdnn.errors import BDNNError, InputError, OutputError

STDOUT = Path("-")
"""The output file that is standard output."""

Save = Callable[[files.FilePath | IO[bytes]], None]


def escape_what_cannot_be_encoded() -> None:
    r"""Let characters that the encoding of the terminal or pipe lacks be printed as ``\u732b``, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str, *, err: bool = False) -> None:
    """Print lines, to standard output or standard error.

    Raises
    ------
    BrokenPipeError
        If nobody reads them.
    OutputError
        If they cannot be written for another reason.
    """
    # not by click, which writes UTF-8 even to a stream whose encoding is ASCII
    stream = sys.stderr if err else sys.stdout
    with _printing("standard error" if err else "standard output"):
        stream.write(f"{text}\n")
        stream.flush()


@contextmanager
def _printing(where: str) -> Iterator[None]:
    """Name the stream in errors, except where its reader has closed it, which is no error of the stream."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to {where}: {error.strerror}") from error


class Ending:
    """The end of a run: everything that is to be printed and saved is attempted, and what failed is said at last."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def attempt(self, step: Callable[..., object], *args: Any, **settings: Any) -> bool:
        """Do something, and say whether it worked."""
        try:
            step(*args, **settings)
        except (BDNNError, OSError, MemoryError) as error:
            self.errors.append(error)
            return False
        return True

    def close(self) -> None:
        """Raise what failed.

        Raises
        ------
        BrokenPipeError
            If all was saved, but nobody reads what was printed.
        OutputError
            If anything else failed.
        """
        told = [error for error in self.errors if not isinstance(error, BrokenPipeError)]
        if told:
            # two streams may fail for one reason
            reasons = dict.fromkeys(str(error) or type(error).__name__ for error in told)
            raise OutputError("; ".join(reasons)) from told[0]
        if self.errors:
            raise self.errors[0]


def check_files(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Check before any work that outputs can be written and replace no input; see `bdnn.files.check_outputs`."""
    printed = [name for name, path in outputs.items() if path == STDOUT]
    for other in printed[1:]:
        raise InputError(f"{printed[0]} and {other} cannot both be standard output")
    files.check_outputs({name: None if path == STDOUT else path for name, path in outputs.items()}, inputs)


def save_output(what: str, path: Path, save: Save) -> None:
    """Write an output that took long to make, to a file or to standard output.

    Parameters
    ----------
    what : str
        What it is, for errors.
    path : Path
        Of the file, or `STDOUT`.
    save : callable
        Writes to a path or a binary file.

    Raises
    ------
    OutputError
        If it cannot be written; the message says where it was saved instead.
    """
    if path != STDOUT:
        files.write_or_rescue(what, path, save)
        return
    try:
        sys.stdout.flush()
        save(sys.stdout.buffer)
        sys.stdout.flush()
    except OSError as error:  # of a full disk behind it, or a program that does not read on
        failed = OutputError(f"cannot write to standard output: {error.strerror}")
        failed.errno = error.errno
        raise files.rescued(what, f"{what}.json", save, failed) from error


def say_saved(what: str, path: Path) -> None:
    """Say what was written and where; nothing if that is on standard output itself."""
    if path != STDOUT:
        say(f"wrote {what} to {path}")


def save_csv(what: str, path: Path | None, header: Iterable[str], rows: Callable[[], Iterable[Sequence[Any]]]) -> None:
    """Write a CSV file in UTF-8, or to standard output in its own encoding if there is no path or it is `STDOUT`.

    Parameters
    ----------
    what : str
        What it holds, for errors.
    path : Path or None
        Of the file.
    header : iterable of str
        Names of the columns.
    rows : callable
        Returns the rows, each time that it is called.
    """
    head = list(header)
    if path is None or path == STDOUT:
        with _printing("standard output"):
            _write_rows(sys.stdout, head, rows)
            sys.stdout.flush()
        return
    files.write_or_rescue(what, path, partial(_save_rows, head, rows))


def _save_rows(head: list[str], rows: Callable[[], Iterable[Sequence[Any]]], path: Path) -> None:
    with files.writing(path) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        _write_rows(text, head, rows)
        text.detach()


def _write_rows(text: IO[str], head: list[str], rows: Callable[[], Iterable[Sequence[Any]]]) -> None:
    write = csv.writer(text, lineterminator="\n").writerow
    write(head)
    for row in rows():
        write(row)
