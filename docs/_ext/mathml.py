"""Formulas as MathML, which browsers show by themselves: no script, no fonts, nothing from the network.

The conversion is that of docutils. It knows a part of LaTeX and refuses everything else, which ends the build.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)
FENCE = re.compile(r"<mo>([‖∥])</mo>")  # browsers stretch the left one of a pair only
TAG = re.compile(r"\\tag\{(\w+)\}")


def converted(tex, node, block):
    """Return a formula as MathML; one that cannot be converted is a warning and stays LaTeX."""
    if block and ("\\\\" in tex or "&" in tex) and "\\begin" not in tex:
        tex = f"\\begin{{aligned}}{tex}\\end{{aligned}}"
    try:
        return FENCE.sub(r'<mo stretchy="false">\1</mo>', tex2mathml(tex, as_block=block))
    except MathError as error:
        LOGGER.warning("formula %r: %s", tex, error, location=node, type="mathml")
        return f"<code>{tex}</code>"


def visit_inline(self, node):
    """Write a formula in a line."""
    self.body.append(converted(node.astext(), node, False).replace("\n", "") + "&#8288;")  # no break before a comma
    raise nodes.SkipNode


def visit_block(self, node):
    """Write formulas by themselves, with their numbers: that of the page, or those of tags in docstrings."""
    for k, tex in enumerate(re.split(r"\n\s*\n", node.astext().strip())):
        tag = TAG.search(tex)
        self.body.append(self.starttag(node, "div", CLASS="math") if k == 0 else '<div class="math">')
        if tag:
            self.body.append(f'<span class="eqno">({tag.group(1)})</span>')
        elif node["number"] and k == 0:
            self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
            self.add_permalink_ref(node, "Link to this equation")
            self.body.append("</span>")
        self.body.append(converted(TAG.sub("", tex), node, True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
