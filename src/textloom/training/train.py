"""The composition root of training: from a checked config and an empty run directory to results."""

import logging
import time
import warnings
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback, EarlyStopping

from textloom.checkpoints import load_model
from textloom.config import TrainConfig, TrainerConfig
from textloom.data.corpus import Corpus, SplitName, load_corpus
from textloom.data.encoding import TokenSplit, encode_corpus
from textloom.data.module import TokenDataModule
from textloom.evaluation.evaluate import evaluate_run
from textloom.generation.generate import default_prompt, window_of
from textloom.hardware import choose_device, choose_precision
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.provenance import provenance
from textloom.runs import Run, write_json
from textloom.tokenizers import Tokenizer, fit_tokenizer, save_tokenizer
from textloom.training.checkpointing import AtomicCheckpointIO, checkpoint_callbacks
from textloom.training.module import TrainingModule
from textloom.training.progress import TrainingProgressBar, someone_is_watching
from textloom.training.samples import SampleCallback, Sampler
from textloom.training.tensorboard import RunLogger, declare_hyperparameters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training gives back."""

    results: dict[str, float]
    """The figures of the best checkpoint, and what they cost."""
    sample: str
    """A text of the best checkpoint, at the first of the temperatures."""


def train(config: TrainConfig, run: Run, overrides: list[str]) -> Trained:
    """Train, and write everything that a run directory holds.

    Raises DataError where the text cannot be used, TrainingError where the loss is no longer a number.
    """
    began = time.perf_counter()
    device = choose_device(config.trainer.accelerator)
    pl.seed_everything(config.seed, verbose=False)
    run.config_file.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    run.overrides_file.write_text(yaml.safe_dump(overrides, allow_unicode=True))

    corpus = load_corpus(config.data)
    tokenizer = fit_tokenizer(config.tokenizer, corpus.splits["train"])
    save_tokenizer(tokenizer, run.tokenizer_file)
    splits = encode_corpus(corpus, tokenizer, run.tokens)
    _say_data(corpus, tokenizer, splits)

    data = TokenDataModule(splits, config.batching, config.trainer.batch_size, config.seed)
    model = RecurrentLanguageModel(config.model, tokenizer.vocabulary_size)
    module = TrainingModule(
        model,
        config.optimizer,
        config.schedule,
        total_steps=_total_steps(config.trainer, len(data.training)),
        validation_characters=splits["val"].characters,
        log_every=config.trainer.log_every_n_steps,
    )
    logger = RunLogger(run.directory)
    declare_hyperparameters(logger, config, overrides)
    prompt = config.samples.prompt or default_prompt(tokenizer, splits["train"].tokens)
    sampler = Sampler(config.samples, tokenizer, prompt, window_of(config.batching), run.samples_file)
    trainer = _trainer(config.trainer, run, device, logger, sampler, corpus.fingerprint())
    log.info("model: %s, %s parameters", config.model.cell, f"{parameter_count(model):,}")
    trainer.fit(module, data)

    figures = evaluate_run(run)
    texts = sampler.write(load_model(run, "best")[2], "best checkpoint")
    # the last point of each curve is the result: the evaluation of the best checkpoint
    logger.log_metrics(figures, trainer.global_step + 1)
    logger.close()
    results = {
        **figures,
        "train/targets_per_second": module.meter.total_targets / max(module.meter.total_seconds, 1e-9),
        "parameters": parameter_count(model),
        "vocabulary_size": tokenizer.vocabulary_size,
        "steps": trainer.global_step,
        "duration_seconds": time.perf_counter() - began,
    }
    write_json(run.results_file, results)
    return Trained(results, texts[config.samples.temperatures[0]])


def _trainer(
    config: TrainerConfig,
    run: Run,
    device: torch.device,
    logger: RunLogger,
    sampler: Sampler,
    fingerprint: str,
) -> pl.Trainer:
    precision, reason = choose_precision(config.precision, device)
    log.info("device: %s, precision: %s (%s)", device.type, precision, reason)
    write_json(run.provenance_file, provenance(fingerprint, device.type, precision))
    # Lightning's advice for other kinds of data, and its notes on what we set on purpose
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    bar = config.progress_bar and someone_is_watching()
    callbacks: list[Callback] = [SampleCallback(sampler), *checkpoint_callbacks(run)]
    if config.early_stopping_patience is not None:
        patience = max(1, config.early_stopping_patience)
        callbacks.append(EarlyStopping("val/loss", patience=patience, check_on_train_epoch_end=False))
    return pl.Trainer(
        accelerator=device.type,
        devices=config.devices,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=config.max_epochs,
        max_steps=config.max_steps or -1,
        val_check_interval=config.val_check_interval,
        check_val_every_n_epoch=None if isinstance(config.val_check_interval, int) else 1,
        gradient_clip_val=config.gradient_clip_val,
        accumulate_grad_batches=config.accumulate_grad_batches,
        deterministic=config.deterministic,
        logger=logger,
        callbacks=[*callbacks, *([TrainingProgressBar()] if bar else [])],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        **config.extra,
    )


def _total_steps(config: TrainerConfig, batches_per_epoch: int) -> int:
    steps = -(-batches_per_epoch // config.accumulate_grad_batches) * config.max_epochs
    return min(steps, config.max_steps or steps)


def _say_data(corpus: Corpus, tokenizer: Tokenizer, splits: dict[SplitName, TokenSplit]) -> None:
    if corpus.contiguous:
        log.info("data: one document, cut in order into %s", " / ".join(splits))
    else:
        log.info(
            "data: %d documents, %d duplicates folded",
            sum(s.documents for s in splits.values()),
            corpus.duplicates_folded,
        )
    for name, part in splits.items():
        log.info(
            "  %-5s %9s documents %12s characters %12s targets %8.2f %% unknown",
            name,
            f"{part.documents:,}",
            f"{part.characters:,}",
            f"{part.targets:,}",
            100 * part.unknown / part.targets,
        )
    log.info("tokenizer: %s entries in the vocabulary, fitted on the training part", f"{tokenizer.vocabulary_size:,}")
