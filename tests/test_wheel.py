"""The installed wheel serves outside any checkout: it carries the configs and the toy text."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_composes_and_trains_outside_a_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", str(ROOT)], cwd=tmp_path, check=True
    )
    (wheel,) = (tmp_path / "dist").iterdir()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("textloom/conf/")}
    shipped = {f"textloom/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert packed == shipped

    subprocess.run([*pip, "install", "--no-deps", "--target", "site", str(wheel)], cwd=tmp_path, check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    where = "import textloom; print(textloom.__file__)"
    used = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(used.stdout.strip()).is_relative_to(tmp_path / "site")

    arguments = ["train", "experiment=tutorial_char", "trainer=debug", "samples.length=5", "hydra.run.dir=run"]
    trained = subprocess.run(
        [sys.executable, "-m", "textloom", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run/results.json").exists()
