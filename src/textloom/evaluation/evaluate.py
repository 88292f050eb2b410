"""Scoring a model on every token of a split: negative log-likelihoods are summed over targets and divided once."""

import logging

import torch

from textloom.batching.batch import Batch
from textloom.config import BatchingConfig, TrainConfig
from textloom.data.documents import SplitName
from textloom.data.encoding import TokenSplit, load_splits
from textloom.errors import ConfigError, RunError
from textloom.evaluation.kept import KeptEvaluation, keep
from textloom.evaluation.protocol_batches import protocol_batches
from textloom.evaluation.protocols import Protocol, own_protocol, training_protocol
from textloom.evaluation.score import Score
from textloom.evaluation.signature import signature
from textloom.models.language_model import LanguageModel
from textloom.models.state import State
from textloom.runs.checkpoints import load_model
from textloom.runs.run import CheckpointName, Run
from textloom.system.cpu import denormals_flushed, memory_kept
from textloom.system.devices import choose_device
from textloom.system.progress import advance, stage

log = logging.getLogger(__name__)

EVALUATED: tuple[SplitName, ...] = ("val", "test")
SCORED_AT_ONCE = 2048  # targets whose logits are in memory together


class Evaluation(dict[str, float]):
    """Figures by their names in ``results.json``, with the signature of each split's."""

    def __init__(self, figures: dict[str, float], signatures: dict[str, str]):
        super().__init__(figures)
        self.signatures = signatures


@denormals_flushed()  # as in training
@memory_kept()
def evaluate_run(run: Run, checkpoint: CheckpointName = "best") -> Evaluation:
    """Scores of the validation split and, if there is one, the test split, by their names in ``results.json``.

    They are those that training reports, to the last digit: those of its own protocol. Raises RunError if a file is
    missing or damaged.
    """
    config, tokenizer, model = load_model(run, checkpoint)
    parts, protocol = held_out(run, config), own_protocol(config)
    model = model.to(device_of(config))
    figures: dict[str, float] = {}
    for name, part in parts.items():
        with stage(f"scoring the {name} split", part.targets, "targets"):
            figures |= score_by(protocol, model, part, rows_of(config)).named(name)
    fingerprint = run.data_fingerprint()
    return Evaluation(figures, {str(name): signature(fingerprint, name, tokenizer, str(protocol)) for name in parts})


def keep_own(run: Run, found: Evaluation) -> None:
    """Keep the signatures of the run's own results, and their figures, in ``evaluations.json``."""
    method, loss = str(own_protocol(run.config())), run.results().get("val/loss")
    keep(run, KeptEvaluation(method, found.signatures, dict(found), run.data_fingerprint(), "best", loss, own=True))


def held_out(run: Run, config: TrainConfig) -> dict[SplitName, TokenSplit]:
    """The splits that are scored. Raises RunError if the tokens of one are missing."""
    splits = load_splits(run.tokens)
    if config.data.has_test_split and "test" not in splits:
        raise RunError(f"{run.tokens}: the tokens of the test split are missing; give a complete run directory")
    return {name: splits[name] for name in EVALUATED if name in splits}


def device_of(config: TrainConfig) -> torch.device:
    """The device that the run was trained on; another one if this machine lacks it."""
    try:
        return choose_device(config.trainer.accelerator)
    except ConfigError:
        device = choose_device("auto")
        log.info("no %s here: evaluating on %s", config.trainer.accelerator, device.type)
        return device


def rows_of(config: TrainConfig) -> int:
    """Documents or windows in a batch. n-grams are not scored in batches, and leave the key open."""
    return config.trainer.batch_size if isinstance(config.trainer.batch_size, int) else 1


def score(model: LanguageModel, split: TokenSplit, batching: BatchingConfig, batch_size: int) -> Score:
    """Score of every token of a split by the protocol of a training, once, in float32."""
    return score_by(training_protocol(batching, split.windows is not None), model, split, batch_size)


def score_by(protocol: Protocol, model: LanguageModel, split: TokenSplit, batch_size: int) -> Score:
    """Score of every token of a split by a protocol, once, in float32."""
    whole = model.score_text(split.tokens)
    if whole is not None:
        return Score.of(split, *whole, len(split.tokens) - 1)
    tally = Tally()
    for batch in protocol_batches(protocol, split, batch_size).batches(epoch=0):
        tally.add(model, batch.to(model.device))
    return tally.score(split)


class Tally:
    """Sums over the batches of an evaluation, in float64, divided once at the end."""

    def __init__(self) -> None:
        self.nats: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.targets = 0
        self.state: State | None = None

    @torch.no_grad()
    def add(self, model: LanguageModel, batch: Batch) -> None:
        """Score one batch in float32, whatever the precision of the training, with the state of the batch before."""
        with torch.autocast(batch.inputs.device.type, enabled=False):
            hidden, self.state = model(batch.inputs, None if batch.starts else self.state)
            hidden = batch.states_with_targets(hidden)
            for some, targets in zip(
                torch.split(hidden, SCORED_AT_ONCE), torch.split(batch.targets, SCORED_AT_ONCE), strict=True
            ):
                self.count(*model.nats_and_argmax(some, targets), targets)

    def count(self, nats: torch.Tensor, likeliest: torch.Tensor, targets: torch.Tensor) -> None:
        """Add some targets, with their negative log-likelihoods and the tokens that were the likeliest: (targets,)."""
        self.nats += (nats.cpu() if nats.device.type == "mps" else nats).double().sum()  # MPS has no float64
        self.correct += (likeliest == targets).sum()
        self.targets += len(targets)
        advance(len(targets))

    def score(self, split: TokenSplit) -> Score:
        """The score of all batches that were added, which are those of this split."""
        return Score.of(split, float(self.nats), int(self.correct), self.targets)
