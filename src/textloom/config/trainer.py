"""How a run is trained, and everything that makes a run."""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.data import BatchingConfig, DataConfig, check_protocol
from textloom.config.effects import Effect
from textloom.config.keys import effects_of
from textloom.config.lightning import Duration, LightningArguments, find_mistake, parse_duration
from textloom.config.model import ModelConfig, OptimizerConfig, ScheduleConfig
from textloom.config.ngram import NgramConfig
from textloom.config.section import Entries, FolderName, PathText, Positive, Prose, Section, Unit, as_tuple
from textloom.config.sweep import SweepConfig
from textloom.config.tokenizer import TokenizerConfig

Share = Annotated[float, Field(gt=0, le=1)]


class CheckpointEvery(Section):
    """How often ``last.ckpt`` is written beside after each validation; null for not."""

    steps: Annotated[Positive | None, Unit("steps")]
    """Optimizer steps."""
    epochs: Annotated[Positive | None, Unit("epochs")]
    """Passes over the training part."""
    minutes: Annotated[Annotated[float, Field(gt=0)] | None, Unit("minutes")]
    """Minutes."""


class TrainerConfig(Section):
    """How long, on what, and how often. Keys that Lightning's Trainer has too bear its names."""

    batch_size: Annotated[Positive | Literal["auto"] | None, Unit("rows")]
    """Windows, documents or stream rows in a batch, on each device: N devices take steps on N times as many.

    null: a number that suits the length of the text. auto: the largest that fits into a GPU's memory, or the fastest on
    a CPU, found by trial steps when a run begins."""
    max_epochs: Annotated[Positive | None, Effect.LENGTH, Unit("epochs")]
    """Passes over the training part at most; null for a number that suits the length of the text."""
    max_steps: Annotated[Positive | None, Effect.LENGTH, Unit("steps")]
    """Optimizer steps at most; null for no limit."""
    max_time: Annotated[Duration, Effect.PAUSE, Unit("DD:HH:MM:SS")] = None
    """Time at most, days:hours:minutes:seconds, of each process that trains the run; null for no limit."""
    val_check_interval: Annotated[Positive | Share | None, Unit("batches or epochs")]
    """When to validate: a share of an epoch (1.0: at its end), or a whole number of batches; always at the end.

    null: every epoch, several epochs where they are short, or a quarter of a long one."""
    early_stopping_patience: Annotated[Positive | None, Effect.LENGTH, Unit("validations")]
    """Validations without improvement before training ends; null to go on to the end."""
    weight_averaging: Annotated[float, Field(gt=0, lt=1)] | None
    """Decay of the running mean of the weights that validates, and is kept as the model; null for the last weights."""
    gradient_clip_val: Annotated[float, Field(gt=0)] | None
    """Largest norm of the gradient; null for no clipping."""
    accumulate_grad_batches: Annotated[Positive, Unit("batches")]
    """Batches that add up to one optimizer step."""
    accelerator: Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], Effect.PLACE]
    """What to compute on; auto takes a GPU where there is one."""
    devices: Annotated[Positive, Unit("devices")]
    """Devices to train on, of each node; one process for each is started, where torchrun or srun has not."""
    num_nodes: Annotated[Positive, Unit("machines")] = 1
    """Machines to train on; on each torchrun or srun starts one process for each device."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """Number format in training; auto takes bf16 where it is faster for the model. Evaluation is always float32."""
    deterministic: bool
    """Allow only operations that give the same bits every time."""
    checkpoint_every: Annotated[CheckpointEvery, Effect.NONE]
    """How often to write a checkpoint to go on from."""
    on_nan: Annotated[Literal["stop", "rollback"], Effect.NONE]
    """When the loss diverges: stop, or go back to the last checkpoint and go on with half the learning rate."""
    max_rollbacks: Annotated[Positive, Effect.NONE]
    """How often to go back before stopping all the same."""
    log_every_n_steps: Annotated[Positive, Effect.NONE, Unit("steps")]
    """Optimizer steps from one training point in TensorBoard to the next."""
    profiler: Annotated[Literal["simple", "torch"] | None, Effect.NONE] = None
    """simple: a table of where the time goes (profile.txt); torch: a trace of some steps (trace.json); null: none."""
    progress_bar: Annotated[bool, Effect.NONE]
    """Show a progress bar, where a person is watching the terminal."""
    extra: Annotated[dict[str, Any], Entries(LightningArguments)]
    """Any other argument of Lightning's Trainer, passed on as it is."""

    @property
    def time_limit(self) -> float | None:
        """Seconds until the training ends with a validation; None for no limit."""
        limit = self.max_time or self.extra.get("max_time")
        return None if limit is None else parse_duration(limit).total_seconds()

    @property
    def rows(self) -> int:
        """``batch_size`` as the number that it is once a run has begun."""
        assert isinstance(self.batch_size, int)
        return self.batch_size

    @property
    def epochs(self) -> int:
        """``max_epochs`` as the number that it is once a run has begun."""
        assert self.max_epochs is not None
        return self.max_epochs

    @model_validator(mode="after")
    def _extra_is_extra(self) -> Self:
        for key in self.extra:
            if key in type(self).model_fields and key not in (
                "extra",
                "max_time",
            ):  # the latter: what Lightning calls it
                raise ValueError(f"extra.{key} is a key of its own; set trainer.{key}")
        mistake = find_mistake(self.extra)
        if mistake is not None:
            raise ValueError(mistake)
        return self

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        """Arguments of ``extra`` and the keys beside it do not contradict each other."""
        if "max_time" in self.extra and self.max_time is not None:
            raise ValueError("max_time is given twice; leave out trainer.extra.max_time")
        for least, most in (("min_epochs", self.max_epochs), ("min_steps", self.max_steps)):
            if most is not None and (self.extra.get(least) or 0) > most:
                name = least.replace("min", "max")
                raise ValueError(
                    f"extra.{least}={self.extra[least]}: more than trainer.{name}={most}; raise trainer.{name}"
                )
        if self.extra.get("gradient_clip_algorithm") is not None and self.gradient_clip_val is None:
            raise ValueError(
                "extra.gradient_clip_algorithm: clips nothing without a limit; set trainer.gradient_clip_val"
            )
        if self.extra.get("check_val_every_n_epoch") is not None and isinstance(self.val_check_interval, int):
            raise ValueError(
                "extra.check_val_every_n_epoch counts epochs, and "
                f"trainer.val_check_interval={self.val_check_interval} batches; leave one of them out"
            )
        return self


class SamplesConfig(Section):
    """The texts written at each validation."""

    prompt: Prose | None
    """What they go on from; empty for texts from their beginning, null for the first words of the training text."""
    length: Annotated[Positive, Unit("tokens")]
    """Tokens in each."""
    temperatures: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """One text for each; 0 takes the likeliest token every time."""


class TrainConfig(Section):
    """Everything that makes a run."""

    name: Annotated[FolderName, Effect.PLACE]
    """Folder of the run below outputs/."""
    seed: Annotated[int, Field(ge=0, lt=2**32), Effect.SEED]
    """Initial weights, dropout and the order of the batches."""
    resume: Annotated[PathText | None, Effect.PLACE] = None
    """A run directory, or 'latest': go on with that run where it was cut."""
    data: Annotated[DataConfig, Effect.DATA]
    tokenizer: Annotated[TokenizerConfig, Effect.RESULTS]
    batching: Annotated[BatchingConfig, Effect.RESULTS]
    model: Annotated[ModelConfig | NgramConfig, Field(discriminator="cell"), Effect.RESULTS]
    optimizer: Annotated[OptimizerConfig, Effect.RESULTS]
    schedule: Annotated[ScheduleConfig, Effect.RESULTS]
    trainer: Annotated[TrainerConfig, Effect.RESULTS]
    samples: Annotated[SamplesConfig, Effect.NONE]
    sweep: Annotated[SweepConfig | None, Field(exclude=True), Effect.PLACE] = None
    """How trials are chosen with -m; no part of a run."""

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        check_protocol(self.data, self.tokenizer, self.batching)
        if self.model.is_ngram and self.data.leaky:
            raise ValueError("model=ngram counts documents, and data.protocol=article deals out windows; leave one out")
        if self.model.is_ngram and self.trainer.devices * self.trainer.num_nodes > 1:
            raise ValueError("trainer.devices: n-grams are counted in one process; set trainer.devices=1")
        return self


def effect_of(key: str) -> Effect:
    """The effect of a key of ``TrainConfig``; of an unknown key that of the nearest group above it."""
    effects = _effects()
    if key not in effects:
        _effects.cache_clear()  # a plugin may have registered it since
        effects = _effects()
    while key and key not in effects:
        key = key.rpartition(".")[0]
    return effects.get(key, Effect.RESULTS)


@cache
def _effects() -> dict[str, Effect]:
    return effects_of(TrainConfig)
