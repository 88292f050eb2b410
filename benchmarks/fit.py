"""Our Trainer, with all callbacks of a run, on made-up tokens, in turns with loops written by hand."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from textloom.config import TrainConfig
from textloom.config.compose import compose
from textloom.data.encoding import Splits, TokenSplit
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.claim import claimed_run
from textloom.system.cpu import denormals_flushed, memory_kept
from textloom.system.devices import choose_device
from textloom.tokenizers.byte import ByteTokenizer
from textloom.training.callbacks.efficiency import Efficiency
from textloom.training.callbacks.samples import Sampler
from textloom.training.data_module import TokenDataModule
from textloom.training.lightning_internals import add_callbacks, quiet_lightning
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.objective import Objective
from textloom.training.plan import Compute, FitPlan
from textloom.training.precision import choose_precision
from textloom.training.preparation import EncodedText
from textloom.training.signals import StopRequest
from textloom.training.tensorboard import RunLogger
from textloom.training.trainer import build_trainer

NEVER = 10**9
Steps = Callable[[int], None]  # trains for so many steps
TOKENS = 1_000_000


def composed(*overrides: str) -> TrainConfig:
    """The config of ``train`` with some overrides: no end, no validation, no bar, no checkpoint."""
    endless = ["name=benchmark", f"trainer.max_epochs={NEVER}", f"trainer.val_check_interval={NEVER}"]
    # by default chosen for a text; experiments have their own
    sizes = ["trainer.batch_size=32", "model.output_dropout=0", "trainer.weight_averaging=null"]
    if any(override.startswith("experiment=") for override in overrides):
        sizes = []
    quiet = ["trainer.progress_bar=false", "trainer.checkpoint_every.minutes=null"]
    return compose("train", TrainConfig, [*endless, *quiet, *sizes, *overrides]).config


def made_up_tokens(vocabulary_size: int, seed: int = 0) -> np.ndarray:
    """Tokens that are as unevenly frequent as words are (Zipf's law), or as characters, roughly."""
    generator = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocabulary_size + 1)
    drawn = generator.choice(vocabulary_size, TOKENS, p=weights / weights.sum())
    return drawn.astype(np.min_scalar_type(vocabulary_size - 1))


class _Done(Exception):
    """Enough was measured."""


class _InTurns(pl.Callback):
    """After each block of our steps, as many of each of the others'."""

    def __init__(self, others: list[Steps], block: int, turns: int):
        self.others, self.block, self.turns = others, block, turns
        self.seconds: list[list[float]] = [[] for _ in range(1 + len(others))]
        self.since = 0.0

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        return step % self.block == 0

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        if trainer.global_step % self.block:
            return
        _wait_for_device()
        self.seconds[0].append(time.perf_counter() - self.since)
        for other, seconds in zip(self.others, self.seconds[1:], strict=True):
            began = time.perf_counter()
            other(self.block)
            _wait_for_device()
            seconds.append(time.perf_counter() - began)
        if len(self.seconds[0]) > self.turns:
            raise _Done
        self.since = time.perf_counter()


@denormals_flushed()  # for all of them
@memory_kept()
@quiet_lightning()
def step_seconds(
    config: TrainConfig, vocabulary_size: int, tokens: np.ndarray, others: list[Steps], block_seconds: float, turns: int
) -> list[list[float]]:
    """Seconds a step of our Trainer, and of each of the others, in every turn; a first turn is not counted."""
    device = choose_device(config.trainer.accelerator)
    ends = np.array([0, len(tokens) - 1])
    part = TokenSplit(tokens=tokens, boundaries=ends, characters=len(tokens), unknown=0, spelling_nats=0.0)
    data = TokenDataModule({"train": part, "val": part}, config.batching, config.trainer.batch_size, config.seed)
    meter = Meter(largest_loss=float("inf"))
    model = RecurrentLanguageModel(config.model, vocabulary_size)
    objective = Objective.of(config.trainer, vocabulary_size, part)
    module = TrainingModule(model, config.optimizer, config.schedule, NEVER, part, meter, objective=objective)
    block = _block(others[0], block_seconds)
    taking_turns = _InTurns(others, block, turns)
    with tempfile.TemporaryDirectory() as folder, claimed_run(Path(folder) / "run") as run, StopRequest() as request:
        logger = RunLogger(run.directory)
        sampler = Sampler(config.samples, ByteTokenizer(), "never used", None, run.samples_file)
        precision = choose_precision(config, device, vocabulary_size)[0]
        text = EncodedText(ByteTokenizer(), Splits(run.tokens, {"train": part, "val": part}))
        plan = FitPlan(config, run, text, Compute(device, precision), request, sampler)
        trainer = build_trainer(plan, meter, Efficiency(0.0, device, precision, devices=1), logger)
        add_callbacks(trainer, [taking_turns])
        try:
            trainer.fit(module, data)
        except _Done:
            pass
        finally:
            logger.close()
    return [[one / block for one in seconds[1:]] for seconds in taking_turns.seconds]


def _block(steps: Steps, block_seconds: float) -> int:
    """How many steps fill a block."""
    steps(2)
    _wait_for_device()
    began = time.perf_counter()
    steps(2)
    _wait_for_device()
    return max(1, round(2 * block_seconds / (time.perf_counter() - began)))


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
