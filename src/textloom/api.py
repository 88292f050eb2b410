"""The Python interface: train, load, compare and prepare, and the class ``Run``.

A call checks what the command line checks, raises the same errors, and leaves the caller's process as it was. Modules
that import torch are imported by the methods that need them, so that ``import textloom`` is fast.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from textloom import actions
from textloom.config import (
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    InspectConfig,
    PrepareConfig,
    TrainConfig,
)
from textloom.config.compose import as_overrides, command_config, compose, hydra_overrides, plain
from textloom.config.paths import with_home
from textloom.config.quoting import unquoted
from textloom.errors import ConfigError, TrainingError
from textloom.runs.find import find_run, run_to_resume
from textloom.runs.new_run import missing_folders, remove_if_untrained
from textloom.system.caller import caller_unchanged, libraries_unchanged
from textloom.system.placement import placement
from textloom.system.progress import shown
from textloom.system.run_log import logged_to

if TYPE_CHECKING:
    from textloom.evaluation.evaluate import Evaluation
    from textloom.evaluation.text import TextScore
    from textloom.generation.plan import GenerationPlan
    from textloom.generation.requests import Generated
    from textloom.generation.state import State
    from textloom.models.language_model import LanguageModel
    from textloom.reports.frame import ComparisonTable
    from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

StrPath = str | PathLike[str]
Checkpoint = Literal["best", "last"]


class Run:
    """A run directory or an export: results and model, and methods to generate, score, evaluate, export and resume."""

    def __init__(self, directory: StrPath, checkpoint: Checkpoint = "best"):
        """Open a run with one of its checkpoints; ``textloom.load`` also finds the latest and the best run."""
        self._files = find_run(str(Path(directory)), Path("outputs"), checkpoint)
        self.checkpoint: Checkpoint = checkpoint

    @property
    def directory(self) -> Path:
        """The directory that holds all files of the run."""
        return self._files.directory

    @cached_property
    def config(self) -> TrainConfig:
        """The complete config of the run, checked."""
        return self._files.config()

    @property
    def results(self) -> dict[str, Any]:
        """The figures of the best checkpoint, such as ``val/loss``; empty before the run is completed."""
        return self._files.results()

    @property
    def status(self) -> str:
        """Completed, stopped, interrupted, failed, pruned or running; ``export`` of an export."""
        return "export" if self._files.is_export else str(self._files.status()["status"])

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer of the run's text."""
        return self._loaded[1]

    @property
    def model(self) -> "LanguageModel":
        """The trained model, in evaluation mode."""
        return self._loaded[2]

    @cached_property
    @caller_unchanged()
    def _loaded(self) -> "tuple[TrainConfig, Tokenizer, LanguageModel]":
        from textloom.runs.checkpoints import load_model

        return load_model(self._files, self.checkpoint)

    def generate(self, prompt: str | None = None, length: int | None = None, **options: Any) -> str:
        """Continue a prompt, as ``textloom generate`` does.

        The default prompt is that of the run's own samples. With ``state``, a ``State`` or a file with one, it
        continues from the text that was read, and only the new text is returned. Other options: ``temperature``,
        ``top_p``, ``stop``, ``seed``, ``accelerator`` and the other keys of ``textloom generate --help``. Raises
        ConfigError for an option that does not exist, GenerationError if the prompt is empty.
        """
        return self.generate_texts(1, prompt, length, **options)[0]

    def generate_texts(
        self, count: int, prompt: str | None = None, length: int | None = None, **options: Any
    ) -> list[str]:
        """Several texts, side by side; 64 take far less time than 64 calls of ``generate``."""
        return [found.text for found in self._draw(count, prompt, length, options)]

    def generate_details(
        self, count: int = 1, prompt: str | None = None, length: int | None = None, **options: Any
    ) -> "list[Generated]":
        """The texts of ``generate_texts`` with their tokens, the log-probabilities of these, and a seed for each."""
        return self._draw(count, prompt, length, {"format": "jsonl", **options})

    def stream(self, prompt: str | None = None, length: int | None = None, **options: Any) -> Iterator[str]:
        """The text of ``generate``, in pieces while it is drawn, the prompt first."""
        with caller_unchanged(), _libraries("textloom.generation.plan"):
            pieces = self._plan(1, prompt, length, options).pieces()
        while True:
            with caller_unchanged(), _libraries():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    @caller_unchanged()
    def _draw(self, count: int, prompt: str | None, length: int | None, options: dict[str, Any]) -> "list[Generated]":
        with _libraries("textloom.generation.plan"):
            return actions.generate_texts(self._plan(count, prompt, length, options))

    def _plan(self, count: int, prompt: str | None, length: int | None, options: dict[str, Any]) -> "GenerationPlan":
        from textloom.generation.state import State

        given = {"prompt": prompt, "length": length, "count": count}
        values = {key: value for key, value in given.items() if value is not None} | options
        state = values.pop("state") if isinstance(values.get("state"), State) else None
        checked = command_config("generate", GenerateConfig, values)
        return actions.generation_plan(self._files, self._loaded, checked, state)

    @caller_unchanged()
    def read(self, text: str, state: "State | StrPath | None" = None, accelerator: str = "cpu") -> "State":
        """The model's state after a text, a few kilobytes, to continue from with ``generate`` and ``score``.

        With ``state`` the text continues from what was read before. Continuing from the result gives, to the last
        digit, what reading the text again would give. Raises RunError for the state of another model.
        """
        with _libraries("textloom.generation.plan"):
            reader = actions.build_reader(self._files, self._loaded, accelerator)
            return reader.read(text, _as_state(state))

    @caller_unchanged()
    def score(self, text: str, ends: bool = False, state: "State | StrPath | None" = None) -> "TextScore":
        """Score a text as a document from its beginning. If ``ends`` is true, its end is a target, too.

        With ``state`` the text continues from what was read before.
        """
        if state is not None:
            with _libraries("textloom.generation.plan"):
                reader = actions.build_reader(self._files, self._loaded, self.model.device.type)
                return reader.score(text, _as_state(state), ends)
        with _libraries("torch"):
            from textloom.evaluation.text import score_text

            return score_text(self.model, self.tokenizer, self.config, text, ends)

    @caller_unchanged()
    def evaluate(self, **options: Any) -> "Evaluation":
        """Compute the figures of the held-out text again, from the run directory alone.

        The result is a dictionary such as ``results``, with the attribute ``signatures``: for each split the text
        and the method of its figures. Options: ``protocol``, ``window``, ``dynamic``, ``cache``, ``tune``,
        ``per_token``, ``data={"path": FILE}`` and the other keys of ``textloom evaluate --help``. Raises ConfigError
        for an option that does not exist or does not suit the run, DataError for a text that cannot be scored.
        """
        values = {**options, "run": str(self.directory), "checkpoint": self.checkpoint}
        with _libraries("torch"):
            return actions.evaluate(self._files, command_config("evaluate", EvaluateConfig, values))

    @caller_unchanged()
    def export(self, to: StrPath | None = None, format: Literal["folder", "onnx"] = "folder") -> Path:
        """Write a portable folder or an ONNX file, and return its path; the default is below ``exports/``."""
        values = {"to": to, "format": format, "checkpoint": self.checkpoint}
        with _libraries("torch"):
            return actions.export(self._files, command_config("export", ExportConfig, values))

    @caller_unchanged()
    def inspect(self, to: StrPath | None = None, **options: Any) -> Path:
        """Write a page about the model on a text, and return its path; the default is below ``inspections/``.

        Options: ``text``, a file, and the other keys of ``textloom inspect --help``.
        """
        values = {"to": to, "checkpoint": self.checkpoint, **options}
        with _libraries("torch"):
            return actions.inspect(self._files, command_config("inspect", InspectConfig, values))

    @caller_unchanged()
    def resume(self, *overrides: str, **groups: Any) -> "Run":
        """Continue the training, for example with other limits: ``run.resume("trainer.max_epochs=20")``."""
        _refuse_second_training()
        with _libraries("textloom.training.train"):
            files = run_to_resume(str(self.directory), Path("outputs"))
            with logged_to(files.log_file):
                actions.train_further(files, hydra_overrides(overrides, TrainConfig), plain(groups))
        return Run(self.directory, self.checkpoint)

    def __fspath__(self) -> str:
        """The directory, so that a run can be given where a path is expected."""
        return str(self.directory)

    def __repr__(self) -> str:
        loss = self.results.get("val/loss")
        figure = "" if loss is None else f", val/loss {loss:.4f}"
        return f"Run({os.path.relpath(self.directory)!r}, {self.status}{figure})"


@caller_unchanged()
def train(*overrides: str, directory: StrPath | None = None, **groups: Any) -> Run:
    """Train a model, and return its run.

    Overrides are those of the command line: ``train("model.units=256", "data=text_files")``. Keyword arguments are
    groups and keys with Python values, as in ``train(data={"kind": "text_files", "path": Path("my text.txt")},
    seed=1)``; they come after the overrides. The run is written to ``directory``, by default to ``outputs/NAME/TIME``.

    Raises ConfigError for a key or a value that is wrong, DataError if the text cannot be used, RunError if the
    directory holds a run already, TrainingError if the loss is no longer a number or this process trains already,
    Interrupted after Ctrl-C or SIGTERM, once a checkpoint to resume from is written.
    """
    _refuse_second_training()
    others, resumed = _without_resume(overrides)
    resumed = groups.pop("resume", resumed)
    if resumed is not None and directory is not None:
        raise ConfigError("directory: a resumed run stays in its own directory; leave directory out")
    if resumed is not None:
        return Run(run_to_resume(with_home(os.fspath(resumed), "resume"), Path("outputs")).directory, "last").resume(
            *others, **groups
        )
    composed = compose("train", TrainConfig, overrides, groups)
    target = (composed.directory if directory is None else Path(directory).expanduser()).absolute()
    with _libraries("textloom.training.train"), remove_if_untrained(target, missing_folders(target)):
        with logged_to(target / "train.log"):
            trained = actions.train_run(target, composed.config, [*overrides, *as_overrides(groups)])
        if trained.advice is not None:
            log.warning("%s", trained.advice)
    return Run(target)


@caller_unchanged()
def load(run: StrPath = "latest", *, checkpoint: Checkpoint = "best", outputs: StrPath = "outputs") -> Run:
    """Open a run directory, an export, or the ``"latest"`` or ``"best"`` run below ``outputs``.

    Raises RunError if there is none, or if it has no such checkpoint.
    """
    values = {"run": run, "checkpoint": checkpoint, "outputs": outputs}
    checked = command_config("evaluate", EvaluateConfig, values)
    return Run(find_run(checked.run, Path(checked.outputs), checked.checkpoint).directory, checked.checkpoint)


@caller_unchanged()
def compare(
    runs: StrPath | Iterable[StrPath] = "outputs/**", metric: str = "val/bits_per_char", all_keys: bool = False
) -> "ComparisonTable":
    """Rank runs by a metric, the best first, and test whether they differ.

    ``runs`` are run directories, folders of them or globs. ``all_keys`` shows every key that varies, not only those
    that change results. Raises RunError if there is no run, ConfigError for a metric that no run has.
    """
    patterns = [runs] if isinstance(runs, str | PathLike) else list(runs)
    values = {"runs": patterns, "metric": metric, "columns": "all" if all_keys else "narrow"}
    with _libraries():
        from textloom.reports.frame import ComparisonTable

        return ComparisonTable(actions.compare(command_config("compare", CompareConfig, values)))


@caller_unchanged()
def prepare(*overrides: str, **groups: Any) -> dict[str, Any]:
    """Read, split and encode a text as a training would, and return the report of ``textloom prepare``.

    Overrides and keywords are those of ``train`` for the groups ``data`` and ``tokenizer``.
    """
    with _libraries():
        checked = compose("prepare", PrepareConfig, overrides, groups).config
        if (fetched := actions.fetch(checked)) is not None:
            log.info("%s", fetched)
        return actions.prepare(checked)


@contextmanager
def _libraries(*modules: str) -> Iterator[None]:
    """Import slow modules, and leave the settings of libraries unchanged; progress is shown on a terminal."""
    for module in modules:
        import_module(module)
    with libraries_unchanged(), shown():
        yield


@overload
def _as_state(state: "State | StrPath") -> "State": ...


@overload
def _as_state(state: None) -> None: ...


def _as_state(state: "State | StrPath | None") -> "State | None":
    """A state, or the one in a file."""
    from textloom.generation.state import State

    return State.load(state) if isinstance(state, str | PathLike) else state


def _without_resume(overrides: Sequence[str]) -> tuple[list[str], str | None]:
    """The overrides without ``resume=...``, and the run that it names."""
    named = [override for override in overrides if isinstance(override, str) and override.startswith("resume=")]
    value = unquoted(named[-1].partition("=")[2]) if named else None
    return [override for override in overrides if override not in named], None if value == "null" else value


def _refuse_second_training() -> None:
    """Raises TrainingError if this process trains already, or is one of several that torchrun or srun started."""
    if placement() is not None:
        raise TrainingError("train: torchrun and srun start the command textloom train; set trainer.devices in Python")
    actions.refuse_second_training()
