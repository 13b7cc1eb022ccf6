"""A file before it is read as a table: its compression, its encoding, and the text of its first lines."""

from __future__ import annotations

import atexit
import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from bdnn.errors import InputError, OutputError
from bdnn.tables import database
from bdnn.tables.foreign import refuse_foreign

STANDARD_INPUT = Path("-")
"""The path that stands for standard input."""

_SAMPLE_BYTES = 2**20  # enough for hundreds of rows of the widest tables, and decoded in milliseconds
_CHUNK = 2**20  # bytes per read, for copies that need no memory
_UTF8 = ("utf-8", "utf-8-sig")
_MANY_CONTROLS = 0.05  # share of control characters above which bytes are no text; tabs and line ends do not count
_NUL_SHARE = 0.3  # in one byte of two: text in UTF-16 has nearly half of its bytes 0
_NO_WINDOWS = frozenset(b"\x81\x8d\x8f\x90\x9d")  # bytes that Windows-1252 does not use

_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive: save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as CSV"),
    (b"\x89HDF", "an HDF5 file: write the table to CSV or Parquet"),
    (b"SQLite format 3", "a SQLite database: write the table to CSV or Parquet"),
    (b"ARROW1", "a Feather file: write the table to CSV or Parquet"),
    (b"\x80\x04", "a Python pickle: write the table to CSV or Parquet"),
    (b"\x80\x05", "a Python pickle: write the table to CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array: write the table to CSV or Parquet"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is opened as often as needed.

    Attributes
    ----------
    path : Path
        Where its bytes are; of standard input a temporary copy.
    name : str
        Its name in messages.
    packed : {"none", "gzip", "zstd", "bz2", "xz"}
        How it is compressed, whatever its name says.
    parquet : bool
        Whether it is a Parquet file, which has no text; the attributes below have no meaning in that case.
    encoding : str
        Python's name.
    sample : str
        Its first lines, all of them complete.
    whole : bool
        Whether these are all of its lines.
    zeros : bool
        Whether the sample contained NUL characters, which are left out.
    """

    path: Path
    name: str
    packed: str = "none"
    parquet: bool = False
    encoding: str = "utf-8"
    sample: str = ""
    whole: bool = True
    zeros: bool = False

    @property
    def is_utf8(self) -> bool:
        """Whether its bytes are UTF-8, with a byte-order mark or without."""
        return self.encoding in _UTF8

    def lines(self) -> Iterator[str]:
        """Yield its lines with their ends, without NUL characters and byte-order mark.

        Raises
        ------
        InputError
            If it is damaged, or not text in its encoding.
        """
        if self.packed == "zstd":
            for number, line in enumerate(database.lines(self.path, self.packed)):
                yield (line.removeprefix("\ufeff") if number == 0 else line) + "\n"
            return
        with self._sound(), _opened(self.path, self.packed) as binary:
            for line in io.TextIOWrapper(binary, encoding=self.encoding, newline=""):
                yield line.replace("\0", "") if "\0" in line else line

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        with _unpacking(self.name, self.packed):
            try:
                yield
            except UnicodeDecodeError as error:
                raise NotInEncodingError(
                    f"{self.name} is not a text file in {self.encoding.upper()} ({error.reason}); give its --encoding, "
                    f"such as cp1252"
                ) from None

    def in_windows_1252(self) -> Source:
        """Return the same file as text in Windows-1252, or in Latin-1 if some bytes are not used in Windows-1252."""
        encoding = "cp1252"
        with _unpacking(self.name, self.packed), _opened(self.path, self.packed) as binary:
            while chunk := binary.read(_CHUNK):
                if not _NO_WINDOWS.isdisjoint(chunk):
                    encoding = "latin-1"
                    break
        raw, whole = _head(self)
        return _with_text(self, raw, encoding, whole)


class NotInEncodingError(InputError):
    """The bytes are not text in the encoding that was found or asked for."""


def open_source(path: str | os.PathLike[str], encoding: str | None = None) -> Source:
    """Detect what a file is.

    Parameters
    ----------
    path : path-like
        The file; ``-`` is standard input.
    encoding : str or None
        Encoding of its text, by Python's name; None to detect it.

    Raises
    ------
    InputError
        If it is neither text nor a Parquet file, is text but no table, or is damaged.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    if encoding is not None:
        try:
            encoding = codecs.lookup(encoding).name
        except LookupError:
            raise InputError(f"--encoding {encoding!r} is unknown; accepted are utf-8, utf-16, cp1252, …") from None
    real = _standard_input() if Path(path) == STANDARD_INPUT else Path(path)
    source = Source(real, "standard input" if Path(path) == STANDARD_INPUT else name)
    with open(real, "rb") as file:
        start = file.read(16)
    if start.startswith(b"PAR1"):
        return replace(source, parquet=True)
    if other := next((what for magic, what in _OTHERS if start.startswith(magic)), None):
        raise InputError(f"{source.name} is {other}")
    source = replace(source, packed=next((how for magic, how in _PACKED if start.startswith(magic)), "none"))
    if source.packed == "none" and real.suffix == ".gz":
        raise InputError(f"{source.name} is not a sound gzip file (it does not begin like one)")
    if source.packed == "gzip":
        _check_sound(source)
    raw, whole = _head(source)
    if not raw.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise InputError(f"{source.name} is empty; a table with a header line and at least one row is needed")
    if encoding is None:
        encoding = _encoding(source.name, raw, whole)
    found = source.in_windows_1252() if encoding is None else _in_encoding(source, raw, encoding, whole)
    refuse_foreign(found.name, found.sample)
    return found


@contextlib.contextmanager
def temporary_file() -> Iterator[Path]:
    """Yield the path of a temporary file, which is deleted at the end.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    path = _temporary()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _temporary() -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix="bdnn-", suffix=".csv")
    except OSError as error:
        raise OutputError(f"cannot write a temporary copy of the table: {error.strerror}; set TMPDIR") from error
    os.close(handle)
    return Path(name)


_copies: dict[str, Path] = {}


def _standard_input() -> Path:
    """Return a copy of standard input, which is made once: commands may read a table twice."""
    if STANDARD_INPUT.name not in _copies:
        path = _temporary()
        atexit.register(path.unlink, missing_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        _copies[STANDARD_INPUT.name] = path
    return _copies[STANDARD_INPUT.name]


def _opened(path: Path, packed: str) -> IO[bytes]:
    if packed == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if packed == "bz2":
        return cast("IO[bytes]", bz2.open(path, "rb"))
    return cast("IO[bytes]", lzma.open(path, "rb")) if packed == "xz" else open(path, "rb")


@contextlib.contextmanager
def _unpacking(name: str, packed: str) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"{name} is not a sound {packed} file ({error})") from None
    except OSError as error:
        if packed != "bz2" or error.errno is not None:
            raise
        raise InputError(f"{name} is not a sound bz2 file ({error})") from None


def _check_sound(source: Source) -> None:
    """Unpack a file once, with little memory, to verify the checksum at its end, which the reader does not check."""
    with _unpacking(source.name, source.packed), _opened(source.path, source.packed) as binary:
        while binary.read(_CHUNK):
            pass


def _head(source: Source) -> tuple[bytes, bool]:
    """Return the first bytes, unpacked, and whether these are all."""
    if source.packed == "zstd":
        lines, size = [], 0
        for line in database.lines(source.path, source.packed):
            lines.append(line.encode())
            size += len(lines[-1]) + 1
            if size > _SAMPLE_BYTES:
                return b"\n".join(lines) + b"\n", False
        return b"\n".join(lines) + b"\n", True
    with _unpacking(source.name, source.packed), _opened(source.path, source.packed) as binary:
        raw = binary.read(_SAMPLE_BYTES)
        return raw, not binary.read(1)


def _encoding(name: str, raw: bytes, whole: bool) -> str | None:
    """Return the encoding of text; None for one of the eight-bit encodings."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if raw.startswith(mark):
            return encoding
    pairs = len(raw) // 2
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if pairs and raw[first::2].count(0) > _NUL_SHARE * pairs and raw[1 - first :: 2].count(0) * 10 < pairs:
            return encoding
    controls = sum(raw.count(bytes([code])) for code in range(1, 32) if code not in (9, 10, 11, 12, 13, 27, 28, 31))
    if controls > _MANY_CONTROLS * len(raw):
        raise InputError(f"{name} is neither a text file nor a Parquet file; write the table to CSV or Parquet")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw, whole)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _with_text(source: Source, raw: bytes, encoding: str, whole: bool) -> Source:
    """Return a source with the text of its first bytes."""
    text = codecs.getincrementaldecoder(encoding)().decode(raw, whole)
    zeros = "\0" in text
    text = text.replace("\0", "")
    if not whole:
        cut = max(text.rfind("\n"), text.rfind("\r"))
        text = text[: cut + 1] if cut >= 0 else text
    return replace(source, encoding=encoding, sample=text, whole=whole, zeros=zeros)


def _in_encoding(source: Source, raw: bytes, encoding: str, whole: bool) -> Source:
    try:
        return _with_text(source, raw, encoding, whole)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source.name} is not a text file in {encoding.upper()} ({error.reason} at byte {error.start}); give "
            f"another --encoding, or leave it out"
        ) from None


def unlimited_cells() -> None:
    """Let the csv module accept cells of any length; by default, it refuses those of more than 128 KiB."""
    csv.field_size_limit(2**31 - 1)
