"""The commands: ``textloom prepare``, ``train``, ``generate``, ``evaluate``, ``compare``, ``inspect``, ``export``,
``serve`` and ``play``; all but ``inspect`` also as scripts.

Only Hydra and pydantic are imported here. Each command imports the libraries that take seconds to import when it runs.
"""

import importlib.util
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from textloom import actions
from textloom.cli.command_line import fail, run_command
from textloom.cli.help import overview, version
from textloom.config import (
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    InspectConfig,
    PlayConfig,
    PrepareConfig,
    ServeConfig,
    TrainConfig,
)
from textloom.config.checking import check
from textloom.config.suggestions import nearest
from textloom.errors import ConfigError
from textloom.runs.find import find_run
from textloom.runs.new_run import NoteDirectory, remove_if_untrained
from textloom.runs.run import Run as RunDirectory
from textloom.system.command_hint import as_command
from textloom.system.heavy_imports import heavy_imports
from textloom.system.placement import placement
from textloom.system.streams import for_stdout, nobody_reads, tolerant_streams

if TYPE_CHECKING:
    from textloom.generation.plan import GenerationPlan
    from textloom.generation.requests import Generated
    from textloom.training.train import Trained

log = logging.getLogger("textloom")


@tolerant_streams()
def main(arguments: list[str]) -> None:
    """Run the command that the first argument names, with the others."""
    every = (train, prepare, generate, evaluate, compare, inspect, export, serve, play)
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
    _work_for_rank_0(arguments)
    run_command("train", _train, TrainConfig, arguments)


def _work_for_rank_0(arguments: list[str]) -> None:
    """In a process of torchrun or srun other than the first, train together with the first one, and exit."""
    place = placement()
    if place is not None and {"-m", "--multirun"} & set(arguments):
        fail("-m: trains many runs, one after the other; leave out torchrun or srun, and set trainer.devices")
    if place is not None and place.rank > 0:
        with heavy_imports():
            from textloom.training.worker import work

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


def inspect(arguments: list[str]) -> None:
    """Inspect a trained model: write a page that shows what it computes on a text."""
    run_command("inspect", _inspect, InspectConfig, arguments)


def serve(arguments: list[str]) -> None:
    """Serve runs over HTTP, for clients of OpenAI's completions."""
    run_command("serve", _serve, ServeConfig, arguments)


def play(arguments: list[str]) -> None:
    """Play with trained runs in the browser: write, see their predictions, continue from any token."""
    run_command("play", _play, PlayConfig, arguments)


# --- the tasks ------------------------------------------------------------------------------------------------------


def _prepare(config: DictConfig) -> None:
    checked = check(config, PrepareConfig)
    if (fetched := actions.fetch(checked)) is not None:
        print(fetched)

    with heavy_imports():
        import textloom.data.suitability  # noqa: F401
        from textloom.data.report import readable

    print(readable(actions.prepare(checked)))


def _train(config: DictConfig) -> float:
    job = HydraConfig.get()
    overrides, directory = list(job.overrides.task), Path(job.runtime.output_dir)
    if config.get("resume") is not None:
        return _resume(RunDirectory(directory), overrides)
    with remove_if_untrained(directory, NoteDirectory.missing):
        checked = check(config, TrainConfig)
        _import_training()
        trained = actions.train_run(directory, checked, overrides)
    return _show(trained, directory)


def _resume(run: RunDirectory, overrides: list[str]) -> float:
    _import_training()
    trained = actions.train_further(run, overrides)
    return float(run.results()["val/loss"]) if trained is None else _show(trained, run.directory)


def _import_training() -> None:
    with heavy_imports():
        import textloom.training.train  # noqa: F401


def _generate(config: DictConfig) -> None:
    checked = check(config, GenerateConfig)

    with heavy_imports():
        import textloom.generation.plan  # noqa: F401
        from textloom.runs.checkpoints import load_model
        from textloom.system.devices import choose_device

    choose_device(checked.accelerator, "accelerator")
    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    loaded = load_model(run, checked.checkpoint)
    log.info("run: %s", run.directory)
    plan = actions.generation_plan(run, loaded, checked)
    if checked.stream or (checked.stream is None and sys.stdout.isatty() and plan.may_stream):
        _stream(plan)
        return
    texts = actions.generate_texts(plan)
    for number, text in enumerate(texts, start=1):
        if checked.format == "jsonl":
            print(plan.as_json(text))
            continue
        shown = for_stdout(text.text)
        print(shown if len(texts) == 1 else f"--- text {number} of {len(texts)} ---\n{shown}\n")
        _tell_memorization(plan, text)


def _stream(plan: "GenerationPlan") -> None:
    """Write a text while it is drawn; end it if the reader of a pipe has closed it."""
    texts: list[Generated] = []
    for piece in plan.pieces(done=texts.append):
        sys.stdout.write(for_stdout(piece))
        sys.stdout.flush()
        if nobody_reads():
            return
    print()
    for text in texts:
        _tell_memorization(plan, text)
    actions.save_state(plan, texts)


def _tell_memorization(plan: "GenerationPlan", text: "Generated") -> None:
    """Log how much of a text is copied, if the config asks for it."""
    if plan.training_text is not None:
        sys.stdout.flush()  # the text comes first
        log.info("%s", plan.memorization_of(text))


def _evaluate(config: DictConfig) -> None:
    checked = check(config, EvaluateConfig)

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    with heavy_imports():
        import textloom.evaluation.evaluator  # noqa: F401

    found = actions.evaluate(run, checked)
    for name, value in found.items():
        print(f"{name}: {value!r}")
    for split, signature in found.signatures.items():
        log.info("%s/signature: %s", split, signature)  # on stdout are the figures alone


def _export(config: DictConfig) -> None:
    checked = check(config, ExportConfig)
    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    with heavy_imports():
        import textloom.export.folder  # noqa: F401

    print(actions.export(run, checked))


def _compare(config: DictConfig) -> None:
    checked = check(config, CompareConfig)

    with heavy_imports():
        from textloom.reports.render import render

    print(render(actions.compare(checked), checked.format, bounded=checked.columns != "all"))


def _inspect(config: DictConfig) -> None:
    checked = check(config, InspectConfig)
    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    with heavy_imports():
        import textloom.inspection.run  # noqa: F401

    print(actions.inspect(run, checked))


def _serve(config: DictConfig) -> None:
    def ready(models: Sequence[str], url: str) -> None:
        print(f"{', '.join(models)}: {url}", flush=True)

    _serve_until_stopped("serve", check(config, ServeConfig), ready)


def _play(config: DictConfig) -> None:
    checked = check(config, PlayConfig)

    def ready(models: Sequence[str], url: str) -> None:
        from textloom.serving.play import open_page, page_address

        print(page_address(url), flush=True)
        if checked.browser:
            open_page(page_address(url))

    _serve_until_stopped("play", checked, ready)


def _serve_until_stopped(command: str, config: ServeConfig, ready: Callable[[Sequence[str], str], None]) -> None:
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"{command}: {missing[0]} is not installed; install it with: pip install 'textloom[serve]'")

    with heavy_imports():
        from textloom.serving.server import serve as run_server

    run_server(config, ready)


def _show(trained: "Trained", directory: Path) -> float:
    """Print the end of a training, and return its validation loss."""
    print(f"\n{for_stdout(trained.sample)}\n")
    for name in ("val/loss", "val/perplexity", "val/bits_per_char", "val/accuracy", "train/targets_per_second"):
        print(f"{name}: {trained.results[name]:,.4f}")
    if trained.results.get("leaky"):
        from textloom.reproductions.article import LEAKY

        print(f"{LEAKY}; compare these figures only with those of the article")
    relative = os.path.relpath(directory)
    inside = not relative.startswith("..") and len(Path(relative).parts) > 1
    logdir = Path(relative).parts[0] if inside else str(directory.parent)
    print(f"\nrun directory: {relative}\ngenerate text: {as_command('generate')} run={shlex.quote(relative)}")
    print(f"watch curves:  tensorboard --logdir {shlex.quote(logdir)}")
    print(f"look inside:   {as_command('inspect')} run={shlex.quote(relative)}")
    if trained.stopped:
        print(f"stopped: {trained.stopped}; resume with: {actions.resume_command(directory)}")
    elif trained.advice is not None:
        print(f"\n{trained.advice}")
    return trained.results["val/loss"]
