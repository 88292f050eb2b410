"""An Optuna study as a source of trials, asked for one trial at a time."""

import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.reports.metrics import directions
from textloom.sweeps.job import Job, Pruning
from textloom.sweeps.plan import Sweep
from textloom.sweeps.pruning import build_pruner
from textloom.sweeps.space import Choices, Point, Space, point_text
from textloom.sweeps.storage import open_storage
from textloom.sweeps.table import TrialTable
from textloom.sweeps.trials import Trial

TRIES = 50  # suggestions in a row without a new trial, after which the search space counts as exhausted
POINT, PLACE, AGAIN, PASSED_OVER = "point", "directory", "again", "passed_over"  # attributes of a trial in the study


class StudyProposals:
    """Proposes trials from the results of earlier ones; ``points`` are run first."""

    def __init__(self, sweep: Sweep, table: TrialTable, points: list[Point]):
        self.sweep = sweep
        self.table = table
        self.place = sweep.config.storage or str((sweep.directory / "study.journal").resolve())
        self.study = _open_study(sweep, self.place)
        self._asked: dict[Path, optuna.Trial] = {}
        self._take_up()
        known = {_key(trial.user_attrs[POINT]) for trial in self._counted()}
        for point in points:
            if _key(point) not in known:
                self.study.enqueue_trial(_values(sweep.space, point), user_attrs={POINT: point})
        self.total = len(points) or sweep.config.n_trials or 0
        self.study.sampler = _sampler(sweep.config, len(self.study.trials))

    def ask(self) -> Trial | None:
        """A new trial, or one to resume; None if all ``n_trials`` were asked for."""
        passed_over = 0
        while passed_over < TRIES and self._is_more_wanted():
            asked = self.study.ask()
            trial = self._trial(asked)
            if trial is None:
                passed_over += 1
                continue
            if trial not in self.table.trials:
                self.table.trials.append(trial)
            self._asked[trial.directory] = asked
            if trial.state not in ("completed", "pruned"):
                return trial
            self.tell(trial)  # completed in an earlier call that did not record it in the study
        if passed_over == TRIES:
            print(f"{TRIES} suggestions in a row were no new trial: the search space is exhausted", file=sys.stderr)
            self.table.total = len(self.table.trials)
            self.total = 0
        return None

    def tell(self, trial: Trial) -> None:
        """Record the result in the study; an interrupted trial stays open, for the next call."""
        asked = self._asked.pop(trial.directory)
        if trial.state == "completed":
            self.study.tell(asked, trial.values)
        elif trial.state == "pruned":
            self.study.tell(asked, state=TrialState.PRUNED)
        elif trial.state == "failed":
            self.study.tell(asked, state=TrialState.FAIL)

    def job(self, trial: Trial) -> Job:
        """The job of a trial, with the study if trials are pruned."""
        config, asked = self.sweep.config, self._asked[trial.directory]
        if config.pruner is None:
            return self.sweep.job(trial, None)
        name = self.study.study_name
        return self.sweep.job(trial, Pruning(self.place, name, asked._trial_id, config.metric[0], config.pruner))

    def _trial(self, asked: optuna.Trial) -> Trial | None:
        """The suggested trial; None if it was tried before or cannot be trained."""
        point = self._suggest(asked)
        known = {_key(other.user_attrs[POINT]) for other in self._counted() if other.number != asked.number}
        again = AGAIN in asked.user_attrs
        if not again and _key(point) in known:
            self._pass_over(asked, "tried before")
            return None
        try:
            trial = self.sweep.trial(asked.number, point)
        except ConfigError as error:
            print(f"skipped: {point_text(point)}: {error}", file=sys.stderr)
            self._pass_over(asked, str(error))
            return None
        if any(other.directory == trial.directory and other.point != point for other in self.table.trials):
            self._pass_over(asked, "tried before, spelled otherwise")
            return None
        asked.set_user_attr(PLACE, trial.directory.name)
        asked.set_user_attr(POINT, point)  # written last, so its presence implies the rest
        return next((other for other in self.table.trials if other.point == point), trial)

    def _suggest(self, asked: optuna.Trial) -> Point:
        point: Point = {}
        for parameter in self.sweep.space.parameters:
            if parameter.exists(point, self.sweep.space.fixed):
                label, domain = parameter.label, parameter.domain
                try:
                    if isinstance(domain, Choices):
                        value: Any = asked.suggest_categorical(label, domain.values)
                    elif domain.whole:
                        value = asked.suggest_int(label, int(domain.low), int(domain.high), log=domain.log)
                    else:
                        value = asked.suggest_float(label, domain.low, domain.high, log=domain.log)
                except ValueError as error:
                    raise ConfigError(
                        f"{label}: the study was started with other choices ({error}); give the former ones, or "
                        "sweep.name=NAME for another sweep"
                    ) from error
                point[parameter.key] = domain.text(value)
        return point

    def _pass_over(self, asked: optuna.Trial, reason: str) -> None:
        asked.set_user_attr(PASSED_OVER, reason)
        self.study.tell(asked, state=TrialState.FAIL)

    def _take_up(self) -> None:
        """Continue from earlier calls: show their results, and enqueue failed and interrupted trials again."""
        for trial in self._counted():
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                self._show(trial)
            elif trial.state in (TrialState.RUNNING, TrialState.FAIL):
                self.study.enqueue_trial(trial.params, user_attrs={POINT: trial.user_attrs[POINT], AGAIN: trial.number})
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _show(self, past: FrozenTrial) -> None:
        point, directory = past.user_attrs[POINT], self.sweep.directory / past.user_attrs[PLACE]
        if any(trial.point == point for trial in self.table.trials):
            return
        shown = Trial(past.number, point, directory, None, [])
        shown.read(self.sweep.config.metric)
        complete = past.state is TrialState.COMPLETE
        shown.state, shown.values = ("completed", tuple(past.values)) if complete else ("pruned", None)
        self.table.trials.append(shown)

    def _counted(self) -> list[FrozenTrial]:
        """The trials that count towards the total: each point once, under its newest number."""
        trials = [trial for trial in self.study.get_trials(deepcopy=False) if POINT in trial.user_attrs]
        again = {trial.user_attrs.get(AGAIN) for trial in trials}
        return [trial for trial in trials if trial.number not in again and PASSED_OVER not in trial.user_attrs]

    def _is_more_wanted(self) -> bool:
        counted = self._counted()
        return len(counted) < self.total or any(trial.state is TrialState.WAITING for trial in counted)


def _open_study(sweep: Sweep, place: str) -> optuna.Study:
    config = sweep.config
    wanted = directions(config.metric)
    if config.pruner is not None and (len(config.metric) > 1 or not config.metric[0].startswith("val/")):
        raise ConfigError(f"sweep.pruner={config.pruner}: prunes at validations; set one sweep.metric, as val/loss")
    if config.sampler == "cmaes" and len(wanted) > 1:
        raise ConfigError("sweep.sampler=cmaes: searches for one metric; set sweep.sampler=tpe, or one sweep.metric")
    study = optuna.create_study(
        storage=open_storage(place),
        study_name=sweep.directory.name,
        directions=wanted,
        pruner=build_pruner(config.pruner),
        load_if_exists=True,
    )
    facts = {"metric": list(config.metric)}
    if config.storage is not None:
        facts[PLACE] = [str(sweep.directory.resolve())]
    for name, value in facts.items():
        before = study.user_attrs.get(name, value)
        if before != value:
            raise ConfigError(
                f"sweep.{name}={','.join(value)}: the study {study.study_name} was started with {','.join(before)}; "
                "set sweep.name=NAME for another one"
            )
        study.set_user_attr(name, value)
    return study


def _sampler(config: SweepConfig, trials: int) -> BaseSampler:
    """The sampler, seeded by the number of trials: a continued study does not repeat its suggestions."""
    seed = config.seed + trials
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if config.sampler in ("random", "grid"):
            return RandomSampler(seed=seed)
        if config.sampler == "gp":
            return GPSampler(seed=seed, warn_independent_sampling=False)
        if config.sampler == "cmaes":
            return CmaEsSampler(seed=seed, warn_independent_sampling=False)
        return TPESampler(seed=seed, constant_liar=True)  # the neighbourhood of running trials is avoided


def _values(space: Space, point: Point) -> dict[str, Any]:
    """A point of a grid, with the names and types of the study."""
    values: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.exists(point, space.fixed) and isinstance(parameter.domain, Choices):
            values[parameter.label] = parameter.domain.value(point[parameter.key])
    return values


def _key(point: Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(point.items()))
