"""Writing files: as a whole or not at all, through symbolic links, and nothing but regular files.

Whatever a command or a function of this package writes goes through here. Contents are written to a hidden file beside
the target, which takes its place when all of them have reached the disk, so that a full disk, an interruption or a
crash leaves what was there before. A symbolic link stays; the file that it leads to is replaced. A target that is not
a regular file (a folder, a named pipe, a device, a socket) or is read-only is not replaced, even where the system would
allow it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from bdnn.errors import InputError, OutputError

FilePath = str | os.PathLike[str]

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
# characters of a name that its temporary file repeats: a character can take four bytes, and a name has at most 255
_NAME_CHARACTERS = 32


def refusal(path: FilePath) -> str:
    """Return why nothing can be written to a path, or an empty string.

    Parameters
    ----------
    path : path-like
        Of a file that exists or not; a trailing slash says that it is a folder.
    """
    name = os.fspath(path)
    if not name:
        return "the name of the file is empty"
    if os.path.basename(name) in ("", os.curdir, os.pardir):
        return "that is a folder; give the name of a file in it"
    try:
        status = os.stat(name)
    except FileNotFoundError:  # or a link to a file that does not exist
        status = None
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if status is not None:
        if stat.S_ISDIR(status.st_mode):
            return "that is a folder; give the name of a file in it"
        if not stat.S_ISREG(status.st_mode):
            kind = next((kind for is_one, kind in _KINDS if is_one(status.st_mode)), "no file")
            return f"that is {kind}, and only regular files are replaced"
        # the administrator may write to every file, but one that is read-only is meant to stay
        if not status.st_mode & _WRITABLE or not os.access(name, os.W_OK):
            return "that file is read-only; make it writable, or give another one"
    folder = os.path.dirname(os.path.realpath(name))
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        shown = folder if os.path.islink(name) else os.path.dirname(name) or os.curdir
        return f"{shown} is not a writable folder"
    return ""


def check_outputs(outputs: Mapping[str, FilePath | None], inputs: Mapping[str, FilePath | None] | None = None) -> None:
    """Check, before any work is done, that files can be written and that none of them replaces what is read.

    Parameters
    ----------
    outputs : mapping of str to path-like or None
        Files to be written, by what they are called in errors; None for one that is not wanted.
    inputs : mapping of str to path-like or None
        Files that are read, likewise.

    Raises
    ------
    InputError
        If a file cannot be written, is one of those that are read, or is to be written twice.
    """
    wanted = {name: path for name, path in outputs.items() if path is not None}
    for name, path in wanted.items():
        for other, read in (inputs or {}).items():
            if read is not None and same_file(path, read):
                raise InputError(
                    f"{name} and {other} must be different files: {os.fspath(path)} is read, and would be replaced"
                )
        if reason := refusal(path):
            raise InputError(f"{name} cannot be {os.fspath(path)}: {reason}")
    names = list(wanted)
    for number, name in enumerate(names):
        for other in names[:number]:
            if same_file(wanted[name], wanted[other]):
                raise InputError(f"{other} and {name} must be different files, got {os.fspath(wanted[name])} for both")


def same_file(one: FilePath, other: FilePath) -> bool:
    """Whether two paths lead to one file, by links or otherwise; also if it does not exist yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


@contextmanager
def writing(path: FilePath) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the place of `path` at the end, unless there is an error.

    A new file gets the permissions that the system gives to new files; one that is replaced passes on its own.

    Parameters
    ----------
    path : path-like
        Where to write.

    Yields
    ------
    binary file
        In which nothing is seen until all is written.

    Raises
    ------
    OutputError
        If it cannot be written; the message names `path`.
    """
    name = os.fspath(path)
    if reason := refusal(name):
        raise OutputError(f"cannot write {name}: {reason}")
    target = os.path.realpath(name)
    folder, base = os.path.split(target)
    temporary = os.path.join(folder, f".{base[:_NAME_CHARACTERS]}.{secrets.token_hex(8)}.part")
    try:
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                _reach_the_disk(file)
            _take_over(target, temporary)
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
    except OSError as error:
        failure = OutputError(f"cannot write {name}: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error


def write(destination: FilePath | IO[bytes], contents: bytes) -> None:
    """Write a file as a whole.

    Parameters
    ----------
    destination : path-like or binary file
        Where to write; what is written to an open file may be half of the contents if that fails.
    contents : bytes
        All that it is to hold.

    Raises
    ------
    OutputError
        If the file cannot be written; the message names it.
    """
    if isinstance(destination, str | os.PathLike):
        with writing(destination) as file:
            file.write(contents)
    else:
        destination.write(contents)
        destination.flush()


def write_or_rescue(what: str, path: FilePath, save: Callable[[Path], None]) -> None:
    """Save what took long to make; if that fails, beside the path or in the folder of temporary files.

    Parameters
    ----------
    what : str
        What is saved, for the error.
    path : path-like
        Where it is wanted.
    save : callable
        Writes to the path that it is given, or raises an OSError.

    Raises
    ------
    OutputError
        If it could not be written at `path`; the message says why, and where it is instead.
    """
    try:
        save(Path(path))
    except OSError as error:
        raise rescued(what, path, save, error) from error


def rescued(what: str, path: FilePath, save: Callable[[Path], None], error: OSError) -> OutputError:
    """Save what could not be written where it should be; return the error that says where it is instead.

    Parameters
    ----------
    what : str
        What is saved.
    path : path-like
        Where it was wanted: its name, and its folder if it has one that exists, are those of the other file.
    save : callable
        Writes to the path that it is given, or raises an OSError.
    error : OSError
        Why it could not be written.
    """
    folders = [os.path.dirname(os.path.realpath(path))]
    with suppress(OSError):  # there may be no usable one
        folders.append(tempfile.gettempdir())
    place = _rescued(os.path.basename(path), list(dict.fromkeys(folders)), save)
    where = f"in {place} instead" if place is not None else f"lost: neither {' nor '.join(folders)} accepts a file"
    failure = OutputError(f"{error}; the {what} is {where}")
    failure.errno = error.errno
    return failure


def _rescued(name: str, folders: list[str], save: Callable[[Path], None]) -> Path | None:
    """Save in the first of some folders where that is possible; return the path."""
    for folder in folders:
        # the end of the name says what kind of file it is
        place = Path(folder, f"rescued-{secrets.token_hex(4)}-{name[-_NAME_CHARACTERS:]}")
        with suppress(OSError):
            save(place)
            return place
    return None


def _reach_the_disk(file: IO[bytes]) -> None:
    """Wait until contents are stored: some file systems say only then that there is no room."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # there are file systems that cannot do that
            raise


def _remove(temporary: str) -> None:
    """Remove a file of our own, also if it was given to another owner and the folder lets only owners remove files."""
    try:
        os.unlink(temporary)
    except PermissionError:
        with suppress(OSError, AttributeError):
            os.chown(temporary, os.geteuid(), -1)
            os.unlink(temporary)
    except OSError:
        pass


def _take_over(target: str, temporary: str) -> None:
    """Give a file the permissions, and if that is allowed the owner, of the file that it is to replace."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    new = os.stat(temporary)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def check_folder(path: FilePath, ours: Iterable[str]) -> list[str]:
    """Check, before any work is done, that a folder can be made or filled, and return the files that it holds.

    Parameters
    ----------
    path : path-like
        Of the folder.
    ours : iterable of str
        Paths in it of files that may be replaced.

    Returns
    -------
    list of str
        Paths in it of the files that are there, all of which may be replaced.

    Raises
    ------
    InputError
        If it is no folder, cannot be written to, or holds other files.
    """
    name = os.fspath(path)
    if not name:
        raise InputError("the name of the folder is empty")
    if os.path.lexists(name) and not os.path.isdir(name):
        raise InputError(f"{name} is no folder; give another one")
    above = os.path.abspath(name)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not (os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)):
        raise InputError(f"{name} cannot be written: {above} is not a writable folder")
    known, found = {os.path.normpath(each) for each in ours}, []
    for folder, _, files in os.walk(name):
        for file in sorted(files):
            relative = os.path.relpath(os.path.join(folder, file), name)
            if relative not in known:
                raise InputError(f"{name} exists and holds other files, such as {relative}; give a folder that is "
                                 f"empty or does not exist")  # fmt: skip
            if reason := refusal(os.path.join(folder, file)):
                raise InputError(f"{os.path.join(folder, file)} cannot be replaced: {reason}")
            found.append(relative)
    return found


def write_folder(path: FilePath, contents: Mapping[str, bytes], old: Iterable[str] = ()) -> None:
    """Write files into a folder, all or none; folders that are not there are made.

    Parameters
    ----------
    path : path-like
        Of the folder.
    contents : mapping of str to bytes
        By paths in the folder.
    old : iterable of str
        Paths in it of files that are to be gone, if they are not among the new ones; from `check_folder`.

    Raises
    ------
    OutputError
        If one cannot be written; the message names it.
    """
    made: list[str] = []
    try:
        with ExitStack() as stack:
            for relative, octets in contents.items():
                place = os.path.join(os.fspath(path), os.path.normpath(relative))
                _make_folders(os.path.dirname(place) or os.curdir, made)
                file = stack.enter_context(writing(place))
                file.write(octets)
                # a full disk shows here, where none of the files has taken its place yet
                file.flush()
                _reach_the_disk(file)
    except BaseException as error:
        for folder in reversed(made):
            with suppress(OSError):
                os.rmdir(folder)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from error
        raise
    for relative in set(old) - {os.path.normpath(each) for each in contents}:
        with suppress(OSError):
            os.unlink(os.path.join(os.fspath(path), relative))
            os.removedirs(os.path.dirname(os.path.join(os.fspath(path), relative)))


def _make_folders(folder: str, made: list[str]) -> None:
    """Make a folder and those above it, and note the ones that were not there."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    if above:
        _make_folders(above, made)
    os.mkdir(folder)
    made.append(folder)
