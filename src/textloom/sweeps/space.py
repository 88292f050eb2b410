"""The search space of a sweep: keys with several values or an interval, on the command line or in a config."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, Transformer
from hydra.errors import HydraException

from textloom.config import TrainConfig
from textloom.config.arguments import Arguments
from textloom.config.quoting import as_value, split_at_commas, unquoted
from textloom.errors import ConfigError

Plain = str | int | float | bool | None
Point = dict[str, str]
"""The choices of one trial: keys and values as on the command line."""


@dataclass(frozen=True)
class Choices:
    """A finite set of values, in their order."""

    values: tuple[Plain, ...]
    texts: tuple[str, ...]
    """The values as on the command line."""
    ordered: bool = False
    """True if the values are numbers at equal distances."""

    def text(self, value: Plain) -> str:
        """The value as on the command line."""
        return self.texts[self.values.index(value)]

    def value(self, text: str) -> Plain:
        """The value of a text of the command line."""
        return self.values[self.texts.index(text)]


@dataclass(frozen=True)
class Interval:
    """All numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool
    whole: bool

    def text(self, value: Plain) -> str:
        """The value as on the command line, with four significant digits."""
        return repr(float(f"{value:.4g}")) if isinstance(value, float) else repr(value)


@dataclass(frozen=True)
class Parameter:
    """A key that varies, in all trials or only in those where another key has certain values."""

    key: str
    domain: Choices | Interval
    condition: str | None = None
    """'key=value' or 'key=value,value': the trials that have the parameter; None for all."""

    @property
    def label(self) -> str:
        """The name in a study: a key may have several domains under different conditions."""
        return self.key if self.condition is None else f"{self.key} where {self.condition}"

    def exists(self, point: Mapping[str, str], fixed: Mapping[str, str]) -> bool:
        """True if a trial with these choices has the parameter."""
        if self.condition is None:
            return True
        key, _, values = self.condition.partition("=")
        return unquoted(point.get(key, fixed.get(key, ""))) in map(unquoted, split_at_commas(values, lists=True))


@dataclass(frozen=True)
class Space:
    """The parameters that vary in a sweep, and the values that all trials share."""

    fixed: dict[str, str]
    parameters: tuple[Parameter, ...]

    @property
    def keys(self) -> list[str]:
        """The varying keys, without Hydra's plus signs."""
        return list(dict.fromkeys(parameter.key.lstrip("+") for parameter in self.parameters))

    def grid(self) -> list[Point]:
        """All combinations. Raises ConfigError if a parameter is an interval."""
        points: list[Point] = [{}]
        for parameter in self.parameters:
            if isinstance(parameter.domain, Interval):
                raise ConfigError(
                    f"{parameter.key}: an interval has no grid; give values or a range, or set sweep.n_trials=NUMBER"
                )
            points = list(self._extended(points, parameter, parameter.domain.texts))
        return list({tuple(point.items()): point for point in points}.values())

    def edges(self) -> list[Point]:
        """Points that contain every choice and both ends of every interval, to check a space before sampling."""
        edges = [self._nearby(None, "")]
        for parameter in self.parameters:
            edges += [self._nearby(parameter, text) for text in _ends(parameter.domain)]
        return list({tuple(point.items()): point for point in edges}.values())

    def _nearby(self, chosen: Parameter | None, text: str) -> Point:
        """The point with the first value of every parameter, except one and the key that it depends on."""
        forced: Point = {}
        if chosen is not None and chosen.condition is not None:
            key, _, values = chosen.condition.partition("=")
            forced[key] = split_at_commas(values, lists=True)[0]
        point: Point = {}
        for parameter in self.parameters:
            if parameter is chosen:
                point[parameter.key] = text
            elif parameter.exists(point, self.fixed):
                point.setdefault(parameter.key, forced.get(parameter.key, _ends(parameter.domain)[0]))
        return point

    def _extended(self, points: list[Point], parameter: Parameter, texts: tuple[str, ...]) -> Iterator[Point]:
        for point in points:
            if parameter.exists(point, self.fixed):
                yield from ({**point, parameter.key: text} for text in texts)
            else:
                yield point


def read_space(
    typed: list[str], space: Mapping[str, Any], when: Mapping[str, Mapping[str, Any]], loader: ConfigLoader
) -> Space:
    """The search space of a config, overridden by the command line. Raises ConfigError for an invalid space."""
    parser = OverridesParser.create(config_loader=loader)
    given = {override.key_or_group: override for override in parser.parse_overrides(typed)}
    fixed: dict[str, str] = {}
    parameters: list[Parameter] = []
    written = [(None, space), *when.items()]
    for condition, keys in written:
        for key, value in keys.items():
            override = _parse(parser, str(key), value)
            if override.key_or_group not in given:
                _sort_in(override, condition, fixed, parameters)
    for override in given.values():
        _sort_in(override, None, fixed, parameters)
    known = set(fixed) | {parameter.key for parameter in parameters}
    for condition in when:
        if condition.partition("=")[0] not in known:
            raise ConfigError(f"sweep.when: {condition}: the sweep does not set this key; add it to sweep.space")
    return Space(fixed, tuple(sorted(parameters, key=lambda parameter: parameter.condition is not None)))


def _parse(parser: OverridesParser, key: str, value: Any) -> Override:
    text = "null" if value is None else str(value)
    reading = Arguments.of(TrainConfig, multirun=True)
    if reading.takes_text(key) and isinstance(value, bool | int | float):
        raise ConfigError(f"sweep.space: {key}: YAML reads this as {text}, which is not a text; write it in quotes")
    try:
        return parser.parse_overrides([reading.hydra(f"{key}={text}")])[0]
    except HydraException as error:
        cure = "write a,b or range(1,5) or interval(0.1,1) or tag(log,interval(1e-4,1e-1))"
        raise ConfigError(f"sweep.space: {key}: {text} cannot be read; {cure}") from error


def _sort_in(override: Override, condition: str | None, fixed: dict[str, str], parameters: list[Parameter]) -> None:
    """Add the override to the fixed values or to the parameters."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        if condition is not None:
            text = _text(override._value)
            parameters.append(Parameter(key, Choices((text,), (text,)), condition))
        else:
            fixed[key] = "" if override.is_delete() else _text(override._value)
        return
    domain = _domain(override)
    if isinstance(domain, Choices) and len(domain.texts) == 1 and condition is None:
        fixed[key] = domain.texts[0]
    else:
        parameters.append(Parameter(key, domain, condition))


def _domain(override: Override) -> Choices | Interval:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        log = "log" in value.tags
        if low is None or high is None or not -math.inf < low < high < math.inf or (log and low <= 0):
            raise ConfigError(f"{override.input_line}: give two numbers, the lower one first, above 0 where tagged log")
        whole = isinstance(low, int) and isinstance(high, int)
        return Interval(low, high, log, whole)
    pairs = {_text(element): _plain(element) for element in override.sweep_iterator()}
    if not pairs:
        raise ConfigError(f"{override.input_line}: names nothing, so the sweep would be empty; give values")
    texts, values = tuple(pairs), tuple(pairs.values())
    distinct = len(set(values)) == len(values)  # a set takes 1, 1.0 and true as equal
    return Choices(values if distinct else texts, texts, ordered=override.is_range_sweep())


def _text(value: Any) -> str:
    """The value in Hydra's grammar, in one spelling, quoted only if needed."""
    if isinstance(value, QuotedString):
        return as_value(value.text)
    return as_value(value) if isinstance(value, str) else Transformer.str(value)


def _plain(value: Any) -> Plain:
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, str | int | float | bool) else Transformer.str(value)


def _ends(domain: Choices | Interval) -> tuple[str, ...]:
    return domain.texts if isinstance(domain, Choices) else (domain.text(domain.low), domain.text(domain.high))


def as_overrides(point: Mapping[str, str]) -> list[str]:
    """The point as overrides in Hydra's grammar."""
    return [f"{key}={text}" if not key.startswith("~") else key for key, text in point.items()]


def point_text(point: Mapping[str, str]) -> str:
    """The point as text, without Hydra's quotes."""
    return ",".join(as_overrides({key: unquoted(text) for key, text in point.items()}))
