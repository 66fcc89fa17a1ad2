"""The documentation as a site: ``make docs``. Why Sphinx: docs/design.md."""

import sb3_dpg

project = "sb3-dpg"
author = "The sb3-dpg developers"
copyright = "the sb3-dpg developers"
release = sb3_dpg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
# The apostrophes of s' and mu' are no quotation marks
smartquotes = False
html_theme = "furo"
html_title = f"sb3-dpg {release}"

# The pages are read on GitHub too, which knows $...$ and links to headings
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
# What SB3, gymnasium and others wrote is documented there, in markup of their own
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": True}

# A reference to something of ours that does not exist is a warning, and so an error in make docs
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!sb3_dpg\.).*"),
    # Private bases, and the type variables of methods that return their object
    ("py:class", r".*\.(_\w+|Self\w+|Returns)"),
]

linkcheck_anchors = False
