"""Settings of the documentation; build it with ``sphinx-build -W --keep-going -b html docs docs/_build``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import bdnn  # noqa: E402  # the installed package, as readers have it

project = "bdnn"
author = "The bdnn developers"
copyright = "The bdnn developers"
version = release = bdnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "mathml",  # this and the following are in docs/_ext
    "generated",
    "offline",
]
exclude_patterns = ["_build", "_ext", "generated/output", "generated/tables"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # included files link into the repository

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "py:obj"

html_theme = "furo"
html_title = f"bdnn {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["bdnn.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
