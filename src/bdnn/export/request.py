"""What an export is asked for, and what a target is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from bdnn.version import __version__

if TYPE_CHECKING:
    from bdnn.encoding.raw import RawTable
    from bdnn.export.inputs import Interface
    from bdnn.export.program import IntegerProgram
    from bdnn.model_file.contents import EnsembleModel, Model
    from bdnn.types import Indices, Integers

Optimize = Literal["size", "speed"]
OPTIMIZE: tuple[Optimize, ...] = ("size", "speed")

Files = Mapping[str, str | bytes]
"""Contents of files by their paths in the folder of an export, with slashes: texts, but for formats that are none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """An integer program and what files made of it say.

    Attributes
    ----------
    program : IntegerProgram
        The model.
    name : str
        Of files and functions, an identifier.
    optimize : {"size", "speed"}
        What is to be little where targets have a choice.
    rows, answers : ndarray
        Golden rows of device integers, of shape (m, n_inputs), and the indices of their classes.
    facts : dict of str to str
        Lines about the model for readers: accuracy, loss and bound, bytes, certificate.
    version : str
        Of the files: that of bdnn, which all manifests repeat from here.
    """

    program: IntegerProgram
    name: str
    optimize: Optimize = "size"
    rows: Integers
    answers: Indices
    facts: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelRequest:
    """A model and what files made of it say, for formats that take the values of the table as they are.

    Attributes
    ----------
    model : Model or EnsembleModel
        What predicts.
    name, facts, version
        As in `Request`.
    table : RawTable or None
        Known rows.
    interface : Interface
        What is declared of the columns.
    input_bits : int
        Bits of the grids of networks that are made integers.
    radius : float or None
        By which values may be perturbed.
    """

    model: Model | EnsembleModel
    name: str
    table: RawTable | None
    interface: Interface
    input_bits: int = 8
    radius: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__


class Target(Protocol):
    """What an integer program can be made into."""

    name: str
    """As --to takes it."""

    summary: str
    """In a few words."""

    def files(self, request: Request) -> Files:
        """Return the files."""

    def check_tools(self) -> None:
        """Raise MissingDependencyError if what `decide` needs is not installed."""

    def decide(self, request: Request, files: Files, rows: Integers) -> Indices:
        """Build the files on this machine and return the indices of the classes that they give rows.

        Parameters
        ----------
        request : Request
            What the files were made of.
        files : dict of str to str or bytes
            From `files`.
        rows : ndarray of shape (m, n_inputs)
            Device integers.

        Returns
        -------
        ndarray of shape (m,)

        Raises
        ------
        MissingDependencyError
            If a compiler or another tool is not installed.
        ExportError
            If the files cannot be built or run.
        """


class ModelTarget(Protocol):
    """What a model can be made into where values are taken as they are in the table."""

    name: str
    """As --to takes it."""

    summary: str
    """In a few words."""

    def files(self, request: ModelRequest) -> Files:
        """Return the files."""

    def check_tools(self) -> None:
        """Raise MissingDependencyError if what `decide` needs is not installed."""

    def decide(self, request: ModelRequest, files: Files, table: RawTable) -> Indices:
        """Run rows of a table through the files, and return the indices of the classes that they give them.

        Raises
        ------
        ExportError
            If the files cannot be run.
        """
