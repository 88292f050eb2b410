"""What others add from outside the package: found, checked, and as good as what is shipped."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from textloom.config import Section
from textloom.config.keys import Form, keys_of
from textloom.errors import ConfigError, PluginError
from textloom.plugins import load_plugins
from textloom.registry import OneOf, Registry, kind_typed_as


class ShapeConfig(Section):
    model_config = kind_typed_as("shape")
    kind: str
    size: int


class CircleConfig(ShapeConfig):
    kind: Literal["circle", "disc"]
    """Which round shape."""
    filled: bool = False


class SquareConfig(ShapeConfig):
    kind: Literal["square"]


@pytest.fixture
def shapes() -> Registry[ShapeConfig]:
    registry = Registry[ShapeConfig]("shape", key="shape")
    registry.add(CircleConfig, "pathlib:PurePath")
    return registry


class TestRegistry:
    def test_a_class_that_is_registered_late_is_one_of_the_choices(self, shapes: Registry[ShapeConfig]) -> None:
        class Drawing(Section):
            what: Annotated[ShapeConfig, OneOf(shapes)]

        shapes.register(SquareConfig)(lambda config: config.size)
        values = {"what": {"shape": "square", "size": 3}}
        drawing = Drawing.model_validate(values)
        assert isinstance(drawing.what, SquareConfig)
        assert drawing.model_dump(mode="json") == values
        assert drawing == Drawing.model_validate(drawing.model_dump())
        assert shapes.build(drawing.what) == 3
        keys = keys_of(Drawing)
        assert list(keys) == ["what", "what.shape", "what.size", "what.filled"]
        assert keys["what"].form is Form.GROUP
        assert keys["what.shape"].words == ("circle", "disc", "square")
        assert keys["what.filled"].choices == ("circle", "disc")

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"shape": "cube", "size": 1}, "shape=cube: must be one of 'circle', 'disc'"),
            ({"shape": ["circle"], "size": 1}, "must be one of 'circle', 'disc'"),
            ({"size": 1}, "shape is missing; give one of 'circle', 'disc'"),
            ({"kind": "circle", "size": 1}, "shape is missing"),
            (3, "valid dictionary"),
            ({"shape": "disc", "size": "large"}, "valid integer"),
            ({"shape": "disc", "size": 1, "colour": 1}, "Extra inputs"),
        ],
    )
    def test_a_value_that_fits_none_is_refused(
        self, shapes: Registry[ShapeConfig], value: object, message: str
    ) -> None:
        class Drawing(Section):
            what: Annotated[ShapeConfig, OneOf(shapes)]

        with pytest.raises(ValidationError, match=message):
            Drawing.model_validate({"what": value})

    def test_a_name_cannot_be_registered_twice(self, shapes: Registry[ShapeConfig]) -> None:
        class OtherConfig(ShapeConfig):
            kind: Literal["disc"]

        with pytest.raises(PluginError, match=r"^shape 'disc': registered twice, by .*CircleConfig and by .*OtherConf"):
            shapes.add(OtherConfig, print)
        assert shapes.config_classes == (CircleConfig,)

    def test_a_class_that_is_defined_again_replaces_itself(self, shapes: Registry[ShapeConfig]) -> None:
        shapes.add(CircleConfig, print)
        assert shapes.target("disc") is print

    def test_a_class_without_a_kind_is_refused(self, shapes: Registry[ShapeConfig]) -> None:
        with pytest.raises(PluginError, match=r"ShapeConfig: has no kind; declare its name as kind: Literal\['name'\]"):
            shapes.add(ShapeConfig, print)

    def test_a_target_is_imported_when_it_is_needed(self, shapes: Registry[ShapeConfig]) -> None:
        shapes.add(SquareConfig, "no_such_module:Square")
        assert shapes.names == ("circle", "disc", "square")
        with pytest.raises(ModuleNotFoundError):
            shapes.target("square")
        with pytest.raises(ConfigError, match=r"^shape=cube: must be one of 'circle', 'disc', 'square'$"):
            shapes.target("cube")


class TestLoading:
    def test_the_modules_of_the_environment_are_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("first_plugin", "second_plugin"):
            (tmp_path / f"{name}.py").write_text("loaded = True\n")
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("TEXTLOOM_PLUGINS", " first_plugin, second_plugin,")
        load_plugins("textloom.nothing")
        assert {"first_plugin", "second_plugin"} <= set(sys.modules)

    def test_a_module_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEXTLOOM_PLUGINS", "not_there")
        with pytest.raises(PluginError, match=r"^TEXTLOOM_PLUGINS=not_there: .*; install its package, or add its fol"):
            load_plugins("textloom.nothing")

    def test_a_module_that_fails_is_named_in_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "failing_plugin.py").write_text("raise RuntimeError('two\\nlines')\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("TEXTLOOM_PLUGINS", "failing_plugin")
        with pytest.raises(PluginError, match=r"failing_plugin: .* RuntimeError: two lines; repair it, or leave it"):
            load_plugins("textloom.nothing")

    def test_an_entry_point_that_fails_is_named_with_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _install(tmp_path, monkeypatch, "[textloom.shapes]\nround = not_there.shapes\n")
        with pytest.raises(PluginError, match=r"^textloom\.shapes: the plugin round of made-up \(not_there\.shapes\) "):
            load_plugins("textloom.shapes")
        load_plugins("textloom.cubes")  # another group is not affected

    def test_an_entry_point_registers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "round_plugin.py").write_text(
            "import test_plugins\ntest_plugins.late.add(test_plugins.CircleConfig, print)\n"
        )
        _install(tmp_path, monkeypatch, "[textloom.shapes]\nround = round_plugin\n")
        assert late.names == ("circle", "disc")


late = Registry[ShapeConfig]("shape", "textloom.shapes", key="shape")


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    """What pip leaves of a package ``made-up`` with these entry points."""
    metadata = folder / "made_up-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(folder)
