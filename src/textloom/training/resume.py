"""Resuming a run: its config with the changes that are allowed, and its newest checkpoint."""

import logging
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from textloom.config import SCHEDULES, TrainConfig, effect_of
from textloom.config.checking import check, flatten
from textloom.config.compose import as_override
from textloom.config.keys import is_entry, keys_of, kind_of
from textloom.config.suggestions import nearest_key
from textloom.errors import ConfigError, RunError
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.run import RESUME_ORDER, Run
from textloom.system.command_hint import as_command
from textloom.training.lightning_internals import failed_validations_in
from textloom.training.stopping import StopEarly

log = logging.getLogger(__name__)


class Change(NamedTuple):
    """A key and its new value in the resumed run."""

    key: str
    value: Any
    line: str
    """The change as an override, without plus signs."""
    shown: str
    """The change in a message."""


def resumed_config(run: Run, overrides: Sequence[str], values: Mapping[str, Any] | None = None) -> TrainConfig:
    """The run's own config, changed by overrides and then by values of plain types, as in ``textloom.train``.

    Raises ConfigError, naming the old and the new value, if a change would make the remaining steps differ from those
    of an uninterrupted training.
    """
    config = run.config()
    tree: dict[str, Any] = config.model_dump(mode="json")
    made_by = {line.lstrip("+") for line in _made_by(run)}
    for change in [*changes_in_overrides(overrides), *_given_changes(values or {})]:
        key, after = change.key, change.value
        if key == "resume" or key.startswith("hydra."):
            continue
        if change.line in made_by and not may_change(key, config.schedule.kind):
            continue  # repeated from the first call; the config may hold another value, such as a number for "auto"
        section, name, before = _find(tree, key)
        if isinstance(before, list) and not isinstance(after, list):
            after = [after]
        if before != after and not may_change(key, config.schedule.kind):
            raise ConfigError(f"{change.shown}: {_reason(key, before, tree)}")
        section[name] = after
        if name == "max_time":  # it has two names, and the run's config may hold the other one
            if "extra" in key:
                tree["trainer"][name] = None
            else:
                tree["trainer"]["extra"].pop(name, None)
    resumed = check(tree, TrainConfig)
    _refuse_going_back(run, resumed)
    return resumed


def changes_in_overrides(overrides: Sequence[str]) -> Iterator[Change]:
    """The keys that overrides change, in Hydra's grammar, and their values."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element().lstrip("+~")
        value = override.value()
        line = str(override.input_line).lstrip("+")
        text = value if isinstance(value, str) else override.get_value_element_as_str()
        yield Change(key, yaml.safe_load(yaml.safe_dump(value)), line, f"{key}={text}")


def _given_changes(values: Mapping[str, Any]) -> Iterator[Change]:
    for key, value in flatten(dict(values)).items():
        line = as_override(key, value)
        yield Change(key, value, line, line)


def _reason(key: str, before: Any, values: dict[str, Any]) -> str:
    """Why a key cannot change, and the cure."""
    group, known = key.partition(".")[0], keys_of(TrainConfig)
    if key not in known and not is_entry(key, known):
        return f"there is no such key{nearest_key(key, sorted(known))}; leave it out"
    section, name, _ = _find(values, key)
    made = f"{key}={_short(before)}" if name in section else f"{group}={_short(values[group])}, which has no such key"
    return f"the run was made with {made}, and a resumed run keeps it; train a new one, or leave the key out"


def _made_by(run: Run) -> list[str]:
    """The overrides of the run's first call; empty if they cannot be read."""
    try:
        lines = yaml.safe_load(run.overrides_file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    return lines if isinstance(lines, list) else []


def newest_checkpoint(run: Run) -> str | None:
    """The path of the newest undamaged checkpoint, or None if there are no checkpoints.

    Damaged ones are named in the log. Raises RunError if all are damaged.
    """
    damaged = []
    for name in RESUME_ORDER:
        path = run.checkpoint_file(name)
        if path.exists():
            try:
                read_checkpoint(path)
            except RunError as error:
                log.warning("%s", error)
                damaged.append(path.name)
            else:
                return str(path)
    if damaged:
        raise RunError(f"{run.directory}: every checkpoint is damaged ({', '.join(damaged)}); train the run again")
    return None


def how_to_train_further(run: Run) -> str:
    """The command that continues the training of a completed run, or the reason why it cannot continue."""
    config = run.config()
    if config.model.is_ngram:
        return "n-grams are counted once, and there is nothing to train further"
    done, trainer = read_checkpoint(run.checkpoint_file("last")), config.trainer
    if config.schedule.spans_training:
        limit = "max_steps" if done["global_step"] == trainer.max_steps else "max_epochs"
        return f"schedule={config.schedule.kind} ended with it; train a new run with a larger trainer.{limit}"
    raised = []
    if trainer.max_steps is not None and done["global_step"] >= trainer.max_steps:
        raised.append(f"trainer.max_steps={2 * trainer.max_steps}")
    if done["epoch"] + 1 >= trainer.epochs:
        raised.append(f"trainer.max_epochs={2 * trainer.epochs}")
    waited = failed_validations_in(done, StopEarly.__name__)
    if trainer.early_stopping_patience is not None and waited >= trainer.early_stopping_patience:
        raised.append(f"trainer.early_stopping_patience={2 * trainer.early_stopping_patience}")
    directory = shlex.quote(os.path.relpath(run.directory))
    return f"to train it further: {as_command('train')} resume={directory} {' '.join(raised)}"


def _refuse_going_back(run: Run, config: TrainConfig) -> None:
    checkpoint = newest_checkpoint(run)
    if checkpoint is None or config.model.is_ngram:  # n-grams are counted in one step
        return
    done = read_checkpoint(Path(checkpoint))
    trainer = config.trainer
    if trainer.max_epochs is not None and trainer.max_epochs < done["epoch"] + 1:
        raise ConfigError(
            f"trainer.max_epochs={trainer.max_epochs}: the run has reached epoch {done['epoch'] + 1} already; give more"
        )
    if trainer.max_steps is not None and trainer.max_steps < done["global_step"]:
        raise ConfigError(
            f"trainer.max_steps={trainer.max_steps}: the run has done {done['global_step']} steps already; give more"
        )


def _find(values: dict[str, Any], key: str) -> tuple[dict[str, Any], str, Any]:
    """The section, the name in it and the value of a dotted key."""
    *sections, name = key.split(".")
    section = values
    for part in sections:
        section = section.get(part, {}) if isinstance(section, dict) else {}
    return section, name, section.get(name)


def may_change(key: str, schedule: str) -> bool:
    """True if a resumed run with a schedule of this kind may have another value of the key."""
    if key in ("trainer.max_epochs", "trainer.max_steps") and SCHEDULES.config_class(schedule).spans_training:
        return False
    return effect_of(key).may_change_on_resume


def _short(value: Any) -> str:
    """A value as text; of a whole group, its kind."""
    if isinstance(value, dict):
        return str(kind_of(value) or "other keys")
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "null" if value is None else str(value)
