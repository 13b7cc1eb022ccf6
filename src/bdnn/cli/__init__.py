"""The command line: ``bdnn train``, ``predict``, ``evaluate`` and so on; one module per family of commands.

The exit code is 0 for success; 1 if the run could not produce its output or a certificate does not hold; and 2 for
wrong usage or input (one line on stderr).
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TextIO

import click

import bdnn
from bdnn.cli.output import escape_what_cannot_be_encoded, say
from bdnn.cli.stopping import heeded, requested
from bdnn.errors import (
    BDNNError,
    CertificateFileError,
    InputError,
    MissingDependencyError,
    ModelFileError,
    SolverError,
)

# each command, and the module that has it, which is imported when the command is used
_MODULES = {
    "bound": "training",
    "card": "cards",
    "certify": "certification",
    "evaluate": "models",
    "export": "export",
    "inspect": "models",
    "pack": "pack",
    "plot": "pictures",
    "predict": "models",
    "report": "reports",
    "size": "devices",
    "train": "training",
    "verify": "verification",
}


class _Commands(click.Group):
    """Commands that are imported when they are used: all of them take most of a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"bdnn.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bdnn.__version__, prog_name="bdnn")
def cli() -> None:
    """Train binarized neural networks by mathematical optimization, with audited losses and bounds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str or None
        Words after the program's name; None for those of the process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    escape_what_cannot_be_encoded()
    with heeded(), warnings.catch_warnings():
        warnings.showwarning = _warn
        code = _flushed(_run(arguments))
    # threads that are left: solvers that overran their limit, which nobody waits for any more
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(name.startswith("bdnn-") for name in left) or (left and requested()):
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="bdnn", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (InputError, ModelFileError, CertificateFileError, MissingDependencyError) as error:
        return _fail(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return _stopped()
    except BrokenPipeError:
        _abandon(sys.stdout)
        return 1
    except (SolverError, BDNNError, MemoryError, OSError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    except (TypeError, ValueError) as error:  # scikit-learn's own checks of the data
        return _fail(str(error), 2)
    except RuntimeError:  # DuckDB makes one of the KeyboardInterrupt that ends its query
        if not requested():
            raise
        return _stopped()
    return 0


def _stopped() -> int:
    return _fail(f"stopped by {requested() or 'Ctrl-C'} before there was a result", 1)


def _flushed(code: int) -> int:
    """Flush what was printed; return the exit code, 1 instead of 0 if that fails."""
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        try:
            stream.flush()
        except OSError as error:
            if not code and not isinstance(error, BrokenPipeError):
                _fail(f"cannot write to {name}: {error.strerror}", 1)
            code = code or 1
            _abandon(stream)
    return code


def _abandon(stream: TextIO) -> None:
    """Discard what cannot be printed, so that the interpreter does not try again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning in one line, without the place in the code that it comes from."""
    with suppress(OSError):
        say(f"bdnn: warning: {' '.join(str(message).split())}", err=True)


def _fail(message: str, code: int) -> int:
    with suppress(OSError):  # the exit code still tells
        say(f"bdnn: error: {' '.join(message.split())}", err=True)
    return code
