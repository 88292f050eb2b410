"""All combinations, in the order in which they were typed."""

from collections.abc import Callable

from textloom.sweeps.job import Job
from textloom.sweeps.trials import Trial


class Grid:
    """Trials that were all known from the start; those that are over are not trained again."""

    def __init__(self, trials: list[Trial], job: Callable[[Trial], Job]):
        self._waiting = [trial for trial in trials if trial.state not in ("completed", "pruned")]
        self.job = job

    def ask(self) -> Trial | None:
        """The next one."""
        return self._waiting.pop(0) if self._waiting else None

    def tell(self, trial: Trial) -> None:
        """Nothing is learned from it."""
