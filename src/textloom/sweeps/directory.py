"""The directory of a sweep: its name, its lock, and the config that its trials share."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from textloom.config import effect_of
from textloom.config.checking import flatten
from textloom.errors import RunError
from textloom.sweeps.space import Space
from textloom.sweeps.trials import comparable, compared, differing, is_of
from textloom.system.files import read_json, write_json

FILE = "sweep.json"
LONGEST = 200  # bytes of a name: file systems allow 255
NAME_FROM = ("experiment", "data")  # a sweep is named after the first of these groups that is chosen


def sweep_name(master: DictConfig, space: Space) -> str:
    """The default name: the experiment or data, and the keys that vary; independent of their values."""
    choices = OmegaConf.to_container(master.hydra.runtime.choices)
    assert isinstance(choices, dict)
    about = [space.fixed.get(group) or choices.get(group) for group in NAME_FROM if group not in space.keys]
    about = [name for name in about if name not in (None, "null")]
    varying = ",".join(key.rpartition(".")[2] for key in space.keys)
    name = f"{about[0]}_{varying}" if about else varying
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def claimed_sweep(directory: Path) -> Iterator[None]:
    """Hold the lock of a sweep. Raises RunError if another process holds it, or if the directory is not writable."""
    lock = FileLock(directory / ".lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"{directory}: another process runs this sweep; wait for it, or set sweep.name=NAME") from error
    except OSError as error:
        raise RunError(f"{directory}: cannot be written ({error.strerror}); set hydra.sweep.dir=DIR") from error
    with lock:
        yield


def refuse_another_config(directory: Path, fixed: dict[str, Any], space: Space) -> None:
    """Raises RunError if the sweep in this directory was started with other values of the fixed keys.

    Keys that only one of the two configs has are not compared: a newer version may have added them.
    """
    if not (directory / FILE).exists():
        return
    content, now = read_json(directory / FILE), _content(fixed, space)
    varying = [*space.keys, *content["varying"]]
    for name in ("fixed", "typed"):
        values = [_without_what_varies(each.get(name, {}), varying) for each in (content, now)]
        both = [{key: each[key] for key in values[0].keys() & values[1].keys()} for each in values]
        difference = differing(*both)
        if difference is not None:
            raise RunError(
                f"{directory}: the sweep was started with another config ({difference}), and does not mix them; "
                "give the former value, or sweep.name=NAME for another sweep"
            )


def write_config(directory: Path, fixed: dict[str, Any], space: Space) -> None:
    """Write the fixed values and the varying keys. Raises RunError as ``refuse_another_config`` does."""
    refuse_another_config(directory, fixed, space)
    content = _content(fixed, space)
    if not (directory / FILE).exists() or read_json(directory / FILE) != content:
        write_json(directory / FILE, content)


def config_checksum(fixed: dict[str, Any], space: Space) -> str:
    """A checksum of the fixed values that change results."""
    content = _content(fixed, space)
    content["fixed"] = {key: comparable(key, value) for key, value in content["fixed"].items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _content(fixed: dict[str, Any], space: Space) -> dict[str, Any]:
    """The fixed values. An experiment may set any key: if it varies, only the keys of the command line are fixed."""
    if "experiment" in space.keys:
        typed = {key: text for key, text in space.fixed.items() if effect_of(key).changes_results}
        return {"fixed": {}, "typed": typed, "varying": space.keys}
    return {"fixed": _without_what_varies(flatten(compared(fixed)), space.keys), "varying": space.keys}


def _without_what_varies(flat: dict[str, Any], varying: list[str]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if not is_of(key, varying)}
