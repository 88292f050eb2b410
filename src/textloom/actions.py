"""Actions shared by the command line, sweeps and the Python interface: claim a directory, work, record the status.

Modules that import torch, numpy or other large libraries are imported by the functions that need them.
"""

import logging
import os
import shlex
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException

from textloom.config import (
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    InspectConfig,
    PrepareConfig,
    TrainConfig,
)
from textloom.config.checking import explain
from textloom.errors import ConfigError, Interrupted, TrainingError
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run as RunDirectory
from textloom.runs.run import Status
from textloom.system.command_hint import as_command
from textloom.system.progress import stage

if TYPE_CHECKING:
    from textloom.data.report import Report
    from textloom.evaluation.evaluate import Evaluation
    from textloom.generation.plan import GenerationPlan, Reader
    from textloom.generation.requests import Generated
    from textloom.generation.state import State
    from textloom.models.language_model import LanguageModel
    from textloom.reports.compare import Comparison
    from textloom.tokenizers import Tokenizer
    from textloom.training.train import Trained

    LoadedModel = tuple[TrainConfig, Tokenizer, LanguageModel]

log = logging.getLogger(__name__)

_training = threading.Lock()
"""Held while this process trains: signal handlers, threads and random states belong to all of it."""


def refuse_second_training() -> None:
    """Raises TrainingError if this process is training already."""
    if _training.locked():
        raise _trains_already()


def _trains_already() -> TrainingError:
    return TrainingError("train: this process is training already; wait until it ends, or train in another process")


def failure_status(error: BaseException) -> tuple[Status, str]:
    """Status and message of a run that an error ended."""
    interrupted = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
    return "interrupted" if interrupted else "failed", f"{type(error).__name__}: {error}"


def train_and_mark(
    run: RunDirectory,
    work: "Callable[[], Trained]",
    outcome: Callable[[BaseException], tuple[Status, str]] = failure_status,
) -> "Trained":
    """Train in a claimed run directory, and record the final status.

    Raises TrainingError if this process is training already.
    """
    if not _training.acquire(blocking=False):
        raise _trains_already()
    try:
        trained = work()
    except BaseException as error:
        run.mark(*outcome(error))
        raise
    finally:
        _training.release()
    run.mark("stopped" if trained.stopped else "completed", trained.stopped)
    return trained


def train_run(directory: Path, config: TrainConfig, overrides: Sequence[str], resume: bool = False) -> "Trained":
    """Claim a run directory, train in it, and record the final status.

    Raises KeyboardInterrupt if Ctrl-C came before there was anything to resume, else Interrupted with the command that
    resumes the run.
    """
    refuse_second_training()
    with claimed_run(directory, resume) as run:
        try:
            from textloom.training.train import train

            return train_and_mark(run, lambda: train(config, run, list(overrides)))
        except Interrupted as error:
            if error.signal == signal.SIGINT and not resume and not run.has_trained:
                raise KeyboardInterrupt from error
            raise Interrupted(f"{error}; resume with: {resume_command(run.directory)}", error.signal) from error


def train_further(
    run: RunDirectory, overrides: Sequence[str], values: dict[str, Any] | None = None
) -> "Trained | None":
    """Continue the training of a run. Returns None if the run is completed and no key is changed."""
    from textloom.training.resume import how_to_train_further, resumed_config

    try:
        config = resumed_config(run, overrides, values)
    except HydraException as error:
        raise ConfigError(explain(error, TrainConfig)) from error
    log.info("run: %s", run.directory)
    if run.status().get("status") == "completed" and config == run.config():
        log.info("%s: the run is completed; %s", run.directory, how_to_train_further(run))
        return None
    return train_run(run.directory, config, overrides, resume=True)


def resume_command(directory: Path) -> str:
    """The command that resumes a run."""
    return f"{as_command('train')} resume={shlex.quote(os.path.relpath(directory))}"


def build_reader(run: RunDirectory, loaded: "LoadedModel", accelerator: str) -> "Reader":
    """A reader of texts with a run's model on a device."""
    from textloom.generation.plan import build_reader

    return build_reader(run, loaded, accelerator)


def generation_plan(
    run: RunDirectory, loaded: "LoadedModel", config: GenerateConfig, state: "State | None" = None
) -> "GenerationPlan":
    """The texts that a config asks for, to be drawn from a run's model on the device that it names."""
    from textloom.generation.plan import plan_generation

    return plan_generation(build_reader(run, loaded, config.accelerator), config, state)


def generate_texts(plan: "GenerationPlan") -> "list[Generated]":
    """Draw all texts of a plan; progress is shown."""
    with stage("generating", plan.rules.limits.length, "tokens"):
        texts = plan.texts()
    save_state(plan, texts)
    return texts


def save_state(plan: "GenerationPlan", texts: "list[Generated]") -> None:
    """Write the state after the only text, if the config asks for it."""
    if plan.config.save_state is not None and texts:
        plan.state_after(texts[0]).save(plan.config.save_state)
        log.info("state: %s", plan.config.save_state)


def evaluate(run: RunDirectory, config: EvaluateConfig) -> "Evaluation":
    """Score a run as the config says. The run keeps figures of other protocols than its own."""
    from textloom.evaluation.evaluator import evaluate_as

    return evaluate_as(run, config)


def export(run: RunDirectory, config: ExportConfig) -> Path:
    """Write a run as a portable folder or an ONNX file, and return its path."""
    directory = run.directory.resolve()
    target = Path("exports") / f"{directory.parent.name}_{directory.name}"
    if config.format == "onnx":
        from textloom.export.onnx import export_onnx

        target = Path(config.to) if config.to else target.with_name(f"{target.name}.onnx")
        export_onnx(run, target, config.checkpoint)
    else:
        from textloom.export.folder import export_run

        target = Path(config.to) if config.to else target
        export_run(run, target, config.checkpoint)
    return target


def inspect(run: RunDirectory, config: InspectConfig) -> Path:
    """Write a page about a run's model on a text, and return its path."""
    from textloom.inspection.run import inspect_run

    return inspect_run(run, config)


def prepare(config: PrepareConfig) -> "Report":
    """Read, split and encode a text, warn about settings that do not suit it, and report on it."""
    from textloom.data.cache import load_corpus, load_or_encode
    from textloom.data.report import write_report
    from textloom.data.suitability import warn_if_unsuited

    corpus = load_corpus(config.data)
    tokenizer, splits = load_or_encode(corpus, config.tokenizer)
    warn_if_unsuited(config.data, tokenizer, splits, corpus.facts)
    return write_report(config, corpus, tokenizer, splits)


def fetch(config: PrepareConfig) -> str | None:
    """Download the data if the config asks for it. Returns a description, or None if there is nothing to download."""
    from textloom.data.sources import build_source

    return build_source(config.data).fetch()


def compare(config: CompareConfig) -> "Comparison":
    """Rank runs and test whether they differ."""
    from textloom.reports.collect import find_directories
    from textloom.reports.compare import compare_runs

    return compare_runs(find_directories(config.runs), config.metric, all_keys=config.columns == "all")
