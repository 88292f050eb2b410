"""A real browser without a window: what a page looks like when its scripts have run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",  # containers have none to give
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1024",
    "--virtual-time-budget=20000",
]


def browser() -> str:
    """The browser's path. Where there is none the test is skipped, but not in continuous integration."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        told = f"no browser: none of {', '.join(NAMES)} is installed"
        pytest.fail(told) if os.environ.get("TEXTLOOM_TEST_BROWSER") == "required" else pytest.skip(told)
    return found


FRAME = """<!DOCTYPE html>
<iframe src="{page}" style="width: {width}px; height: 1000px; border: 0"></iframe>
<script>
addEventListener("message", event => {{
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = event.data;
  document.body.append(answer);
}});
</script>
"""


def framed(page: Path, width: int) -> Path:
    """A page with another one in a frame of this width, because a window is at least 500 pixels wide.

    A message that the inner page sends, as by ``parent.postMessage(text, "*")``, becomes ``<pre id="answer">``.
    """
    frame = page.with_name(f"{page.stem}-{width}.html")
    frame.write_text(FRAME.format(page=page.name, width=width), encoding="utf-8")
    return frame


def dump_dom(address: str, profile: Path) -> str:
    """The page's HTML after its scripts have run."""
    command = [browser(), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
