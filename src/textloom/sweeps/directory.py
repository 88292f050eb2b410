"""The folder of a sweep: who works in it, and whether what was trained there belongs to what is asked for now."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from textloom.config import effect_of
from textloom.config.composition import flatten
from textloom.errors import RunError
from textloom.sweeps.space import Space
from textloom.sweeps.trials import comparable, compared, differing, is_of
from textloom.system.files import read_json, write_json

FILE = "sweep.json"
LONGEST = 200  # of 255 bytes that file systems take, with room for a checksum
NAME_FROM = ("experiment", "data")  # the first of these groups that was chosen says what a sweep is about


def sweep_name(master: DictConfig, space: Space) -> str:
    """After the experiment or data, and what varies: the same for the same command, also with more values."""
    choices = OmegaConf.to_container(master.hydra.runtime.choices)
    assert isinstance(choices, dict)
    about = [space.fixed.get(group) or choices.get(group) for group in NAME_FROM if group not in space.keys]
    about = [name for name in about if name not in (None, "null")]
    varying = ",".join(key.rpartition(".")[2] for key in space.keys)
    name = f"{about[0]}_{varying}" if about else varying
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def claimed_sweep(directory: Path) -> Iterator[None]:
    """No other process runs this sweep meanwhile. Raises RunError if one does, or where nothing can be written."""
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
    """Raises RunError if what is the same in all trials was another when the sweep of this directory began.

    Keys that only one of the two has are not compared: a newer textloom may have added them.
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
                f"{directory}: the sweep was begun with another config ({difference}), and does not mix them; "
                "type the former value, or sweep.name=NAME for another sweep"
            )


def write_config(directory: Path, fixed: dict[str, Any], space: Space) -> None:
    """Write down what is the same in all trials, and what varies. Raises RunError as ``refuse_another_config``."""
    refuse_another_config(directory, fixed, space)
    content = _content(fixed, space)
    if not (directory / FILE).exists() or read_json(directory / FILE) != content:
        write_json(directory / FILE, content)


def config_checksum(fixed: dict[str, Any], space: Space) -> str:
    """The same for the same values of the keys that do not vary."""
    content = _content(fixed, space)
    content["fixed"] = {key: comparable(key, value) for key, value in content["fixed"].items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _content(fixed: dict[str, Any], space: Space) -> dict[str, Any]:
    """What is the same in all trials. An experiment may set any key: if it varies, only what was typed is the same."""
    if "experiment" in space.keys:
        typed = {key: text for key, text in space.fixed.items() if effect_of(key).changes_results}
        return {"fixed": {}, "typed": typed, "varying": space.keys}
    return {"fixed": _without_what_varies(flatten(compared(fixed)), space.keys), "varying": space.keys}


def _without_what_varies(flat: dict[str, Any], varying: list[str]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if not is_of(key, varying)}
