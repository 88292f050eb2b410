"""Settings of the methods that change a trained model's predictions while it is scored. Does not import torch."""

from dataclasses import asdict, dataclass
from typing import Any

from textloom.config import EvaluateConfig, TrainConfig
from textloom.errors import ConfigError
from textloom.evaluation.protocols import Protocol, chosen_protocol

ADAPTING = ("+dynamic", "+cache")


@dataclass(frozen=True)
class DynamicSettings:
    """Dynamic evaluation: see ``textloom.evaluation.dynamic``."""

    learning_rate: float
    decay: float
    epsilon: float
    steps: int
    """Tokens that are scored, and then learned from, at a time."""

    @property
    def moves(self) -> bool:
        """False if the weights never change, so that no gradient is needed."""
        return self.learning_rate > 0


@dataclass(frozen=True)
class CacheSettings:
    """The continuous cache: see ``textloom.evaluation.cache``."""

    size: int
    weight: float
    sharpness: float


@dataclass(frozen=True)
class MixSettings:
    """Interpolation with another model."""

    other: str
    """The kind of the other model, and a hash of its weights."""
    weight: float


@dataclass(frozen=True)
class Adaptation:
    """The methods that are switched on; None for each that is off."""

    temperature: float | None = None
    dynamic: DynamicSettings | None = None
    cache: CacheSettings | None = None
    mix: MixSettings | None = None

    @property
    def kinds(self) -> str:
        """Names of the methods, without settings: ``+dynamic+cache``."""
        mixed = {"mix": "" if self.mix is None else f"({self.mix.other})"}
        return "".join(f"+{name}{mixed.get(name, '')}" for name, value in vars(self).items() if value is not None)

    def __str__(self) -> str:
        """Names of the methods with their settings: ``+dynamic(learning_rate=0.0003,decay=0.002,...)``."""
        return "".join(f"+{name}({_settings(value)})" for name, value in vars(self).items() if value is not None)

    def settings(self) -> dict[str, Any]:
        """The settings by the names of their keys: ``dynamic_learning_rate``."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, float):
                found[name] = value
            elif value is not None:
                found |= {f"{name}_{key}": setting for key, setting in asdict(value).items()}
        return found

    def __bool__(self) -> bool:
        """True if anything is switched on."""
        return bool(self.kinds)


@dataclass(frozen=True)
class Method:
    """A protocol with an adaptation: everything besides weights and text that determines the figures."""

    protocol: Protocol
    adaptation: Adaptation = Adaptation()

    def __str__(self) -> str:
        """The method in signatures."""
        return f"{self.protocol}{self.adaptation}"

    @property
    def name(self) -> str:
        """The method without settings; figures are comparable if it is the same."""
        return f"{self.protocol}{self.adaptation.kinds}"


def adapts(method: str) -> bool:
    """True if the models of a method learn from the text that they are scored on; counted n-grams do not."""
    return any(kind in method for kind in ADAPTING)


def chosen_method(config: EvaluateConfig, trained: TrainConfig, other: str | None) -> Method:
    """The method that a config asks for; ``other`` names the model of ``mix``.

    Raises ConfigError if the model, or the text of the run, cannot be scored by it.
    """
    protocol = chosen_protocol(config, trained)
    for key, lacks in (("dynamic", "weights that a gradient could change"), ("cache", "hidden states to compare")):
        if getattr(config, key) and trained.model.is_ngram:
            raise ConfigError(f"{key}=true: n-grams have no {lacks}; leave it out, or give the run of a network")
        if getattr(config, key) and protocol != Protocol("stream"):
            raise ConfigError(
                f"{key}=true: adapts along one stream, but the protocol is {protocol}; set protocol=stream"
            )
    dynamic = DynamicSettings(
        config.dynamic_learning_rate, config.dynamic_decay, config.dynamic_epsilon, config.dynamic_steps
    )
    cache = CacheSettings(config.cache_size, config.cache_weight, config.cache_sharpness)
    return Method(
        protocol,
        Adaptation(
            config.temperature,
            dynamic if config.dynamic else None,
            cache if config.cache else None,
            None if other is None else MixSettings(other, config.mix_weight),
        ),
    )


def _settings(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, MixSettings):
        return f"{value.other},weight={value.weight:g}"
    return ",".join(f"{name}={setting:g}" for name, setting in asdict(value).items())
