"""The device, number format and processes of a training; refused at once if this machine lacks them."""

import logging
from contextlib import suppress

import torch

from textloom.batching.batches import training_batches
from textloom.config import TrainConfig
from textloom.errors import ConfigError
from textloom.runs.run import Run
from textloom.system.devices import check_devices, choose_device
from textloom.system.files import read_json, write_json
from textloom.system.ranks import Ranks
from textloom.training.distributed.processes import Workers
from textloom.training.loggers import check_loggers
from textloom.training.plan import Compute
from textloom.training.precision import check_precision, choose_precision
from textloom.training.preparation import EncodedText
from textloom.training.trainer import refuse_arguments_without_effect

log = logging.getLogger(__name__)


def check_machine(config: TrainConfig, run: Run) -> torch.device:
    """The device to train on. Raises ConfigError if this machine or the installed libraries cannot train like this."""
    if not run.overrides_file.exists():  # runs of earlier versions may have such arguments
        refuse_arguments_without_effect(config.trainer.extra)
    check_loggers(config.logger)
    device = choose_device(config.trainer.accelerator)
    check_devices(config.trainer.devices, device)
    check_precision(config, device)
    config.optimizer.check_torch()
    return device


def choose_compute(config: TrainConfig, text: EncodedText, run: Run, workers: Workers) -> Compute:
    """Choose the number format, and connect to the other processes, if there are several."""
    device = choose_device(config.trainer.accelerator)
    precision = _precision(config, run, device, text.tokenizer.vocabulary_size)
    if workers.size > 1:  # a text that is too short is refused here rather than by each of them
        alike = Ranks(size=workers.size)
        training_batches(config.batching, text.splits["train"], config.trainer.rows, config.seed, alike)
    return Compute(device, precision, workers.meet(run, device.type, precision))


def _precision(config: TrainConfig, run: Run, device: torch.device, vocabulary_size: int) -> str:
    """The number format; a resumed run keeps its own on the same kind of device."""
    made = read_json(run.provenance_file)
    if config.trainer.precision == "auto" and made["precision"] is not None and made["device"] == device.type:
        kept = config.model_copy(update={"trainer": config.trainer.model_copy(update={"precision": made["precision"]})})
        with suppress(ConfigError):  # another machine
            check_precision(kept, device)
            log.info("device: %s, precision: %s (unchanged)", device.type, made["precision"])
            return str(made["precision"])
    precision, reason = choose_precision(config, device, vocabulary_size)
    log.info("device: %s, precision: %s (%s)", device.type, precision, reason)
    if made["precision"] is None:
        write_json(run.provenance_file, {**made, "precision": precision})
    return precision
