"""The versions that pyproject.toml allows."""

import importlib.util
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hydra.plugins.sweeper import Sweeper
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "versions.py"

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="not a checkout")


def ranges() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("versions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for versions in module.ranges().values():
        assert SpecifierSet(versions).contains(module.lowest(versions).removeprefix("=="))
    return module.ranges()


def test_every_dependency_has_a_lowest_version_and_the_pinned_one_is_allowed() -> None:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (line.partition("==") for line in lines)
    }
    for name, versions in ranges().items():
        assert SpecifierSet(versions).contains(pinned[name], prereleases=True), name


def test_hydra_finds_the_sweeper_by_its_entry_point_too() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["hydra.plugins"]
    (found,) = (EntryPoint(name, value, "hydra.plugins").load() for name, value in entries.items())
    assert issubclass(found, Sweeper)
