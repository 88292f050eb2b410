"""The plan of a sweep before anything runs: its configs, its trials and their directories."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from textloom.config import SweepConfig, TrainConfig
from textloom.config.checking import check, explain
from textloom.config.compose import hydra_values
from textloom.errors import ConfigError
from textloom.sweeps.job import Job, Pruning
from textloom.sweeps.space import Point, Space, as_overrides, point_text
from textloom.sweeps.trials import Fingerprints, Trial, fingerprint


@dataclass(frozen=True)
class Composer:
    """Composes the configs of a sweep's trials with Hydra."""

    master: DictConfig
    """The config of the whole sweep, with Hydra's node."""
    loader: ConfigLoader
    space: Space
    _checked: dict[tuple[str, ...], TrainConfig] = field(default_factory=dict, init=False, repr=False)
    """Configs composed before: each is used several times, and Hydra takes a tenth of a second to compose one."""

    def overrides(self, point: Point) -> list[str]:
        """The overrides that train this trial alone."""
        return as_overrides({**self.space.fixed, **point})

    def config(self, point: Point) -> TrainConfig:
        """The checked config of a trial. Raises ConfigError if it cannot be trained."""
        overrides = self.overrides(point)
        try:
            if (known := self._checked.get(tuple(overrides))) is None:
                with self._composed(overrides) as composed:
                    known = self._checked[tuple(overrides)] = check(composed, TrainConfig)
            if known.data.piped:
                raise ConfigError(
                    "data.path=-: a sweep reads its text more than once; save it as a file, and give that"
                )
            return known
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(explain(error, TrainConfig)) from error

    @cached_property
    def fixed_values(self) -> dict[str, Any]:
        """The resolved config of the fixed keys; unchecked, because keys that only trials set may be missing."""
        with self._composed(as_overrides(self.space.fixed)) as composed:
            values: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
        return values

    def refuse_mistakes(self, points: Iterable[Point]) -> None:
        """Check every trial. Raises ConfigError with one line for each mistake."""
        mistakes: dict[str, list[str]] = {}
        count = 0
        for number, point in enumerate(points, start=1):
            count = number
            try:
                self.config(point)
            except ConfigError as error:
                for line in str(error).splitlines():
                    mistakes.setdefault(line, []).append(f"trial {number} ({point_text(point)})")
        if mistakes:
            lines = [line if len(where) == count else f"{where[0]}: {line}" for line, where in mistakes.items()]
            raise ConfigError("\n".join(lines))

    @contextmanager
    def _composed(self, overrides: list[str]) -> Iterator[DictConfig]:
        """The composed config; its interpolations can be resolved inside the context."""
        composed = self.loader.load_sweep_config(self.master, overrides)
        with hydra_values(composed):
            with open_dict(composed):
                del composed["hydra"]
            yield composed


@dataclass(frozen=True)
class Sweep:
    """A sweep: its config, its search space and its directory."""

    config: SweepConfig
    directory: Path
    space: Space
    composer: Composer
    prints: Fingerprints

    def distinct(self, points: list[Point]) -> list[Point]:
        """The points without repetitions: of several spellings of the same config only the first is kept."""
        varying = tuple(self.space.keys)
        first: dict[str, Point] = {}
        for point in points:
            first.setdefault(fingerprint(self.composer.config(point), varying), point)
        return list(first.values())

    def trial(self, number: int, point: Point) -> Trial:
        """The trial of a point, with its state on disk. Raises ConfigError if it cannot be trained."""
        config = self.composer.config(point)
        directory = self.prints.place(self.directory, point, config)
        trial = Trial(number, point, directory, config, self.composer.overrides(point))
        trial.read(self.config.metric)
        return trial

    def job(self, trial: Trial, pruning: Pruning | None = None) -> Job:
        """The job that trains the trial, for a launcher."""
        assert trial.config is not None, "completed trials of earlier calls have no config and are not trained"
        return Job(
            directory=str(trial.directory.resolve()),
            config=trial.config.model_dump(mode="json"),
            overrides=trial.overrides,
            timeout=self.config.trial_timeout,
            pruning=pruning,
        )
