"""The documentation is a site that builds without a warning, and every page of it can be reached."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*") if path.suffix in (".md", ".ipynb"))
TEXTS = [*DOCS.glob("*.md"), *ROOT.glob("*.md")]


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"^\w[\w/-]*$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES}
    assert sorted(listed) == sorted(pages - {"index"})


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "textloom" in (tmp_path / "index.html").read_text(encoding="utf-8")
