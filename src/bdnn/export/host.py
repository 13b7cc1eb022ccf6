"""Compilers of this machine, and programs that they make."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import ExportError, MissingDependencyError

if TYPE_CHECKING:
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers

_SECONDS = 600.0  # for a compiler or a program: far more than any of them takes
_LINES = 6  # of what a compiler says that a message repeats


def compiler() -> list[str]:
    """Return the command of the C compiler: that of the variable CC, or the first that is found.

    Raises
    ------
    MissingDependencyError
        If there is none.
    """
    wanted = os.environ.get("CC", "").strip()
    for words in [shlex.split(wanted)] if wanted else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(words[0]):
            return words
    what = f"the compiler {wanted!r} of the variable CC is not there" if wanted else "no C compiler is installed"
    raise MissingDependencyError(f"{what}; install one (cc, gcc or clang) or name it in CC, or leave the check out")


def driver(request: Request, value_type: str) -> str:
    """Return a C program that decides rows of 32-bit integers from standard input, one byte order for all."""
    n = len(request.program.inputs)
    return f"""#include <stdio.h>
#include "{request.name}.h"

int main(void)
{{
    int32_t row[{max(n, 1)}], answer;
    {request.name}_value x[{max(n, 1)}] = {{0}};
    while (fread(row, sizeof row[0], {max(n, 1)}, stdin) == {max(n, 1)}) {{
        int i;
        for (i = 0; i < {max(n, 1)}; i++) {{
            x[i] = ({value_type}_t)row[i];
        }}
        answer = (int32_t){request.name}_predict(x);
        if (fwrite(&answer, sizeof answer, 1, stdout) != 1) {{
            return 1;
        }}
    }}
    return 0;
}}
"""


def run(words: Sequence[str], folder: str | Path, given: bytes = b"") -> bytes:
    """Run a program in a folder and return what it prints.

    Raises
    ------
    ExportError
        If it fails.
    """
    try:
        done = subprocess.run(list(words), cwd=folder, input=given, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError(f"{Path(words[0]).name} did not run: {error}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:_LINES]
        raise ExportError(f"{Path(words[0]).name} failed with code {done.returncode}: {' | '.join(said)}")
    return done.stdout


def octets(contents: str | bytes) -> bytes:
    """Return what is written into a file."""
    return contents.encode("utf-8") if isinstance(contents, str) else contents


def write_all(files: Files, folder: str | Path) -> None:
    """Write files into a folder of our own."""
    for path, contents in files.items():
        place = Path(folder, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(octets(contents))


def answers_of_c(files: Files, sources: Sequence[str], main: str, rows: Integers) -> Indices:
    """Compile sources with a main program for this machine and return its answers to rows of 32-bit integers."""
    words = compiler()
    with tempfile.TemporaryDirectory(prefix="bdnn-") as folder:
        write_all({**files, "bdnn_driver.c": main}, folder)
        run([*words, "-std=c99", "-O1", "-I.", "-o", "decide", "bdnn_driver.c", *sources], folder)
        given = rows if rows.shape[1] else np.zeros((len(rows), 1))
        out = run([str(Path(folder, "decide"))], folder, np.ascontiguousarray(given, dtype=np.int32).tobytes())
    answers = np.frombuffer(out, dtype=np.int32)
    if len(answers) != len(rows):
        raise ExportError(f"the compiled network gave {len(answers)} answers to {len(rows)} rows")
    return answers.astype(np.intp)
