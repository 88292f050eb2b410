"""Provenance of a run: code, versions, machine and data, so that its results can be reproduced."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from textloom.config import DataConfig
from textloom.data.sources import build_source

PACKAGES = ("textloom", "torch", "pytorch-lightning", "hydra-core", "datasets", "tensorboard", "numpy")


def provenance(data_fingerprint: str, device: str) -> dict[str, Any]:
    """Code, versions and machine of this process, in plain JSON types."""
    commit = _git("rev-parse", "HEAD") if _git("ls-files", Path(__file__).name) else None
    return {
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": platform.platform(),
        "device": device,
        "precision": None,  # chosen when the size of the model is known
        "data_fingerprint": data_fingerprint,
    }


def source_provenance(data: DataConfig) -> dict[str, Any]:
    """Revision of the text and named protocol of its splits, in plain JSON types."""
    facts: dict[str, Any] = {}
    protocol = getattr(data, "protocol", None)
    if protocol is not None:
        facts |= {"protocol": protocol, "leaky": data.leaky}
    return facts | build_source(data).provenance()


def _git(*arguments: str) -> str | None:
    """Output of git in the checkout of this code; None outside of a checkout, or without git."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(package: str) -> str | None:
    if package == "torch" and "torch" in sys.modules:
        return str(sys.modules["torch"].__version__)  # tells the build too, such as +cu130
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
