"""The documentation as a site: ``make docs``. Why Sphinx: CONTRIBUTING.md."""

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import sb3_dpg

project = "sb3-dpg"
author = "The sb3-dpg developers"
copyright = "the sb3-dpg developers"
release = sb3_dpg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
# The apostrophes of s' and mu' are no quotation marks
smartquotes = False
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"sb3-dpg {release}"
html_math_renderer = "mathml"

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
    ("py:(class|obj)", r".*\.(_\w+|Self\w+|Returns|ArrayT(_co)?|ModuleT)"),
]

linkcheck_anchors = False

# Modules that a page of the reference names itself
NAMED = {
    name
    for page in (Path(__file__).parent / "api").glob("*.md")
    for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(), re.MULTILINE)
}


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_in_modules)
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None))


def visit_math(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Formulas as MathML, which browsers draw themselves: Sphinx's own renderer loads MathJax from the network."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    self.body.append(f"<p>{formula}</p>" if block else formula)
    raise nodes.SkipNode


def fill_in_modules(app: Sphinx, docname: str, source: list[str]) -> None:
    """In place of ``<!-- modules of PACKAGE -->``, the reference of each of its modules that no page names itself."""
    source[0] = re.sub(r"^<!-- modules of (\S+) -->$", lambda match: reference(match[1]), source[0], flags=re.MULTILINE)


def reference(package: str) -> str:
    root = importlib.import_module(package)
    names = [package, *(info.name for info in pkgutil.walk_packages(root.__path__, f"{package}."))]
    return "\n".join(section(importlib.import_module(name)) for name in names if not re.search(r"\.__main__$", name))


def section(module: ModuleType) -> str:
    """The reference of what a module defines and its package does not export: that is documented with the package."""
    name = module.__name__
    exported = set(getattr(importlib.import_module(name.rpartition(".")[0]), "__all__", []))
    own = {key for key, value in vars(module).items() if getattr(value, "__module__", None) == name and key[0] != "_"}
    # A function that the package exports under the name of its module hides the module
    hidden = name.rpartition(".")[2] in exported
    if name in NAMED or hidden or not module.__doc__ or not (own - exported or hasattr(module, "__path__")):
        return ""
    excluded = f"   :exclude-members: {', '.join(sorted(own & exported))}\n" if own & exported else ""
    return f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n{excluded}```\n"
