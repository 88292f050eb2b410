"""Arguments of Lightning's Trainer in ``trainer.extra``: those that work, and what to set instead of the others.

A test compares these names with the signature of the installed Trainer.
"""

import difflib
import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from textloom.config.effects import Effect
from textloom.config.section import Positive, Section, Unit

DURATION = re.compile(r"(?:(\d+):)?(\d+):(\d\d):(\d\d)")


def parse_duration(value: Any) -> timedelta:
    """The time that ``DD:HH:MM:SS``, ``HH:MM:SS`` or Lightning's ``{"hours": 12}`` means.

    Raises ValueError for anything else, and for no time. Numbers are refused: YAML reads 1:00:00:00 as one, to the base
    of 60.
    """
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    duration = timedelta()
    if found:
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    elif isinstance(value, dict):
        with suppress(TypeError, OverflowError):
            duration = timedelta(**value)
    if duration <= timedelta():
        raise ValueError("must be a time such as '00:12:00:00' (days:hours:minutes:seconds), in quotes in a YAML file")
    return duration


def checked_duration(value: Any) -> Any:
    """A duration as it was written. Raises ValueError for what ``parse_duration`` does not read."""
    if value is not None:
        parse_duration(value)
    return value


Duration = Annotated[str | None, BeforeValidator(checked_duration)]


class LightningArguments(Section):
    """Arguments of Lightning's Trainer that may be given in ``trainer.extra``, all of them optional."""

    max_time: Annotated[str | dict[str, float] | None, BeforeValidator(checked_duration), Effect.PAUSE] = None
    """Same as trainer.max_time."""
    min_epochs: Annotated[Positive | None, Unit("epochs")] = None
    """Passes over the training split before early stopping may end the training."""
    min_steps: Annotated[Positive | None, Unit("steps")] = None
    """Optimizer steps before early stopping may end the training."""
    limit_train_batches: Positive | Annotated[float, Field(gt=0, le=1)] | None = None
    """Batches of each epoch that are trained on, or the share of them."""
    check_val_every_n_epoch: Annotated[Positive | None, Unit("epochs")] = None
    """Validate after every so many epochs."""
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    """Whether trainer.gradient_clip_val limits the norm of the gradient, or each of its values."""
    enable_model_summary: Annotated[bool, Effect.NONE] = False
    """Log a table of the model's parts and their parameters."""
    benchmark: bool | None = None
    """Let cuDNN measure which algorithm is fastest."""
    detect_anomaly: Annotated[bool, Effect.NONE] = False
    """Let autograd check every operation for NaN; slow."""


REFUSED = {
    "strategy": "it follows from trainer.devices and trainer.num_nodes; set those",
    "logger": "set logger, as in logger=tensorboard,csv",
    "callbacks": "a YAML value is not a callback; leave it out",
    "plugins": "a YAML value is not a plugin; leave it out",
    "fast_dev_run": "it would leave validation tokens unscored; set trainer=debug for a short run",
    "limit_val_batches": "it would leave validation tokens unscored; leave it out",
    "limit_test_batches": "it would leave test tokens unscored; leave it out",
    "overfit_batches": "it would leave validation tokens unscored; set trainer.extra.limit_train_batches",
    "num_sanity_val_steps": "there is no validation before the first step; set trainer=debug for a short run",
    "enable_checkpointing": "checkpoints are always written; set trainer.checkpoint_every",
    "enable_progress_bar": "set trainer.progress_bar",
    "inference_mode": "validation never computes gradients; leave it out",
    "barebones": "it would switch off checkpoints, curves and validation; set trainer.progress_bar=false",
    "reload_dataloaders_every_n_epochs": "each epoch has an order of its own; leave it out",
}
"""Arguments that are not passed on -> the reason, and the cure."""

WITHOUT_EFFECT = {
    "limit_predict_batches": "training predicts nothing; leave it out",
    "use_distributed_sampler": "batches are dealt out to the devices without a sampler; leave it out",
    "sync_batchnorm": "the models have no batch normalisation; leave it out",
    "default_root_dir": "set hydra.run.dir",
    "enable_autolog_hparams": "hyperparameters are always written; leave it out",
    "model_registry": "models are kept in run directories; leave it out",
}
"""Arguments that would change nothing -> the cure. Runs of former versions may have them."""


def find_mistake(extra: dict[str, Any]) -> str | None:
    """The first mistake in ``trainer.extra``, in one line that names the key and a cure; None if there is none.

    Arguments without effect are accepted.
    """
    known = LightningArguments.model_fields
    for key, value in extra.items():
        if key in REFUSED:
            return f"extra.{key}: {REFUSED[key]}"
        if key not in known and key not in WITHOUT_EFFECT:
            close = difflib.get_close_matches(key, [*known], n=1, cutoff=0.5)
            hint = f", did you mean {close[0]}?" if close else ""
            return f"extra.{key}: not an argument of Lightning's Trainer that can be set here{hint}; leave it out"
        try:
            LightningArguments.model_validate({key: value} if key in known else {})
        except ValidationError as error:
            said = error.errors()[-1]["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            return f"extra.{key}={value}: {said} ({LightningArguments.description_of(key).rstrip('.')})"
    return None
