"""Between what the user types and Hydra: free text, options, sweeps, resumed runs, and mistakes told in one line."""

import os
import re
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from textloom.composition import config_directory, explain, known_keys, nearest
from textloom.config import Section
from textloom.errors import Interrupted, RunError, TextloomError, TrialsFailed
from textloom.progress import shown
from textloom.typed import as_typed

TRIALS_FAILED = 1
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


def run_command(name: str, task: Callable[[DictConfig], object], schema: type[Section]) -> None:
    """Compose the config and run the task; what the user can cure ends in one line and exit status 2.

    A sweep that came to its end with trials that failed has exit status 1.
    """
    _refuse_unknown_options(schema)
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(help_text(name))
        return
    before = os.environ.get("HYDRA_FULL_ERROR")
    if before == "1":  # the user asks for stack traces
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(task)()
        return

    def job(config: DictConfig) -> object:
        try:
            with shown():
                return task(config)
        except TextloomError as error:  # before Hydra says in a line of its own that there was one
            _tell(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(job)()
    except TextloomError as error:  # of a sweep
        _tell(error)
    except (HydraException, OmegaConfBaseException) as error:
        fail(explain(error, schema))
    except (OSError, yaml.YAMLError) as error:
        fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        fail("stopped", 130)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or ""


def help_text(name: str) -> str:
    """What Hydra would print: the template in ``conf/NAME.yaml``, with groups and their choices.

    Hydra composes the config and copies it for each group, which takes longer than all the rest.
    """
    template = OmegaConf.load(config_directory() / f"{name}.yaml").hydra.help.template
    groups = [folder for folder in sorted(config_directory().iterdir()) if folder.is_dir() and folder.name != "hydra"]
    choices = [f"{group.name}: {', '.join(sorted(path.stem for path in group.glob('*.yaml')))}\n" for group in groups]
    return as_typed(string.Template(template).substitute(APP_CONFIG_GROUPS="".join(choices)))


def _tell(error: TextloomError) -> NoReturn:
    statuses = {Interrupted: INTERRUPTED, TrialsFailed: TRIALS_FAILED}
    fail(str(error), statuses.get(type(error), USER_ERROR))


def _refuse_unknown_options(schema: type[Section]) -> None:
    """In one line, where Hydra would print its usage."""
    for argument in sys.argv[1:]:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in HYDRA_OPTIONS:
            key = name[2:].replace("-", "_")
            hint = nearest(key, known_keys(schema))
            fail(f"{argument}: there is no such option; keys are written as key=value{hint}")


def go_on_in_the_resumed_directory() -> None:
    """``resume=DIR`` makes that run's directory Hydra's, so that all that is written goes on there."""
    quote_text(("resume",))
    if any(argument.startswith("resume=") for argument in sys.argv) and {"-m", "--multirun"} & set(sys.argv):
        fail("resume: goes on with one run, and -m trains many; leave one of them out")
    for argument in sys.argv[1:]:
        if argument.startswith("resume=") and argument != "resume='null'":
            from textloom.runs import Run, latest_to_resume

            name = argument.partition("=")[2][1:-1]
            try:
                run = latest_to_resume(Path("outputs")) if name == "latest" else Run(Path(name).expanduser())
                if not run.status_file.exists():
                    raise RunError(f"resume={name}: not a run directory; give one that is, or latest")
            except TextloomError as error:
                fail(str(error))
            quoted = str(run.directory).replace("'", "\\'")
            sys.argv.append(f"hydra.run.dir='{quoted}'")


def quote_text(keys: tuple[str, ...]) -> None:
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


def fail(message: str, status: int = USER_ERROR) -> NoReturn:
    """Say what is wrong, and end with a status of its own."""
    print(message, file=sys.stderr)
    sys.exit(status)
