"""The documentation site: `python -m sphinx -W docs docs/_build`, with the extra `docs`."""

import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

import dim_jax  # noqa: E402
from experiments import pages  # noqa: E402

pages.write(DOCS / "_generated")

project = "dim_jax"
author = copyright = "the dim_jax authors"
version = release = dim_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "docstrings",
]
exclude_patterns = ["_build", "_generated", "_extensions", "jupyter_execute", ".jupyter_cache"]

myst_enable_extensions = [
    *("amsmath", "attrs_inline", "colon_fence", "deflist"),
    *("dollarmath", "fieldlist", "substitution"),
]
suppress_warnings = ["ref.python"]  # words of docstrings that are names in several classes
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / ".jupyter_cache")
nb_execution_timeout = 150
nb_execution_raise_on_error = True
nb_render_markdown_format = "myst"  # tables in outputs
nb_ipywidgets_js = {}  # no script from a network

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

smartquotes = False  # of docstrings: "locations" is code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80

html_theme = "sphinx_book_theme"
html_title = "dim_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = dict(show_toc_level=2, use_download_button=False, navbar_persistent=[])
