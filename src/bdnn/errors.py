"""The errors of bdnn: a small tree in which every error is also the builtin that its readers expect."""

from __future__ import annotations


class BDNNError(Exception):
    """Base of every error that bdnn raises on purpose."""


class InputError(BDNNError, ValueError):
    """Data or a setting that cannot be used; the message says what was received and what is accepted."""


class UnknownLabelError(InputError):
    """Labels that are not classes of the model they are given with; the message says which, and where."""


class NotCoveredError(InputError):
    """A problem that formulation "activation" does not cover; `reason` says what of it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[NotCoveredError], tuple[str, str]]:
        return type(self), (str(self), self.reason)


class UnorderedColumnError(InputError):
    """A sign for a column without an order: what is said `before` an `example`, an input and its sign, and `after`."""

    def __init__(self, before: str, example: tuple[str, int], after: str) -> None:
        super().__init__(f"{before}{{{example[0]!r}: {example[1]}}}{after}")
        self.before, self.example, self.after = before, example, after

    def __reduce__(self) -> tuple[type[UnorderedColumnError], tuple[str, tuple[str, int], str]]:
        return type(self), (self.before, self.example, self.after)


class MarginError(InputError):
    """No margin is both safe against the solver's tolerances and small enough to be meaningful."""


class RoundingError(BDNNError, ValueError):
    """No network of small integers with the same decisions; the message says where and what to do."""


class ModelFileError(BDNNError, ValueError):
    """A model file that cannot be read: damaged, hostile, of another kind or of an unknown version."""


class PackedError(ModelFileError):
    """Packed bytes that hold no network or model of their schema: damaged, hostile or of a later version."""


class CertificateError(BDNNError, ValueError):
    """A certificate that does not prove what it claims; the message names the failed check and its place."""


class CertificateFileError(CertificateError):
    """A file that is no certificate at all: damaged, too large, of another kind or of an unknown version."""


class OutputError(BDNNError, OSError):
    """A file that cannot be written, or that is not overwritten; the message says which one and why."""


class ExportError(BDNNError, RuntimeError):
    """Files of an export that cannot be built, or that decide otherwise than the model."""


class SolverError(BDNNError, RuntimeError):
    """A solver that failed, before any network was known."""


class MissingDependencyError(BDNNError, ImportError):
    """An optional package that is needed and not installed; the message names the extra to install."""
