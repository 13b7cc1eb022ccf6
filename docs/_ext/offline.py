"""Pages must work without a network: nothing that a browser loads by itself may come from elsewhere."""

import re
from pathlib import Path

from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

# what is fetched when a page is opened; links to follow are not
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*rel=["']?(?:canonical|author|license))[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//"""
)


def check(app, exception):
    """Warn of every page and style sheet that loads something from elsewhere."""
    if exception is not None or app.builder.format != "html":
        return
    for file in sorted(Path(app.outdir).rglob("*")):
        if file.suffix in (".html", ".css") and (found := LOADED.search(file.read_text(encoding="utf-8"))):
            LOGGER.warning("%s loads something from the network: %s", file.name, found.group())


def setup(app):
    """Check after the build."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
