"""What a sweep is, before anything of it runs."""

from dataclasses import dataclass
from pathlib import Path

from textloom.config import SweepConfig
from textloom.sweeps.composing import Composer
from textloom.sweeps.job import Job, Pruning
from textloom.sweeps.space import Point, Space
from textloom.sweeps.trials import Fingerprints, Trial, fingerprint


@dataclass(frozen=True)
class Sweep:
    """What is searched, how, and where it lies."""

    config: SweepConfig
    directory: Path
    space: Space
    composer: Composer
    prints: Fingerprints

    def distinct(self, points: list[Point]) -> list[Point]:
        """The points without those that are another spelling of the config of one before."""
        varying = tuple(self.space.keys)
        first: dict[str, Point] = {}
        for point in points:
            first.setdefault(fingerprint(self.composer.config(point), varying), point)
        return list(first.values())

    def trial(self, number: int, point: Point) -> Trial:
        """A trial as far as it has come. Raises ConfigError if it cannot be trained."""
        config = self.composer.config(point)
        directory = self.prints.place(self.directory, point, config)
        trial = Trial(number, point, directory, config, self.composer.overrides(point))
        trial.read(self.config.metric)
        return trial

    def job(self, trial: Trial, pruning: Pruning | None = None) -> Job:
        """What a launcher needs to train it."""
        assert trial.config is not None, "trials of earlier calls that are over have none, and are not trained"
        return Job(
            directory=str(trial.directory.resolve()),
            config=trial.config.model_dump(mode="json"),
            overrides=trial.overrides,
            timeout=self.config.trial_timeout,
            pruning=pruning,
        )
