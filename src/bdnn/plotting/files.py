"""Pictures as files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bdnn.errors import InputError
from bdnn.plotting.style import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DATES = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The entry in each kind of file that would hold the time when it was made."""

KINDS = tuple(_DATES)


def picture(draw: Callable[[Figure], Any], kind: str) -> bytes:
    """Return a picture as the contents of a file, which are always the same for the same picture.

    Parameters
    ----------
    draw : callable
        Function that draws on the figure that it is given.
    kind : {"png", "svg", "pdf"}
        Format; letters of SVG and PDF files are shapes, so that no font is needed.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InputError
        If the kind is unknown.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if kind not in KINDS:
        raise InputError(f"pictures are files of kind {', '.join(KINDS)}, got {kind!r}")
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure, file = Figure(), io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "bdnn", "svg.fonttype": "path", "pdf.fonttype": 3}):
        # names in scripts that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw(figure)
        figure.savefig(file, format=kind, dpi=150, metadata=_DATES[kind], bbox_inches="tight", pad_inches=0.1)
    return file.getvalue()
