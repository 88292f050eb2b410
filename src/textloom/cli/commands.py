"""The commands: ``textloom prepare``, ``train``, ``generate``, ``evaluate``, ``compare``, ``export``; also as scripts.

Only Hydra and pydantic are imported here; what takes seconds to import, each command imports when it runs.
"""

import logging
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from textloom.cli.command_line import fail, run_command
from textloom.cli.help import overview, version
from textloom.config import (
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    Patents,
    PrepareConfig,
    TrainConfig,
)
from textloom.config.composition import check
from textloom.config.suggestions import nearest
from textloom.errors import Interrupted
from textloom.system.command_hint import as_command
from textloom.system.heavy_imports import heavy_imports
from textloom.system.placement import placement
from textloom.system.progress import stage
from textloom.system.streams import for_stdout, tolerant_streams

if TYPE_CHECKING:
    from textloom.training.train import Trained

log = logging.getLogger("textloom")


@tolerant_streams()
def main(arguments: list[str]) -> None:
    """Run the command that the first argument names, with the others."""
    every = (train, prepare, generate, evaluate, compare, export)
    commands = {command.__name__: command for command in every}
    name = arguments[0] if arguments else "--help"
    if name in commands:
        commands[name](arguments[1:])
    elif name in ("-h", "--help", "help"):
        print(overview(every))
    elif name in ("-V", "--version", "version"):
        print(version())
    else:
        hint = nearest(name, list(commands))
        fail(f"textloom {name}: there is no such command{hint}; use one of {', '.join(commands)}")


def prepare(arguments: list[str]) -> None:
    """Prepare data for training, and report on it."""
    run_command("prepare", _prepare, PrepareConfig, arguments)


def train(arguments: list[str]) -> None:
    """Train a model."""
    _work_where_another_rank_commands(arguments)
    run_command("train", _train, TrainConfig, arguments)


def _work_where_another_rank_commands(arguments: list[str]) -> None:
    """torchrun and srun start this command once for each device: the first trains, the others help it."""
    place = placement()
    if place is not None and {"-m", "--multirun"} & set(arguments):
        fail("-m: trains many runs, one after the other; leave out torchrun or srun, and set trainer.devices")
    if place is not None and place.rank > 0:
        with heavy_imports():
            from textloom.training.distributed.worker import work

        sys.exit(work(place))


def generate(arguments: list[str]) -> None:
    """Generate text."""
    run_command("generate", _generate, GenerateConfig, arguments)


def evaluate(arguments: list[str]) -> None:
    """Evaluate a run."""
    run_command("evaluate", _evaluate, EvaluateConfig, arguments)


def export(arguments: list[str]) -> None:
    """Export a trained model."""
    run_command("export", _export, ExportConfig, arguments)


def compare(arguments: list[str]) -> None:
    """Rank runs, and test whether they differ."""
    run_command("compare", _compare, CompareConfig, arguments)


# --- the tasks ------------------------------------------------------------------------------------------------------


def _prepare(config: DictConfig) -> None:
    checked = check(config, PrepareConfig)
    if isinstance(checked.data, Patents) and checked.data.source == "odp":
        from textloom.data.patentsview.fetch import fetch

        print(fetch(checked.data))

    from textloom.data.cache import load_corpus, prepared
    from textloom.data.report import readable, write_report
    from textloom.data.suitability import warn_if_unsuited

    corpus = load_corpus(checked.data)
    tokenizer, splits = prepared(corpus, checked.tokenizer)
    warn_if_unsuited(checked.data, tokenizer, splits, corpus.facts)
    print(readable(write_report(checked, corpus, tokenizer, splits)))


def _train(config: DictConfig) -> float:
    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)
    directory = Path(hydra_config.runtime.output_dir)
    if config.get("resume") is not None:
        return _resume(directory, overrides)

    from textloom.runs.new_run import nothing_left_of_failures

    with nothing_left_of_failures(directory):
        return _train_in(directory, check(config, TrainConfig), overrides, resume=False)


def _resume(directory: Path, overrides: list[str]) -> float:
    with heavy_imports():
        from textloom.runs.run import Run
        from textloom.training.resume import how_to_train_further, resumed_config

    run = Run(directory)
    checked = resumed_config(run, overrides)
    log.info("run: %s", directory)
    if run.status().get("status") == "completed" and checked == run.config():
        log.info("%s: the run is completed; %s", directory, how_to_train_further(run))
        return float(run.results()["val/loss"])
    return _train_in(directory, checked, overrides, resume=True)


def _train_in(directory: Path, config: TrainConfig, overrides: list[str], resume: bool) -> float:
    from textloom.runs.run import claimed_run

    with claimed_run(directory, resume) as run:
        try:
            with heavy_imports():
                from textloom.training.train import train

            trained = train(config, run, overrides)
        except BaseException as error:
            interrupted = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
            run.mark("interrupted" if interrupted else "failed", f"{type(error).__name__}: {error}")
            if not isinstance(error, Interrupted):
                raise
            if error.signal == signal.SIGINT and not resume and not run.has_trained:
                raise KeyboardInterrupt from error  # nothing to go on with
            raise Interrupted(f"{error}; go on with: {_resume_command(run.directory)}", error.signal) from error
        run.mark("stopped" if trained.stopped else "completed", trained.stopped)
    _show(trained, run.directory)
    return trained.results["val/loss"]


def _resume_command(directory: Path) -> str:
    return f"{as_command('train')} resume={shlex.quote(os.path.relpath(directory))}"


def _generate(config: DictConfig) -> None:
    checked = check(config, GenerateConfig)

    with heavy_imports():
        from textloom.data.encoding import load_splits
        from textloom.data.normalization import normalize_text
        from textloom.generation.generate import default_prompt, generate_texts, window_of
        from textloom.generation.prompts import shorter_than_window, unknown_pieces
        from textloom.generation.sampling import Sampling
        from textloom.runs.checkpoints import load_model
        from textloom.runs.find import find_run
        from textloom.system.devices import choose_device

    device = choose_device(checked.accelerator, "accelerator")
    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    trained, tokenizer, model = load_model(run, checked.checkpoint)
    log.info("run: %s", run.directory)
    prompt = checked.prompt if checked.prompt is not None else trained.samples.prompt
    if prompt is None:
        # an export has the prompt with it, unless its texts are written from their beginning
        prompt = "" if run.is_export else default_prompt(tokenizer, load_splits(run.tokens)["train"].tokens)
    prompt = normalize_text(prompt, trained.data.normalization)
    if checked.prompt and (unknown := unknown_pieces(tokenizer, prompt)):
        log.warning("not in the run's vocabulary, read as <unk>: %s", " ".join(map(repr, unknown)))
    samplings = [Sampling(checked.temperature, checked.top_k, checked.top_p)] * checked.count
    window = None if trained.model.is_ngram else window_of(trained.batching)
    if checked.prompt and window and (note := shorter_than_window(tokenizer, prompt, window)):
        log.info(note)
    given = None if not prompt and checked.prompt is None else prompt  # None: a document from its beginning
    with stage("generating", checked.length, "tokens"):
        texts = generate_texts(model.to(device), tokenizer, given, checked.length, samplings, window, checked.seed)
    for number, text in enumerate(texts, start=1):
        shown = for_stdout(text)
        print(shown if len(texts) == 1 else f"--- text {number} of {len(texts)} ---\n{shown}\n")


def _evaluate(config: DictConfig) -> None:
    checked = check(config, EvaluateConfig)

    with heavy_imports():
        from textloom.evaluation.evaluate import evaluate_run
        from textloom.runs.find import find_run

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    for name, value in evaluate_run(run, checked.checkpoint).items():
        print(f"{name}: {value!r}")


def _export(config: DictConfig) -> None:
    checked = check(config, ExportConfig)

    from textloom.runs.find import find_run

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    directory = run.directory.resolve()
    default = Path("exports") / f"{directory.parent.name}_{directory.name}"
    if checked.format == "onnx":
        with heavy_imports():
            from textloom.export.onnx import export_onnx

        target = Path(checked.to) if checked.to else default.with_name(f"{default.name}.onnx")
        export_onnx(run, target, checked.checkpoint)
    else:
        with heavy_imports():
            from textloom.export.folder import export_run

        target = Path(checked.to) if checked.to else default
        export_run(run, target, checked.checkpoint)
    print(target)


def _compare(config: DictConfig) -> None:
    checked = check(config, CompareConfig)

    with heavy_imports():
        from textloom.reports.collect import find_directories
        from textloom.reports.comparison import compare_runs
        from textloom.reports.render import render

    whole = checked.columns == "all"
    comparison = compare_runs(find_directories(checked.runs), checked.metric, all_keys=whole)
    print(render(comparison, checked.format, bounded=not whole))


def _show(trained: "Trained", directory: Path) -> None:
    print(f"\n{for_stdout(trained.sample)}\n")
    for name in ("val/loss", "val/perplexity", "val/bits_per_char", "val/accuracy", "train/targets_per_second"):
        print(f"{name}: {trained.results[name]:,.4f}")
    if trained.results.get("leaky"):
        from textloom.reproductions.article import LEAKY

        print(f"{LEAKY}; compare these figures with the article's alone")
    relative = os.path.relpath(directory)
    inside = not relative.startswith("..") and len(Path(relative).parts) > 1
    logdir = Path(relative).parts[0] if inside else str(directory.parent)
    print(f"\nrun directory: {relative}\ngenerate text: {as_command('generate')} run={shlex.quote(relative)}")
    print(f"watch curves:  tensorboard --logdir {shlex.quote(logdir)}")
    if trained.stopped:
        print(f"stopped: {trained.stopped}; go on with: {_resume_command(directory)}")
    elif trained.advice is not None:
        print(f"\n{trained.advice}")
