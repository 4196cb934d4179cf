"""Sphinx configuration."""

import skdyn

project = "skdyn"
author = "The skdyn developers"
copyright = "2026, the skdyn developers"
release = version = skdyn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_show_sourcelink = False

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "code"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r".*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    # An example that breaks breaks the build.
    "abort_on_example_error": True,
}


def skip_inherited_from_sklearn(app, what, name, obj, skip, options):
    """Leave out what scikit-learn documents, in words that link to its own pages."""
    theirs = getattr(obj, "__module__", None) or ""
    routing = name.startswith("set_") and name.endswith("_request")
    return skip or routing or theirs.startswith("sklearn")


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited_from_sklearn)
