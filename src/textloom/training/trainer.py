"""Lightning's Trainer, with the callbacks of a run in the order that they need."""

import inspect
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging

from textloom.composition import nearest
from textloom.config import TrainerConfig
from textloom.errors import ConfigError
from textloom.ranks import Ranks
from textloom.runs import Run
from textloom.training.checkpointing import (
    EndWithValidation,
    ResumePoints,
    StopEarly,
    WholeCheckpointIO,
    best_checkpoint,
)
from textloom.training.curves import Curves
from textloom.training.distributed import strategy
from textloom.training.efficiency import Efficiency
from textloom.training.epoch_loop import EpochLoop
from textloom.training.meter import Meter
from textloom.training.profiling import Trace, table
from textloom.training.progress import TrainingProgressBar, someone_is_watching
from textloom.training.random_state import RandomState
from textloom.training.samples import SampleCallback, Sampler
from textloom.training.signals import StopRequest
from textloom.training.tensorboard import RunLogger

OWN_ARGUMENTS = ("callbacks", "plugins", "logger", "enable_checkpointing", "strategy", "num_nodes", "inference_mode")


def build_trainer(
    config: TrainerConfig,
    run: Run,
    device: torch.device,
    precision: str,
    meter: Meter,
    efficiency: Efficiency,
    sampler: Sampler | None,
    logger: RunLogger | None,
    request: StopRequest,
    ranks: Ranks,
) -> pl.Trainer:
    """A Trainer whose callbacks write curves, samples and checkpoints; of several ranks the first alone has those."""
    # Lightning's advice for other kinds of data, and its notes on what is set on purpose
    for library in ("pytorch_lightning", "lightning_fabric"):
        warnings.filterwarnings("ignore", module=library)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    bar = config.progress_bar and ranks.rank == 0 and someone_is_watching()
    curves = Curves(meter, efficiency, config.log_every_n_steps)
    callbacks: list[Callback] = [RandomState(ranks), EndWithValidation(), curves]
    if sampler is not None:
        callbacks.append(SampleCallback(sampler))
    if config.early_stopping_patience is not None:
        callbacks.append(StopEarly(config.early_stopping_patience))
    if config.weight_averaging is not None:
        callbacks.append(EMAWeightAveraging(decay=config.weight_averaging))
    if config.profiler == "torch" and ranks.rank == 0:
        callbacks.append(Trace(run))
    if bar:
        callbacks.append(TrainingProgressBar(meter))
    # what is saved must have seen the validation first: checkpoints come last
    callbacks += [best_checkpoint(run), ResumePoints(run, config.checkpoint_every, request, ranks)]
    trainer = pl.Trainer(
        accelerator=device.type,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=strategy(ranks),
        precision=precision,  # type: ignore[arg-type]
        max_epochs=config.max_epochs,
        max_steps=config.max_steps or -1,
        val_check_interval=config.val_check_interval,
        check_val_every_n_epoch=None if isinstance(config.val_check_interval, int) else 1,
        gradient_clip_val=config.gradient_clip_val,
        accumulate_grad_batches=config.accumulate_grad_batches,
        deterministic=config.deterministic,
        logger=logger or False,
        profiler=table(run) if config.profiler == "simple" and ranks.rank == 0 else None,
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        **config.extra,
    )
    replaced = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, replaced.min_steps, replaced.max_steps)
    return trainer


def check_extra(extra: dict[str, object]) -> None:
    """Raises ConfigError for a ``trainer.extra`` that Lightning's Trainer does not take, or that is ours to set."""
    known = [name for name in inspect.signature(pl.Trainer).parameters if name not in OWN_ARGUMENTS]
    for key in extra:
        if key not in known:
            raise ConfigError(
                f"trainer.extra.{key}: not an argument of Lightning's Trainer that can be set here"
                f"{nearest(key, known)}; leave it out"
            )
