"""The config of training, and the whole config of a run."""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.data import BatchingConfig, DataConfig, check_protocol
from textloom.config.effects import Effect
from textloom.config.keys import effects_of
from textloom.config.lightning import Duration, LightningArguments, find_mistake, parse_duration
from textloom.config.model import CELLS, ModelConfig
from textloom.config.ngram import NgramConfig
from textloom.config.optimizer import OPTIMIZERS, SCHEDULES, OptimizerConfig, ScheduleConfig
from textloom.config.section import Entries, FolderName, Mark, PathText, Positive, Prose, Section, Unit, as_tuple
from textloom.config.sweep import SweepConfig
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.registry import OneOf

Share = Annotated[float, Field(gt=0, le=1)]


class CheckpointEvery(Section):
    """How often ``last.ckpt`` is written, in addition to after each validation; null for never."""

    steps: Annotated[Positive | None, Unit("steps")]
    """Optimizer steps between two checkpoints."""
    epochs: Annotated[Positive | None, Unit("epochs")]
    """Epochs between two checkpoints."""
    minutes: Annotated[Annotated[float, Field(gt=0)] | None, Unit("minutes")]
    """Minutes between two checkpoints."""


class TrainerConfig(Section):
    """Length, hardware and schedule of a training; keys of Lightning's Trainer have its names."""

    batch_size: Annotated[Positive | Literal["auto"] | None, Unit("rows")]
    """Windows, documents or stream rows in a batch, on each device: N devices take steps on N times as many.

    null: chosen for the length of the text. auto: the largest that fits into a GPU's memory, or the fastest on a CPU,
    measured when a run begins."""
    max_epochs: Annotated[Positive | None, Effect.LENGTH, Unit("epochs")]
    """Most epochs; null: chosen for the length of the text."""
    max_steps: Annotated[Positive | None, Effect.LENGTH, Unit("steps")]
    """Most optimizer steps; null for no limit."""
    max_time: Annotated[Duration, Effect.PAUSE, Unit("DD:HH:MM:SS")] = None
    """Time limit of each process that trains the run, as days:hours:minutes:seconds; null for no limit."""
    val_check_interval: Annotated[Positive | Share | None, Unit("batches or epochs")]
    """Interval of validation: a share of an epoch (1.0: at its end) or a number of batches; always at the end.

    null: every epoch, several short epochs, or a quarter of a long one."""
    early_stopping_patience: Annotated[Positive | None, Effect.LENGTH, Unit("validations")]
    """Validations without improvement after which training ends; null for no early stopping."""
    weight_averaging: Annotated[float, Field(gt=0, lt=1)] | None
    """Decay of the running mean of the weights, which is validated and kept; null for the last weights."""
    gradient_clip_val: Annotated[float, Field(gt=0)] | None
    """Largest norm of the gradient; null for no clipping."""
    activation_regularization: Annotated[float, Field(ge=0)] = 0.0
    """Weight of activation regularization (AR): of the mean square of the last layer's outputs after dropout."""
    temporal_activation_regularization: Annotated[float, Field(ge=0)] = 0.0
    """Weight of temporal activation regularization (TAR): of the mean squared change of the outputs between steps."""
    consistency_regularization: Annotated[float, Field(ge=0)] = 0.0
    """Weight of consistency regularization (R-Drop): of the divergence of two passes with different dropout masks."""
    softmax_samples: Positive | None = None
    """Number of words that a training step scores, on average, beside its targets; null for the whole vocabulary."""
    accumulate_grad_batches: Annotated[Positive, Unit("batches")]
    """Batches that add up to one optimizer step."""
    accelerator: Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], Effect.PLACE]
    """Device to compute on; auto takes a GPU if there is one."""
    devices: Annotated[Positive, Unit("devices")]
    """Devices of each machine; a process is started for each, unless torchrun or srun has started them."""
    num_nodes: Annotated[Positive, Unit("machines")] = 1
    """Machines; on each, torchrun or srun starts one process for each device."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """Number format in training; auto takes bf16 if it is faster for the model. Evaluation is always in float32."""
    deterministic: bool
    """Use only operations whose results are the same bits every time."""
    checkpoint_every: Annotated[CheckpointEvery, Effect.NONE]
    """How often to write a checkpoint to resume from."""
    on_nan: Annotated[Literal["stop", "rollback"], Effect.NONE]
    """If the loss diverges: stop, or continue from the last checkpoint with half the learning rate."""
    max_rollbacks: Annotated[Positive, Effect.NONE]
    """Most rollbacks before training stops."""
    log_every_n_steps: Annotated[Positive, Effect.NONE, Unit("steps")]
    """Optimizer steps between two points of the training curves in TensorBoard."""
    profiler: Annotated[Literal["simple", "torch"] | None, Effect.NONE] = None
    """simple: a table of the time spent (profile.txt); torch: a trace of some steps (trace.json); null: none."""
    progress_bar: Annotated[bool, Effect.NONE]
    """Show a progress bar if the output is a terminal."""
    extra: Annotated[dict[str, Any], Entries(LightningArguments)]
    """Other arguments of Lightning's Trainer, passed on unchanged."""

    @property
    def time_limit(self) -> float | None:
        """``max_time`` in seconds; None for no limit."""
        limit = self.max_time or self.extra.get("max_time")
        return None if limit is None else parse_duration(limit).total_seconds()

    @property
    def rows(self) -> int:
        """``batch_size``, which is a number once a run has begun."""
        assert isinstance(self.batch_size, int)
        return self.batch_size

    @property
    def epochs(self) -> int:
        """``max_epochs``, which is a number once a run has begun."""
        assert self.max_epochs is not None
        return self.max_epochs

    @model_validator(mode="after")
    def _extra_is_extra(self) -> Self:
        for key in self.extra:
            if key in type(self).model_fields and key not in (
                "extra",
                "max_time",
            ):  # Lightning's own name
                raise ValueError(f"extra.{key} is a key of its own; set trainer.{key}")
        mistake = find_mistake(self.extra)
        if mistake is not None:
            raise ValueError(mistake)
        return self

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        """Arguments in ``extra`` do not contradict other keys."""
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


LoggerName = Literal["tensorboard", "csv", "mlflow", "wandb"]


def as_loggers(value: Any) -> Any:
    """The names of loggers from a list, or from words with commas between them; tensorboard is always the first."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError("TensorBoard's files are always written; leave it out, or set logger=tensorboard,csv")
    words = [name.strip() if isinstance(name, str) else name for name in names]
    others = [word for position, word in enumerate(words) if word != "tensorboard" and word not in words[:position]]
    return ("tensorboard", *others)


Loggers = Annotated[tuple[LoggerName, ...], BeforeValidator(as_loggers), Mark.LIST]


class SamplesConfig(Section):
    """Texts that are generated at each validation."""

    prompt: Prose | None
    """The text to continue; empty for new documents, null for the first words of the training text."""
    length: Annotated[Positive, Unit("tokens")]
    """Tokens in each text."""
    temperatures: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """Temperatures, one text for each; 0 always takes the likeliest token."""


class TrainConfig(Section):
    """The whole config of a run."""

    name: Annotated[FolderName, Effect.PLACE]
    """Folder of the run below outputs/."""
    seed: Annotated[int, Field(ge=0, lt=2**32), Effect.SEED]
    """Seed of the initial weights, of dropout and of the order of the batches."""
    resume: Annotated[PathText | None, Effect.PLACE] = None
    """A run directory, or 'latest': resume that run."""
    start: Annotated[PathText | None, Effect.RESULTS] = None
    """A run directory, an export, 'latest' or 'best': start from its weights, with its model and tokenizer."""
    logger: Annotated[Loggers, Effect.NONE] = ("tensorboard",)
    """Loggers of curves and hyper-parameters: tensorboard, which is always on, and csv, mlflow or wandb.

    MLflow and W&B read their destination from their environment variables: MLFLOW_TRACKING_URI, WANDB_MODE."""
    data: Annotated[DataConfig, Effect.DATA]
    tokenizer: Annotated[TokenizerConfig, OneOf(TOKENIZERS), Effect.RESULTS]
    batching: Annotated[BatchingConfig, Effect.RESULTS]
    model: Annotated[ModelConfig | NgramConfig, OneOf(CELLS, NgramConfig), Effect.RESULTS]
    optimizer: Annotated[OptimizerConfig, OneOf(OPTIMIZERS), Effect.RESULTS]
    schedule: Annotated[ScheduleConfig, OneOf(SCHEDULES), Effect.RESULTS]
    trainer: Annotated[TrainerConfig, Effect.RESULTS]
    samples: Annotated[SamplesConfig, Effect.NONE]
    sweep: Annotated[SweepConfig | None, Field(exclude=True), Effect.PLACE] = None
    """The sweep that -m starts; not part of a run."""

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        check_protocol(self.data, self.tokenizer, self.batching)
        if self.optimizer.averaging_patience is not None and self.trainer.weight_averaging is not None:
            raise ValueError(
                f"optimizer={self.optimizer.kind} averages the weights by a rule of its own; "
                "set trainer.weight_averaging=null"
            )
        if not self.model.is_ngram:
            self._check_objective(self.model)
        if self.model.is_ngram and self.data.leaky:
            raise ValueError("model=ngram counts documents, and data.protocol=article deals out windows; leave one out")
        if self.model.is_ngram and self.batching.singleton_dropout:
            raise ValueError("model=ngram counts every word as it is; set batching.singleton_dropout=0")
        if self.model.is_ngram and self.trainer.devices * self.trainer.num_nodes > 1:
            raise ValueError("trainer.devices: n-grams are counted in one process; set trainer.devices=1")
        return self

    def _check_objective(self, model: ModelConfig) -> None:
        trainer = self.trainer
        for name in ("softmax_samples", "consistency_regularization"):
            if getattr(trainer, name) and model.softmax_cutoffs is not None:
                raise ValueError(
                    f"trainer.{name}={getattr(trainer, name)} needs one softmax, and model.softmax_cutoffs divides it "
                    "into several; leave one of them out"
                )
        if trainer.consistency_regularization and not model.has_masks_of_rows:
            raise ValueError(
                "trainer.consistency_regularization compares two passes with different dropout masks, and the model "
                "has no dropout that draws a mask for each row; set model.output_dropout=0.3"
            )


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
