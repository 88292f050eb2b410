"""What made a run: code, versions, machine, data. Written beside its results, so that they can be made again."""

import importlib.metadata
import platform
import subprocess
from typing import Any

PACKAGES = ("textloom", "torch", "pytorch-lightning", "hydra-core", "datasets", "tensorboard", "numpy")


def provenance(data_fingerprint: str, device: str, precision: str) -> dict[str, Any]:
    """Facts in plain JSON types."""
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": platform.platform(),
        "device": device,
        "precision": precision,
        "data_fingerprint": data_fingerprint,
    }


def _git(*arguments: str) -> str | None:
    """What git says of the working directory; None outside a checkout, or without git."""
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
