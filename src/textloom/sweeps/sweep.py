"""Run a sweep: from the arguments to a table of trials."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from textloom.config import Section, SweepConfig, TrainConfig
from textloom.config.checking import check
from textloom.errors import ConfigError, Interrupted, RunError, TrialsFailed
from textloom.reports.compare import compare_runs
from textloom.reports.metrics import directions, is_per_target
from textloom.reports.text import render_text
from textloom.sweeps.directory import claimed_sweep, config_checksum, refuse_another_config, sweep_name, write_config
from textloom.sweeps.launchers import Launcher
from textloom.sweeps.launchers.choose import choose_launcher
from textloom.sweeps.plan import Composer, Sweep
from textloom.sweeps.scheduler import Grid, Proposals, TrialScheduler
from textloom.sweeps.space import Space, read_space
from textloom.sweeps.table import TrialTable
from textloom.sweeps.trials import Fingerprints, Trial
from textloom.system.command_hint import as_command
from textloom.system.progress import say, shown, stage


class _Sweeping(Section):
    """The group ``sweep`` alone, so that messages name its keys in full."""

    sweep: SweepConfig


def run_sweep(master: DictConfig, loader: ConfigLoader, arguments: list[str]) -> list[Trial]:
    """Run the sweep that the arguments and the group ``sweep`` describe, or the rest of it.

    Raises ConfigError or RunError if it cannot be run, Interrupted if it is asked to stop, and TrialsFailed at the end
    if trials failed.
    """
    config = check({"sweep": OmegaConf.to_container(master.sweep, resolve=True)}, _Sweeping).sweep
    directions(config.metric)
    sweep = _described(config, master, loader, arguments)
    adaptive = _is_adaptive(config, sweep.space)
    points = sweep.space.edges() if adaptive else sweep.space.grid()
    sweep.composer.refuse_mistakes(points)
    points = points if adaptive else sweep.distinct(points)
    if adaptive or config.pruner is not None:
        _warn_of_other_texts(config, [sweep.composer.config(point) for point in points])
    if config.dry_run:
        from textloom.sweeps.estimate import print_estimates  # imports torch

        print_estimates(sweep.composer, points, adaptive, config)
        return []
    total = (config.n_trials if adaptive else None) or len(points)
    with _launcher(sweep, master, total) as launcher, claimed_sweep(sweep.directory):
        write_config(sweep.directory, sweep.composer.fixed_values, sweep.space)
        trials = [] if adaptive else [sweep.trial(number, point) for number, point in enumerate(points)]
        table = TrialTable(sweep.directory, config.metric, total, launcher.places, not launcher.prints_here, trials)
        _run(_proposals(sweep, table, adaptive), launcher, table, config)
    return table.trials


def _warn_of_other_texts(config: SweepConfig, trials: list[TrainConfig]) -> None:
    """Warn if a sampler or pruner would compare trials whose figures are not comparable."""
    per_target = [metric for metric in config.metric if is_per_target(metric)]
    if len({repr(trial.data) for trial in trials}) > 1:
        say(f"the trials read different texts, and sweep.metric={config.metric[0]} prefers the one that is easier to "
            "predict: sweep over each text by itself")  # fmt: skip
    elif per_target and len({repr(trial.tokenizer) for trial in trials}) > 1:
        say(f"sweep.metric={per_target[0]}: is per token, and does not compare tokenizers; set "
            "sweep.metric=val/bits_per_char")  # fmt: skip


def _described(config: SweepConfig, master: DictConfig, loader: ConfigLoader, arguments: list[str]) -> Sweep:
    parsed = OverridesParser.create().parse_overrides(arguments)
    own = [o.input_line or "" for o in parsed if not o.key_or_group.startswith(("sweep.", "hydra.", "hydra/"))]
    space = read_space(own, config.space, config.when, loader)
    if not space.parameters:
        raise ConfigError("-m: nothing varies; give a key several values, such as model.units=64,128, or leave -m out")
    composer = Composer(master, loader, space)
    directory = _directory(config, master, composer)
    return Sweep(config, directory, space, composer, Fingerprints.below(directory, tuple(space.keys)))


def _directory(config: SweepConfig, master: DictConfig, composer: Composer) -> Path:
    """The directory of the sweep. A default name that another config has taken is extended by a checksum.

    Raises RunError if ``sweep.name`` belongs to a sweep with another config.
    """
    about = composer.fixed_values
    default = sweep_name(master, composer.space)
    names = [config.name] if config.name else [default, f"{default}-{config_checksum(about, composer.space)}"]
    for name in names:
        with open_dict(master):
            master.sweep.name = name
        directory = Path(str(master.hydra.sweep.dir))
        try:
            refuse_another_config(directory, about, composer.space)
        except RunError:
            if name == names[-1]:
                raise
        else:
            break
    return directory


def _is_adaptive(config: SweepConfig, space: Space) -> bool:
    """True if a sampler chooses the trials. Raises ConfigError if their number is missing."""
    if config.sampler in (None, "grid") and config.n_trials is None:
        return False  # grid() refuses intervals
    if config.sampler == "grid":
        raise ConfigError(
            f"sweep.n_trials={config.n_trials}: a grid has as many trials as points; leave it out, or set "
            "sweep.sampler=tpe"
        )
    if config.n_trials is None:
        raise ConfigError(f"sweep.sampler={config.sampler}: give the number of trials as sweep.n_trials=NUMBER")
    return True


def _proposals(sweep: Sweep, table: TrialTable, adaptive: bool) -> Proposals:
    """The source of trials; a grid needs a study only if it is pruned or has a storage."""
    if not adaptive and sweep.config.pruner is None and sweep.config.storage is None:
        return Grid(table.trials, sweep.job)
    from textloom.sweeps.study import StudyProposals  # imports Optuna

    return StudyProposals(sweep, table, [] if adaptive else [trial.point for trial in table.trials])


@contextmanager
def _launcher(sweep: Sweep, master: DictConfig, trials: int) -> Iterator[Launcher]:
    launcher = choose_launcher(sweep.config, master, sweep.composer.fixed_values, trials)
    try:
        yield launcher
    finally:
        launcher.close()


def _compare(table: TrialTable, config: SweepConfig) -> None:
    """Print a comparison of the completed trials."""
    completed = [trial.directory for trial in table.trials if trial.state == "completed"]
    if not completed:
        return
    print(f"\n{render_text(compare_runs(completed, config.metric[0]), shutil.get_terminal_size().columns)}")
    runs = shlex.quote(f"{table.directory}/**")
    print(f"\nas an HTML page: {as_command('compare')} runs={runs} format=html > comparison.html")


def _run(proposals: Proposals, launcher: Launcher, table: TrialTable, config: SweepConfig) -> None:
    """Run the trials, and print the results."""
    try:
        with shown(), stage(table.stage):
            TrialScheduler(proposals, launcher, table, config.retries).run()
    except Interrupted as error:
        left = [trial.name for trial in table.trials if trial.state in ("interrupted", "waiting")]
        raise Interrupted(f"{error}; not finished: {'; '.join(left)}; the same command continues the sweep") from error
    print(table.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    for line in table.verdict():
        print(f"\n{line}")
    _compare(table, config)
    failed = [trial for trial in table.trials if trial.state in ("failed", "interrupted")]
    if failed:
        raise TrialsFailed(
            f"{len(failed)} of {table.total} trials did not finish, see {table.file}; the same command runs them again"
        )
