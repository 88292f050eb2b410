"""The commands: ``textloom train``, ``generate``, ``evaluate``, ``export``, and the same as ``scripts/*.py``.

Only Hydra and pydantic are imported here; what takes seconds to import, each command imports when it runs.
"""

import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from textloom.composition import check, config_directory, explain, known_keys, nearest
from textloom.config import EvaluateConfig, ExportConfig, GenerateConfig, Section, TrainConfig
from textloom.errors import Interrupted, RunError, TextloomError

if TYPE_CHECKING:
    from textloom.training.train import Trained

USER_ERROR = 2
INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, and can be gone on with

HYDRA_OPTIONS = frozenset(
    [
        "--help",
        "--hydra-help",
        "--version",
        "--cfg",
        "--resolve",
        "--package",
        "--run",
        "--multirun",
        "--shell-completion",
        "--config-path",
        "--config-name",
        "--config-dir",
        "--experimental-rerun",
        "--info",
    ]
)

log = logging.getLogger("textloom")


def main() -> None:
    """The ``textloom`` command."""
    commands = {"train": train, "generate": generate, "evaluate": evaluate, "export": export}
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in commands:
        sys.argv[:2] = [f"textloom {name}"]
        commands[name]()
    elif name in ("-h", "--help"):
        print("textloom trains recurrent language models, and generates text with them.\n")
        print("\n".join(f"  textloom {command} --help" for command in commands))
    else:
        _fail(f"textloom {name}: there is no such command; use one of {', '.join(commands)}")


def train() -> None:
    """Train a model."""
    sys.argv = [f"++{part}" if part.startswith("trainer.extra.") else part for part in sys.argv]  # any key is new there
    _go_on_in_the_resumed_directory()
    _run("train", _train, TrainConfig)


def generate() -> None:
    """Generate text."""
    _quote_text(("run", "outputs", "prompt"))
    _run("generate", _generate, GenerateConfig)


def evaluate() -> None:
    """Score a run again."""
    _quote_text(("run", "outputs"))
    _run("evaluate", _evaluate, EvaluateConfig)


def export() -> None:
    """Hand a trained model on."""
    _quote_text(("run", "outputs", "to"))
    _run("export", _export, ExportConfig)


# --- the tasks ------------------------------------------------------------------------------------------------------


def _train(config: DictConfig) -> float:
    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)

    from textloom.runs import Run, claimed_run

    directory = Path(hydra_config.runtime.output_dir)
    resume = config.get("resume") is not None
    if resume:
        from textloom.training.resume import resumed_config

        log.info("run: %s", directory)
        checked = resumed_config(Run(directory), overrides)
        if Run(directory).status().get("status") == "completed" and checked == Run(directory).config():
            log.info("%s: the run is completed; nothing to go on with, unless you give it more epochs", directory)
            return float(Run(directory).results()["val/loss"])
    else:
        try:
            checked = check(config, TrainConfig)
        except TextloomError:
            _remove_if_empty(directory)
            raise
    with claimed_run(directory, resume) as run:
        try:
            from textloom.training.train import train

            sweeps = hydra_config.mode is RunMode.MULTIRUN
            trained = train(checked, run, overrides, _varying(overrides) if sweeps else None)
        except BaseException as error:
            interrupted = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
            run.mark("interrupted" if interrupted else "failed", f"{type(error).__name__}: {error}")
            if isinstance(error, Interrupted):
                raise Interrupted(f"{error}; go on with: python scripts/train.py resume={run.directory}") from error
            raise
        run.mark("completed")
    _show(trained, run.directory)
    return trained.results["val/loss"]


def _remove_if_empty(directory: Path) -> None:
    """Hydra makes the run directory before anything is checked."""
    for folder in (directory, directory.parent):
        try:
            folder.rmdir()
        except OSError:
            return


def _generate(config: DictConfig) -> None:
    checked = check(config, GenerateConfig)

    from textloom.checkpoints import load_model
    from textloom.data.encoding import load_splits
    from textloom.generation.generate import default_prompt, generate, window_of
    from textloom.generation.sampling import Sampling
    from textloom.runs import find_run

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    trained, tokenizer, model = load_model(run, checked.checkpoint)
    log.info("run: %s", run.directory)
    prompt = checked.prompt if checked.prompt is not None else trained.samples.prompt
    if prompt is None:
        prompt = default_prompt(tokenizer, load_splits(run.tokens)["train"].tokens)
    unknown = dict.fromkeys(tokenizer.unknown(prompt.rstrip()))
    if unknown:
        log.warning("not in the run's vocabulary, read as <unk>: %s", " ".join(map(repr, unknown)))
    sampling = Sampling(checked.temperature, checked.top_k, checked.top_p)
    print(generate(model, tokenizer, prompt, checked.length, sampling, window_of(trained.batching), checked.seed))


def _evaluate(config: DictConfig) -> None:
    checked = check(config, EvaluateConfig)

    from textloom.evaluation.evaluate import evaluate_run
    from textloom.runs import find_run

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    for name, value in evaluate_run(run, checked.checkpoint).items():
        print(f"{name}: {value!r}")


def _export(config: DictConfig) -> None:
    checked = check(config, ExportConfig)

    from textloom.runs import find_run

    run = find_run(checked.run, Path(checked.outputs), checked.checkpoint)
    log.info("run: %s", run.directory)
    directory = run.directory.resolve()
    default = Path("exports") / f"{directory.parent.name}_{directory.name}"
    if checked.format == "onnx":
        from textloom.files import write_bytes
        from textloom.onnx_export import export_onnx

        target = Path(checked.to) if checked.to else default.with_name(f"{default.name}.onnx")
        export_onnx(run, target, checked.checkpoint)
        write_bytes(target.with_suffix(".tokenizer.json"), run.tokenizer_file.read_bytes())
    else:
        from textloom.export import export_run

        target = Path(checked.to) if checked.to else default
        export_run(run, target, checked.checkpoint)
    print(target)


def _show(trained: "Trained", directory: Path) -> None:
    print(f"\n{trained.sample}\n")
    for name in ("val/loss", "val/perplexity", "val/bits_per_char", "val/accuracy", "train/targets_per_second"):
        print(f"{name}: {trained.results[name]:,.4f}")
    relative = os.path.relpath(directory)
    inside = not relative.startswith("..") and len(Path(relative).parts) > 1
    logdir = Path(relative).parts[0] if inside else str(directory.parent)
    print(f"\nrun directory: {relative}\ngenerate text: python scripts/generate.py run={shlex.quote(relative)}")
    print(f"watch curves:  tensorboard --logdir {shlex.quote(logdir)}")


# --- between Hydra and the user -------------------------------------------------------------------------------------


def _run(name: str, task: Callable[[DictConfig], object], schema: type[Section]) -> None:
    """Compose the config and run the task; what the user can cure ends in one line and exit status 2.

    In a sweep the task runs once for each job; the jobs after one that failed go on, and all failures are told.
    """
    _refuse_unknown_options(schema)
    OmegaConf.register_new_resolver("trial_name", _trial_name, replace=True)
    before = os.environ.get("HYDRA_FULL_ERROR")
    if before == "1":  # the user asks for stack traces
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(task)()
        return
    failures: list[str] = []

    def job(config: DictConfig) -> object:
        try:
            return task(config)
        except Interrupted as error:
            _fail(str(error), INTERRUPTED)  # ends a sweep too
        except TextloomError as error:
            failures.append(str(error))
            return None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        failures.append(explain(error, schema))
    except (OSError, yaml.YAMLError) as error:
        failures.append(" ".join(str(error).split()))
    except KeyboardInterrupt:
        _fail("stopped", 130)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or ""
    if failures:
        _fail("\n".join(failures))


def _refuse_unknown_options(schema: type[Section]) -> None:
    """In one line, where Hydra would print its usage."""
    for argument in sys.argv[1:]:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in HYDRA_OPTIONS:
            key = name[2:].replace("-", "_")
            _fail(
                f"{argument}: there is no such option; keys are written as key=value{nearest(key, known_keys(schema))}"
            )


def _trial_name(number: int, overrides: list[str]) -> str:
    """A folder for each job of a sweep, named after what varies in it as far as file systems allow."""
    return f"{number}_{','.join(_varying(overrides)).replace('/', '_')[:120]}"


def _varying(overrides: list[str]) -> list[str]:
    """Of a job's overrides those that the sweep chose; the others were typed as they are."""
    return [override for override in overrides if override not in sys.argv]


def _go_on_in_the_resumed_directory() -> None:
    """``resume=DIR`` makes that run's directory Hydra's, so that all that is written goes on there."""
    _quote_text(("resume",))
    if any(argument.startswith("resume=") for argument in sys.argv) and {"-m", "--multirun"} & set(sys.argv):
        _fail("resume: goes on with one run, and -m trains many; leave one of them out")
    for argument in sys.argv[1:]:
        if argument.startswith("resume=") and argument != "resume='null'":
            from textloom.runs import Run, latest_to_resume

            name = argument.partition("=")[2][1:-1]
            try:
                run = latest_to_resume(Path("outputs")) if name == "latest" else Run(Path(name).expanduser())
                if not run.status_file.exists():
                    raise RunError(f"resume={name}: not a run directory; give one that is, or latest")
            except TextloomError as error:
                _fail(str(error))
            quoted = str(run.directory).replace("'", "\\'")
            sys.argv.append(f"hydra.run.dir='{quoted}'")


def _quote_text(keys: tuple[str, ...]) -> None:
    """Let free text be typed as it is: Hydra's grammar gives commas, braces and quotes a meaning of their own."""
    parser = OverridesParser.create()
    for index, argument in enumerate(sys.argv[1:], start=1):
        key, separator, value = argument.lstrip("+").partition("=")
        if key in keys and separator:
            quoted = value[:1] in ("'", '"') and value[-1:] == value[:1]
            try:
                quoted = quoted and parser.parse_override(argument).value() == value[1:-1]
            except HydraException:
                quoted = False
            if not quoted:
                # the grammar reads backslashes as escapes only before a quote, and OmegaConf only before ${
                escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
                escaped = escaped.replace("${", "\\${")
                sys.argv[index] = f"{key}='{escaped}'"


def _fail(message: str, status: int = USER_ERROR) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)
