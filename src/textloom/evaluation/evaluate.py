"""Scoring a model on every token of a split: negative log-likelihoods are summed over targets and divided once."""

import logging
from collections.abc import Mapping

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

    def __init__(self, figures: Mapping[str, float], signatures: Mapping[SplitName, str]):
        super().__init__(figures)
        self.signatures = {str(split): text for split, text in signatures.items()}


@denormals_flushed()  # as in training
@memory_kept()
def evaluate_run(run: Run, checkpoint: CheckpointName = "best", protocol: Protocol | None = None) -> Evaluation:
    """Scores of the validation split and, if there is one, the test split, by their names in ``results.json``.

    Those of the training's own protocol, which is the default, are what training reports, to the last digit. Raises
    RunError if a file is missing or damaged.
    """
    config, tokenizer, model = load_model(run, checkpoint)
    splits = load_splits(run.tokens)
    if config.data.has_test_split and "test" not in splits:
        raise RunError(f"{run.tokens}: the tokens of the test split are missing; give a complete run directory")
    protocol = protocol or own_protocol(config)
    model = model.to(_device(config))
    figures: dict[str, float] = {}
    for name in EVALUATED:
        if name in splits:
            with stage(f"scoring the {name} split", splits[name].targets, "targets"):
                figures |= score_by(protocol, model, splits[name], rows_of(config)).named(name)
    fingerprint = run.data_fingerprint()
    signatures = {name: signature(fingerprint, name, tokenizer, str(protocol)) for name in EVALUATED if name in splits}
    return Evaluation(figures, signatures)


def evaluate_and_keep(run: Run, checkpoint: CheckpointName, protocol: Protocol) -> Evaluation:
    """The scores of ``evaluate_run``, kept in ``evaluations.json`` unless ``results.json`` has them."""
    found = evaluate_run(run, checkpoint, protocol)
    if protocol != own_protocol(run.config()):
        keep_evaluation(run, found, checkpoint, protocol)
    return found


def keep_evaluation(run: Run, found: Evaluation, checkpoint: CheckpointName, protocol: Protocol) -> None:
    """Add scores with their signatures to ``evaluations.json``."""
    own, loss = protocol == own_protocol(run.config()), run.results().get("val/loss")
    fingerprint = run.data_fingerprint()
    keep(run, KeptEvaluation(str(protocol), found.signatures, dict(found), fingerprint, checkpoint, loss, own))


def _device(config: TrainConfig) -> torch.device:
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
    return score_by(training_protocol(batching), model, split, batch_size)


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
                nats, likeliest = model.nats_and_argmax(some, targets)
                self.nats += (nats.cpu() if nats.device.type == "mps" else nats).double().sum()  # MPS has no float64
                self.correct += (likeliest == targets).sum()
        self.targets += len(batch.targets)
        advance(len(batch.targets))

    def score(self, split: TokenSplit) -> Score:
        """The score of all batches that were added, which are those of this split."""
        return Score.of(split, float(self.nats), int(self.correct), self.targets)
