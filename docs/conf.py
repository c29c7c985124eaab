"""How the site is made: `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "abe-redis"
author = "The abe-redis authors"
copyright = "2026, the abe-redis authors"  # noqa: A001 - Sphinx's name
version = release = version_of("abe-redis")

extensions = [
    "myst_parser",
    "reference",
    "sequence",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"abe-redis {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# GitHub draws these itself; here `sequence` does.
myst_fence_as_directive = ["mermaid"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
