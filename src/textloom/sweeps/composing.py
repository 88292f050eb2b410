"""From the choices of a trial to its checked config, as if it had been typed alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from textloom.config import TrainConfig
from textloom.config.composition import check, explain
from textloom.errors import ConfigError
from textloom.sweeps.space import Point, Space, shown, typed


@dataclass(frozen=True)
class Composer:
    """Hydra's composition, for one sweep."""

    master: DictConfig
    """The config of the whole sweep, with Hydra's node."""
    loader: ConfigLoader
    space: Space
    _checked: dict[tuple[str, ...], TrainConfig] = field(default_factory=dict, init=False, repr=False)
    """Configs that were composed: Hydra takes a tenth of a second for each, and each is asked for more than once."""

    def overrides(self, point: Point) -> list[str]:
        """What would have to be typed to train this trial alone."""
        return typed({**self.space.fixed, **point})

    def config(self, point: Point) -> TrainConfig:
        """The trial's config. Raises ConfigError if it cannot be trained."""
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

    def fixed_values(self) -> dict[str, Any]:
        """The resolved config without what varies; not checked, as keys may be missing that only trials set."""
        with self._composed(typed(self.space.fixed)) as composed:
            values: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
        return values

    def refuse_mistakes(self, points: Iterable[Point]) -> None:
        """Check every trial before the first one starts. Raises ConfigError with one line for each mistake."""
        mistakes: dict[str, list[str]] = {}
        count = 0
        for number, point in enumerate(points, start=1):
            count = number
            try:
                self.config(point)
            except ConfigError as error:
                for line in str(error).splitlines():
                    mistakes.setdefault(line, []).append(f"trial {number} ({shown(point)})")
        if mistakes:
            lines = [line if len(where) == count else f"{where[0]}: {line}" for line, where in mistakes.items()]
            raise ConfigError("\n".join(lines))

    @contextmanager
    def _composed(self, overrides: list[str]) -> Iterator[DictConfig]:
        """The config, whose interpolations can be resolved within this."""
        composed = self.loader.load_sweep_config(self.master, overrides)
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(composed)  # ${hydra:...} in our configs reads from there
        try:
            with open_dict(composed):
                del composed["hydra"]
            yield composed
        finally:
            HydraConfig.instance().cfg = before
