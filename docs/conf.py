"""How Sphinx builds the site of the documentation: `make docs`, without a network."""

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "textloom"
author = "the authors of textloom"
version = release = installed_version("textloom")

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"textloom {version}"
html_copy_source = False

myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are stored with their outputs; `make notebooks` executes them

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

INCLUDED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
"""Files outside docs/, and the pages of the site that include them."""


def rewrite_links(text: str) -> str:
    """The text of a page with links that lead to pages of the site: links to other files become plain text."""
    text = re.sub(r"\]\((?:\.\./)?docs/", "](", text)
    for file, page in INCLUDED.items():
        text = re.sub(rf"\]\((?:\.\./)?{re.escape(file)}", f"]({page}", text)
    return re.sub(r"\[([^]]+)\]\((?:\.\./)?(?:LICENSE|Makefile|(?:tests|src|conf|benchmarks)/[^)]*)\)", r"\1", text)


def setup(app: Sphinx) -> None:
    """Rewrite the links of pages in docs/ and of files that they include, as these are read."""

    def rewrite_page(app: Sphinx, page: str, content: list[str]) -> None:
        content[0] = rewrite_links(content[0])

    def rewrite_included(app: Sphinx, path: str, page: str, content: list[str]) -> None:
        content[0] = rewrite_links(content[0])

    app.connect("source-read", rewrite_page)
    app.connect("include-read", rewrite_included)
