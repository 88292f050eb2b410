"""The schema of a training config: one frozen model per group, one docstring with the unit per key.

YAML composes (see ``conf/``), this checks: no unknown key, every value in its bounds, and the groups fit each other.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Section(BaseModel):
    """What all groups share: frozen, no extra keys, and no silent conversion of one type into another."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


# --- data -----------------------------------------------------------------------------------------------------------


class SplitKeys(Section):
    """How documents become a training, a validation and a test part."""

    validation_fraction: Fraction
    """Share of the documents (of the characters, where there is one document) that validates."""
    test_fraction: Fraction
    """Share that is tested on, once, at the end; 0 for no test part."""
    split_seed: int
    """Which documents fall into which part; runs with the same data and split_seed are comparable."""
    fold_duplicates: bool
    """Keep one of the documents that differ only in case, punctuation or white space."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if not self.validation_fraction > 0:
            raise ValueError("validation_fraction=0 leaves nothing to validate on; give it a share such as 0.1")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on; lower one of them")
        return self


class ToyData(SplitKeys):
    """The small text about deep learning that comes with textloom."""

    kind: Literal["toy"]


class TextFiles(SplitKeys):
    """Plain UTF-8 text files."""

    kind: Literal["text_files"]
    path: Paths
    """A file or a glob such as 'books/*.txt', or a list of them."""
    documents: Literal["file", "blank_line"]
    """What one document is: a whole file, or a block between blank lines."""


class Table(SplitKeys):
    """CSV, TSV, JSON lines or Parquet with one document a row."""

    kind: Literal["table"]
    path: Paths
    """A file or a glob such as 'parts/*.parquet', or a list of them."""
    text_column: str
    """The column that holds the text."""


class Patents(SplitKeys):
    """Patent abstracts: the article's CSV or PatentsView's g_patent_abstract.tsv."""

    kind: Literal["patents"]
    path: Paths
    """The file, or a glob, or a list of them."""


DataConfig = Annotated[ToyData | TextFiles | Table | Patents, Field(discriminator="kind")]


# --- tokenizer ------------------------------------------------------------------------------------------------------


class CharTokenizerConfig(Section):
    """One token for each character of the training text."""

    level: Literal["char"]
    lowercase: bool
    """Fold the text to lower case first."""


class ByteTokenizerConfig(Section):
    """One token for each byte of the UTF-8 text: no text is unknown."""

    level: Literal["byte"]


class WordTokenizerConfig(Section):
    """Words and punctuation marks; spaces follow from them."""

    level: Literal["word"]
    lowercase: bool
    """Fold the text to lower case first."""
    minimum_frequency: Positive
    """How often a word must occur in the training text to enter the vocabulary."""
    maximum_size: Annotated[int, Field(ge=4)] | None
    """Most entries that the vocabulary may have, the special ones included; null for no limit."""


TokenizerConfig = Annotated[
    CharTokenizerConfig | ByteTokenizerConfig | WordTokenizerConfig, Field(discriminator="level")
]


# --- batching -------------------------------------------------------------------------------------------------------


class WindowsConfig(Section):
    """Many-to-one, as in the tutorials: a window of tokens predicts the one after it."""

    kind: Literal["windows"]
    context: Positive
    """Tokens that a window shows before its target."""
    stride: Positive
    """Targets from one training window to the next; evaluation always scores every target."""
    shortest_context: Positive
    """Shortest context trained on, in tokens, met at the beginning of documents; shorter ones are left out."""

    @model_validator(mode="after")
    def _shortest_fits(self) -> Self:
        if self.shortest_context > self.context:
            raise ValueError(
                f"shortest_context={self.shortest_context} is longer than context={self.context}; lower it"
            )
        return self


class DocumentsConfig(Section):
    """Many-to-many within each document: documents of similar length side by side, padded and masked."""

    kind: Literal["documents"]
    steps: Positive
    """Tokens between two cuts of the gradient; a longer document goes on in the next batch with its state."""


class StreamConfig(Section):
    """Many-to-many over all documents end to end: truncated backpropagation with carried state."""

    kind: Literal["stream"]
    steps: Positive
    """Tokens between two cuts of the gradient."""
    evaluation_rows: Positive
    """Parallel rows in evaluation; 1 carries one state through the whole text, more are faster and score worse."""


BatchingConfig = Annotated[WindowsConfig | DocumentsConfig | StreamConfig, Field(discriminator="kind")]


# --- model ----------------------------------------------------------------------------------------------------------


class ModelConfig(Section):
    """A recurrent language model: input, recurrent layers, dense softmax."""

    cell: Literal["lstm", "gru", "rnn"]
    """Which recurrence."""
    units: Positive
    """Recurrent units in each layer."""
    layers: Positive
    """Recurrent layers, one on top of the other."""
    embedding_dim: Positive | None
    """Length of the vector that stands for a token; null for one-hot input."""
    tied_weights: bool
    """Use the embedding as the softmax's weights too; needs embedding_dim equal to units."""
    input_dropout: Fraction
    """Chance that an element of the embedding is dropped in training."""
    layer_dropout: Fraction
    """Chance that an element is dropped between two recurrent layers in training."""
    output_dropout: Fraction
    """Chance that an element is dropped before the softmax in training."""
    forget_bias: float = 1.0
    """Initial bias of the LSTM's forget gate; above 0 it remembers from the start."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.tied_weights and self.embedding_dim != self.units:
            raise ValueError(
                f"tied_weights needs embedding_dim equal to units={self.units}; "
                f"set model.embedding_dim={self.units} or model.tied_weights=false"
            )
        if self.input_dropout and self.embedding_dim is None:
            raise ValueError("input_dropout needs an embedding; set model.embedding_dim or model.input_dropout=0")
        if self.layer_dropout and self.layers == 1:
            raise ValueError("layer_dropout acts between layers; set model.layers=2 or model.layer_dropout=0")
        return self


# --- optimisation ---------------------------------------------------------------------------------------------------


class OptimizerKeys(Section):
    """What all optimizers share."""

    learning_rate: Annotated[float, Field(gt=0)]
    """Step size at the schedule's peak."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Pull of the weights towards zero."""


class AdamConfig(OptimizerKeys):
    """Adam and AdamW (decoupled weight decay)."""

    kind: Literal["adam", "adamw"]
    beta1: Fraction
    """Decay of the running mean of the gradient."""
    beta2: Fraction
    """Decay of the running mean of its square."""


class RMSpropConfig(OptimizerKeys):
    """RMSprop."""

    kind: Literal["rmsprop"]
    smoothing: Fraction
    """Decay of the running mean of the squared gradient."""
    momentum: Fraction
    """Share of the last step that the next one keeps."""


class SGDConfig(OptimizerKeys):
    """Stochastic gradient descent."""

    kind: Literal["sgd"]
    momentum: Fraction
    """Share of the last step that the next one keeps."""


OptimizerConfig = Annotated[AdamConfig | RMSpropConfig | SGDConfig, Field(discriminator="kind")]


class ConstantSchedule(Section):
    """The learning rate stays as it is."""

    kind: Literal["constant"]


class CosineSchedule(Section):
    """Linear warm-up, then a cosine down to a share of the peak at the last step."""

    kind: Literal["cosine"]
    warmup_steps: NonNegative
    """Optimizer steps until the peak."""
    final_fraction: Fraction
    """Share of the peak that is left at the last step."""


class PlateauSchedule(Section):
    """The learning rate falls when validation stops improving."""

    kind: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    """What the learning rate is multiplied by."""
    patience: NonNegative
    """Validations without improvement that are waited for first."""


ScheduleConfig = Annotated[ConstantSchedule | CosineSchedule | PlateauSchedule, Field(discriminator="kind")]


# --- trainer --------------------------------------------------------------------------------------------------------


class CheckpointEvery(Section):
    """How often ``last.ckpt`` is written beside after each validation; null for not."""

    steps: Positive | None
    """Optimizer steps."""
    epochs: Positive | None
    """Passes over the training part."""
    minutes: Annotated[float, Field(gt=0)] | None
    """Minutes."""


EVALUATION_KEYS = ("limit_val_batches", "limit_test_batches", "overfit_batches", "fast_dev_run")


class TrainerConfig(Section):
    """How long, on what, and how often. Keys that Lightning's Trainer has too bear its names."""

    batch_size: Positive
    """Windows, documents or stream rows in a batch."""
    max_epochs: Positive
    """Passes over the training part at most."""
    max_steps: Positive | None
    """Optimizer steps at most; null for no limit."""
    val_check_interval: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, le=1)]
    """When to validate: a share of an epoch (1.0: at its end), or a whole number of batches; always at the end."""
    early_stopping_patience: Positive | None
    """Validations without improvement before training ends; null to go on to the end."""
    gradient_clip_val: Annotated[float, Field(gt=0)] | None
    """Largest norm of the gradient; null for no clipping."""
    accumulate_grad_batches: Positive
    """Batches that add up to one optimizer step."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    """What to compute on; auto takes a GPU where there is one."""
    devices: Literal[1]
    """Devices to train on."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """Number format in training; auto takes bf16 where the hardware multiplies it. Evaluation is always float32."""
    deterministic: bool
    """Allow only operations that give the same bits every time."""
    checkpoint_every: CheckpointEvery
    """How often to write a checkpoint to go on from."""
    on_nan: Literal["stop", "rollback"]
    """When the loss diverges: stop, or go back to the last checkpoint and go on with half the learning rate."""
    max_rollbacks: Positive
    """How often to go back before stopping all the same."""
    log_every_n_steps: Positive
    """Optimizer steps from one training point in TensorBoard to the next."""
    progress_bar: bool
    """Show a progress bar, where a person is watching the terminal."""
    extra: dict[str, Any]
    """Any other argument of Lightning's Trainer, passed on as it is."""

    @model_validator(mode="after")
    def _extra_is_extra(self) -> Self:
        for key in self.extra:
            if key in type(self).model_fields and key != "extra":
                raise ValueError(f"extra.{key} is a key of its own; set trainer.{key}")
            if key in EVALUATION_KEYS:
                raise ValueError(f"extra.{key} would leave validation tokens unscored; leave it out")
        return self


class SamplesConfig(Section):
    """The texts written at each validation."""

    prompt: Annotated[str, Field(min_length=1)] | None
    """What they go on from; null for the first words of the training text."""
    length: Positive
    """Tokens in each."""
    temperatures: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """One text for each; 0 takes the likeliest token every time."""


class TrainConfig(Section):
    """Everything that makes a run."""

    name: Annotated[str, Field(min_length=1)]
    """Folder of the run below outputs/."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Initial weights, dropout and the order of the batches."""
    resume: str | None = None
    """A run directory, or 'latest': go on with that run where it was cut."""
    data: DataConfig
    tokenizer: TokenizerConfig
    batching: BatchingConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    trainer: TrainerConfig
    samples: SamplesConfig


# --- the other commands ---------------------------------------------------------------------------------------------


class GenerateConfig(Section):
    """What to generate, and with which run."""

    run: str
    """A run directory, or 'latest', or 'best': the lowest val/bits_per_char on the latest run's data."""
    outputs: str
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""
    prompt: str | None
    """The text to go on from; null for the one that the run's own samples start with."""
    length: Positive
    """Tokens to generate; the text ends earlier where the model ends the document."""
    temperature: Annotated[float, Field(ge=0)]
    """Divides the logits: below 1 bolder, above 1 wilder, 0 takes the likeliest token every time."""
    top_k: Positive | None
    """Draw from the k likeliest tokens only; null for all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    """Draw from the likeliest tokens that together have this probability; null for all."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    """The same seed gives the same text; null for another one each time."""


class EvaluateConfig(Section):
    """Which run to evaluate."""

    run: str
    """A run directory, or 'latest', or 'best'."""
    outputs: str
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""


class ExportConfig(Section):
    """Which run to export, how and where to."""

    run: str
    """A run directory, or 'latest', or 'best'."""
    outputs: str
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""
    format: Literal["folder", "onnx"]
    """A portable folder, or the single-step model as one ONNX file."""
    to: str | None
    """Where to write; null for exports/NAME_TIME."""
