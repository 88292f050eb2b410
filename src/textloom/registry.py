"""Registries: the names that a config may give as its kind, with the config class and the target of each.

A config class declares its names as the ``Literal`` of its field ``kind``; registering it makes them known::

    CELLS = Registry[ModelConfig]("cell", "textloom.cells", key="cell")
    CELLS.add(LSTMConfig, "textloom.models.cells.lstm:LSTM")  # imported when one is built

    @CELLS.register(MinimalConfig)
    class Minimal(nn.Module): ...

A field of the schema that takes any of the registered classes is annotated with ``OneOf``.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import PydanticKnownError, core_schema

from textloom.errors import ConfigError, PluginError
from textloom.plugins import load_plugins, named_modules

ConfigT = TypeVar("ConfigT", bound=BaseModel)
TargetT = TypeVar("TargetT", bound=Callable[..., Any])


class Registry(Generic[ConfigT]):
    """The kinds of one thing: config classes by name, and the class or function that each configures.

    ``what`` names the thing in messages, ``group`` is the entry-point group of its plugins (None if it has none) and
    ``key`` is what users type for ``kind``. ``package`` is the package of textloom whose modules register kinds. Its
    modules and the plugins are imported when a name is first looked up, except ``base``, packages, and the modules of
    targets that were added by name, which may take long to import.
    """

    def __init__(self, what: str, group: str | None = None, key: str = "kind", package: str | None = None):
        self.what = what
        self.key = key
        self._group = group
        self._package = package
        self._loaded: tuple[str, ...] | None = None
        self._configs: dict[str, type[ConfigT]] = {}
        self._targets: dict[str, Callable[..., Any] | str] = {}

    def add(self, config: type[ConfigT], target: Callable[..., Any] | str) -> None:
        """Register a config class and the callable that it configures, which may be given as ``"module:name"``.

        A class that is defined again, as in a notebook, replaces itself. Raises PluginError if a name is taken.
        """
        names = _names_of(config)
        for name in names:
            taken = self._configs.get(name)
            if taken is not None and _origin(taken) != _origin(config):
                raise PluginError(
                    f"{self.what} '{name}': registered twice, by {_origin(taken)} and by {_origin(config)}; "
                    "rename one of them, or leave its plugin out"
                )
        for name in names:
            self._configs[name], self._targets[name] = config, target

    def register(self, config: type[ConfigT]) -> Callable[[TargetT], TargetT]:
        """Decorate the class or function that this config class configures."""

        def decorate(target: TargetT) -> TargetT:
            self.add(config, target)
            return target

        return decorate

    @property
    def config_classes(self) -> tuple[type[ConfigT], ...]:
        """The registered config classes, each once, in the order of ``names``."""
        return tuple(dict.fromkeys(self._configs[name] for name in self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The registered names: those of modules in the package, sorted, then others in the order of registration."""
        self._load()
        inside = sorted(
            name for name, config in self._configs.items() if config.__module__.startswith(f"{self._package}.")
        )
        return tuple(dict.fromkeys([*inside, *self._configs]))

    def config_class(self, name: str) -> type[ConfigT]:
        """The config class of a name. Raises ConfigError if nothing has the name."""
        self._require(name)
        return self._configs[name]

    def target(self, name: str) -> Any:
        """The class or function that configs of this name configure. Raises ConfigError if nothing has the name."""
        self._require(name)
        target = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = self._targets[name] = getattr(importlib.import_module(module), attribute)
        return target

    def build(self, config: ConfigT, *arguments: Any, **keywords: Any) -> Any:
        """Call the target of the config's kind with the config and the other arguments."""
        return self.target(config.kind)(config, *arguments, **keywords)  # type: ignore[attr-defined]

    def cure(self, names: tuple[str, ...]) -> str:
        """The end of the message about an unknown name: the known names, and the cure."""
        others = "" if self._group is None else f"; for any other {self.what} install its package, or name its module"
        others += " in TEXTLOOM_PLUGINS" if others else ""
        return f"must be one of {', '.join(map(repr, names))}{others}"

    def _require(self, name: str) -> None:
        if name not in self.names:
            raise ConfigError(f"{self.key}={name}: {self.cure(self.names)}")

    def _load(self) -> None:
        """Import the modules that register kinds; the plugins again if other ones are named than before."""
        named = named_modules()
        if named == self._loaded:
            return
        if self._package is not None and self._loaded is None:
            package = importlib.util.find_spec(self._package)
            assert package is not None
            later = {target.partition(":")[0] for target in self._targets.values() if isinstance(target, str)}
            later.add(f"{self._package}.base")
            for module in pkgutil.iter_modules(package.submodule_search_locations, f"{self._package}."):
                if not module.ispkg and module.name not in later:
                    importlib.import_module(module.name)
        if self._group is not None:
            load_plugins(self._group)
        self._loaded = named


class OneOf:
    """Annotation of a field whose value is one of the registered configs, or one of ``others``.

    The key ``registry.key`` says which class it is, as in a discriminated union, but the choice is made when a value is
    validated: classes that are registered after the schema was defined count too. Values are serialized in full, as
    instances of their own class.
    """

    def __init__(self, registry: Registry[Any], *others: type[BaseModel]):
        self.registry = registry
        self.others = others

    @property
    def classes(self) -> tuple[type[BaseModel], ...]:
        """All classes that a value may be of."""
        return (*self.registry.config_classes, *self.others)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: serialize(value), schema=core_schema.any_schema()
            ),
        )

    def _validate(self, value: Any) -> BaseModel:
        classes, key = self.classes, self.registry.key
        if isinstance(value, classes):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("dict_type")
        by_name = {name: config for config in classes for name in _names_of(config)}
        if key not in value:
            raise ValueError(f"{key} is missing; give one of {', '.join(map(repr, by_name))}")
        if not isinstance(value[key], str) or value[key] not in by_name:
            raise ValueError(f"{key}={value[key]}: {self.registry.cure(tuple(by_name))}")
        return by_name[value[key]].model_validate(value)


def kind_alias(key: str) -> ConfigDict:
    """Model config of classes whose field ``kind`` is another key in YAML, on the command line and in runs."""
    return ConfigDict(alias_generator=lambda name: key if name == "kind" else name, serialize_by_alias=True)


def _names_of(config: type[BaseModel]) -> tuple[str, ...]:
    """The names in the Literal of ``kind``."""
    field = config.model_fields.get("kind")
    if field is None or get_origin(field.annotation) is not Literal:
        raise PluginError(f"{_origin(config)}: has no kind; declare its name as kind: Literal['name']")
    return get_args(field.annotation)


def _origin(config: type[BaseModel]) -> str:
    return f"{config.__module__}.{config.__qualname__}"
