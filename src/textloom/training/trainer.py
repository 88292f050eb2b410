"""Lightning's Trainer with the callbacks of a run, in the order that they require."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelSummary

from textloom.config import TrainerConfig
from textloom.config.lightning import WITHOUT_EFFECT
from textloom.errors import ConfigError
from textloom.training.callbacks.averaging import RunningMean, TriggeredMean
from textloom.training.callbacks.checkpointing import BestCheckpoint, ResumePoints, WholeCheckpointIO
from textloom.training.callbacks.curves import Curves
from textloom.training.callbacks.efficiency import Efficiency
from textloom.training.callbacks.profiling import HookTable, Trace
from textloom.training.callbacks.random_state import RandomState
from textloom.training.callbacks.samples import SampleCallback
from textloom.training.distributed.strategy import build_strategy
from textloom.training.lightning_internals import replace_epoch_loop, show_model_summary
from textloom.training.meter import Meter
from textloom.training.plan import FitPlan
from textloom.training.stopping import EndWithValidation, StopEarly, may_stop
from textloom.training.tensorboard import RunLogger


def build_trainer(plan: FitPlan, meter: Meter, efficiency: Efficiency, logger: RunLogger | None) -> pl.Trainer:
    """Build a Trainer whose callbacks write curves, samples and checkpoints; only rank 0 writes curves and samples."""
    config, run, ranks, device = plan.config.trainer, plan.run, plan.compute.ranks, plan.compute.device
    curves = Curves(meter, efficiency, config.log_every_n_steps)
    callbacks: list[Callback] = [RandomState(ranks), EndWithValidation(), curves]
    if plan.sampler is not None:
        callbacks.append(SampleCallback(plan.sampler))
    if config.early_stopping_patience is not None:
        callbacks.append(StopEarly(config.early_stopping_patience))
    if plan.config.optimizer.averaging_patience is not None:
        callbacks.append(TriggeredMean(plan.config.optimizer.averaging_patience))
    elif config.weight_averaging is not None:
        callbacks.append(RunningMean(config.weight_averaging))
    if config.profiler == "torch" and ranks.rank == 0:
        callbacks.append(Trace(run))
    if config.extra.get("enable_model_summary"):
        callbacks.append(ModelSummary())  # where rich is installed, Lightning's choice would print to the terminal
        show_model_summary()
    # checkpoints come last: they hold the states of the callbacks before them
    callbacks += [BestCheckpoint(run), ResumePoints(run, config.checkpoint_every, plan.request, ranks)]
    every = None if isinstance(config.val_check_interval, int) else 1
    trainer = pl.Trainer(
        accelerator=device.type,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=build_strategy(ranks),
        precision=plan.compute.precision,  # type: ignore[arg-type]
        max_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        val_check_interval=config.val_check_interval,
        gradient_clip_val=config.gradient_clip_val,
        accumulate_grad_batches=config.accumulate_grad_batches,
        deterministic=config.deterministic,
        logger=logger or False,
        profiler=HookTable(run.profile_file) if config.profiler == "simple" and ranks.rank == 0 else None,
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=False,  # callbacks/progress.py draws one
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        **({"enable_model_summary": False, "check_val_every_n_epoch": every} | _extra_arguments(config)),
    )
    replace_epoch_loop(trainer, may_stop)
    return trainer


def refuse_arguments_without_effect(extra: dict[str, Any]) -> None:
    """Raises ConfigError for an argument in ``trainer.extra`` that would change nothing."""
    for key in extra:
        if key in WITHOUT_EFFECT:
            raise ConfigError(f"trainer.extra.{key}: {WITHOUT_EFFECT[key]}")


def _extra_arguments(config: TrainerConfig) -> dict[str, Any]:
    """The arguments of ``trainer.extra`` that are passed to Lightning."""
    passed = {key: value for key, value in config.extra.items() if value is not None and key not in WITHOUT_EFFECT}
    passed.pop("max_time", None)  # ``StopRequest`` limits it for each process; Lightning's timer counts all of a run
    return passed
