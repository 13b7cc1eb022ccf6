"""One classifier as C code, ours or a rival's, and its answers on this machine."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from samples import Sample

TYPES = {"int8_t": np.int8, "uint8_t": np.uint8, "int16_t": np.int16, "float": np.float32, "double": np.float64}
"""Of numpy, by those of C that rows have."""

HEADER = "classifier.h"

OURS, NEURAL = "bdnn", "emlearn MLP"
"""Methods: ours, and the rival that is a neural network."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A trained classifier in one form of C code.

    Attributes
    ----------
    method, form, setting : str
        The library and the kind of model; how it is written; how it was trained.
    weight : int
        Nodes, weights or bytes: of candidates of one method and form, lighter ones are taken to be smaller.
    write : callable
        Returns headers and sources.
    header, sources : str and tuple of str
        Of these, what the program includes and what is compiled; code that its program includes has no source.
    predict : str
        Expression in C for the class of the row x.
    element : str
        Type of the elements of a row.
    rows : callable
        Makes rows for the device of rows of the sample.
    flags : tuple of str
        Of the compiler.
    expected : callable or None
        Answers of the trained model itself, that the C code must give, where both are exact; else they are those of the
        C code.
    fast : Candidate or None
        The same classifier as it is written where time matters more than bytes; None if that makes no difference.
    """

    method: str
    form: str
    setting: str
    weight: int
    write: Callable[[], Mapping[str, str]]
    header: str = HEADER
    sources: tuple[str, ...] = ()
    predict: str
    element: str
    rows: Callable[[np.ndarray], np.ndarray]
    flags: tuple[str, ...] = ()
    expected: Callable[[np.ndarray], np.ndarray] | None = None
    fast: Candidate | None = None
    sample: Sample = field(repr=False)

    def device_rows(self, part: str) -> np.ndarray:
        """Return the rows of a part as the code gets them."""
        return np.ascontiguousarray(self.rows(self.sample.X[part]), dtype=TYPES[self.element])

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Headers and sources."""
        return self.write()

    @cached_property
    def answers(self) -> dict[str, np.ndarray]:
        """Classes of the validation and test rows, decided by the C code on this machine."""
        decide = compiled(self)
        found = {part: decide(self.device_rows(part)) for part in ("validation", "test")}
        for part, given in found.items() if self.expected is not None else ():
            wrong = int(np.sum(given != self.expected(self.sample.X[part])))
            if wrong:
                raise AssertionError(f"{self.method}, {self.form}, {self.setting}: {wrong} {part} rows differ in C")
        return found

    @cached_property
    def validation(self) -> float:
        """Accuracy on the validation part."""
        rows, labels = self.sample.X["validation"], self.sample.y["validation"]
        given = self.answers["validation"] if self.expected is None else self.expected(rows)
        return float(np.mean(given == labels))

    @cached_property
    def test(self) -> float:
        """Accuracy of the C code on the test part."""
        return float(np.mean(self.answers["test"] == self.sample.y["test"]))


_LOOP = """#include "{header}"
#include <stdint.h>
void run({element} *x, long rows, long columns, int32_t *answers)
{{
    for (long k = 0; k < rows; k++, x += columns) answers[k] = {predict};
}}
"""


def compiled(candidate: Candidate) -> Callable[[np.ndarray], np.ndarray]:
    """Compile a candidate for this machine and return what decides rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in candidate.files.items():
            (folder / path).write_text(text)
        (folder / "loop.c").write_text(
            _LOOP.format(header=candidate.header, element=candidate.element, predict=candidate.predict)
        )
        # without optimization: most candidates decide few rows, and large ones take the compiler long
        words = ["cc", "-std=gnu11", "-O0", "-w", "-shared", "-fPIC", *candidate.flags, "-o", "model.so"]
        subprocess.run([*words, "loop.c", *candidate.sources, "-lm"], cwd=folder, check=True, timeout=600)
        library = ctypes.CDLL(str(folder / "model.so"))

    def decide(rows: np.ndarray) -> np.ndarray:
        answers = np.zeros(len(rows), dtype=np.int32)
        library.run(
            rows.ctypes.data_as(ctypes.c_void_p), ctypes.c_long(len(rows)), ctypes.c_long(rows.shape[1]),
            answers.ctypes.data_as(ctypes.c_void_p),
        )  # fmt: skip
        return answers

    return decide
