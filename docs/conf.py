"""Sphinx configuration; `make docs` turns every warning into an error."""

import os
import re
from importlib.metadata import version as version_of

from docutils import nodes
from latex2mathml.converter import convert

# The examples are run in their short form unless the environment asks for the whole:
# SKFUSION_DEMO=full make docs
os.environ.setdefault("SKFUSION_DEMO", "short")
# Two examples run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "skfusion"
author = "The skfusion developers"
copyright = author
version = release = version_of("skfusion")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "sg_execution_times.rst"]
default_role = "code"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types, with shapes and units
numpydoc_show_class_members = False
numpydoc_validation_checks = set()

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "ignore_repr_types": r"matplotlib\.(axes|lines|text)",
    "parallel": 2,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"skfusion {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "install": []}


def mathml(formula, display="inline"):
    """A formula as MathML, which browsers draw without a script."""
    text = convert(formula, display=display)
    # Words in upright letters are one identifier, and so are spaced and read as one.
    text = re.sub(
        r'(<mi mathvariant="normal">\w</mi>)+',
        lambda m: f"<mi>{re.sub('<[^>]+>', '', m[0])}</mi>",
        text,
    )
    # A thin space between the name of a function and an argument without brackets.
    return re.sub(
        r"(<mi>[a-z]{2,}</mi>)(?=<(?!mo|/))", r'\1<mspace width="0.17em"/>', text
    )


def inline_formula(self, node):
    """Write a formula within a sentence."""
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def display_formula(self, node):
    """Write a formula on a line of its own, which scrolls where the page is narrow."""
    self.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _nest_bunch_fields(lines):
    """Make a list of the fields of a Bunch, which numpydoc leaves as they stand."""
    out, inside = [], False
    for line in lines:
        if line.startswith(":"):
            inside = line.startswith(":Returns:")
        field = re.fullmatch(r" {8}(\w+) : (.+)", line) if inside else None
        out += ["", f"        - **{field[1]}** : {field[2]}"] if field else [line]
    return out


def mend_docstring(app, what, name, obj, options, lines):
    """Write for docutils what reads well in a terminal."""
    # A shape such as (n_features_in_,) is no link, though it ends in an underscore.
    text = re.sub(r"(?<=[ (])(n_\w+)_(?=[ ,)])", r"\1\\_", "\n".join(lines))
    # Methods inherited from scikit-learn refer to pages of its own documentation.
    text = re.sub(r":ref:`([^`<]+?)(?:\s*<[^>]+>)?`", r"*\1*", text)
    lines[:] = _nest_bunch_fields(text.split("\n"))


def setup(app):
    """Register the formulas; mend docstrings after numpydoc, whose priority is 500."""
    app.add_html_math_renderer(
        "mathml", (inline_formula, None), (display_formula, None)
    )
    app.connect("autodoc-process-docstring", mend_docstring, priority=600)
