"""Plugins: cells, tokenizers and sources from outside the package are found, checked, and work like those inside."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import onnxruntime
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import nn

from conftest import TINY, Answer, compose_train, train_run
from textloom.config import CELLS, ModelConfig, Section
from textloom.config.keys import Form, keys_of
from textloom.errors import ConfigError, Interrupted, PluginError, RunError
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.export.onnx import export_onnx
from textloom.models.cells import Cell
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import count
from textloom.models.state import State
from textloom.plugins import config_directories, load_plugins
from textloom.registry import OneOf, Registry, kind_alias
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from training.test_resume import assert_equal_runs, resume, signal_at, start

__all__ = ["signal_at"]


class ShapeConfig(Section):
    model_config = kind_alias("shape")
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

    def test_the_yaml_files_beside_a_module_are_found_without_importing_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "conf").mkdir()
        (tmp_path / "yaml_plugin.py").write_text("raise RuntimeError\n")
        _install(tmp_path, monkeypatch, "[textloom.sources]\nround = yaml_plugin\nsquare = not_there.module\n")
        assert config_directories() == [tmp_path / "conf"]


late = Registry[ShapeConfig]("shape", "textloom.shapes", key="shape")


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    """The installed files of a package ``made-up`` with these entry points."""
    metadata = folder / "made_up-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(folder)


LEAKY = '''
"""A cell of a plugin: leaky units, with a state whose batch comes first and a clock beside it."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from textloom.config import CELLS, ModelConfig
from textloom.models.cells import Cell, stacked


class LeakyConfig(ModelConfig):
    """Leaky tanh units."""

    kind: Literal["leaky"]
    leak: Annotated[float, Field(gt=0, le=1)]
    """Share of a unit's state that each step replaces."""


@CELLS.register(LeakyConfig)
@stacked
class Leaky(Cell):
    def __init__(self, config, input_size):
        super().__init__()
        self.leak = config.leak
        self.enter = nn.Linear(input_size, config.units)
        self.recur = nn.Linear(config.units, config.units, bias=False)

    def initial_state(self, batch_size):
        hidden = self.recur.weight.new_zeros(batch_size, len(self.recur.weight))
        return hidden, torch.zeros_like(hidden[:, 0], dtype=torch.long)

    def forward(self, vectors, state):
        (hidden, clock), outputs = state, []
        for entered in self.enter(vectors).unbind(1):
            hidden = (1 - self.leak) * hidden + self.leak * torch.tanh(entered + self.recur(hidden))
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden, clock + vectors.shape[1])
'''
LEAKY_YAML = "defaults: [rnn, _self_]\ncell: leaky\nleak: 0.5\n"


@pytest.fixture
def leaky(plug_in: Callable[..., None]) -> None:
    plug_in("leaky", LEAKY, model=f"leaky:{LEAKY_YAML}")


SMALL = ["model=leaky", "model.layers=2", "model.layer_dropout=0.3", "trainer.batch_size=16", "batching.steps=16"]


@pytest.mark.usefixtures("leaky")
class TestACell:
    """One Python file and one YAML file from outside the package are a cell like any other."""

    def test_an_interrupted_run_is_resumed_bit_for_bit(
        self,
        tmp_path: Path,
        signal_at: Callable[..., None],
    ) -> None:
        whole = start(tmp_path / "whole", [*TINY, *SMALL])
        signal_at(5)
        with pytest.raises(Interrupted):
            start(tmp_path / "cut", [*TINY, *SMALL])
        assert_equal_runs(resume(tmp_path / "cut"), whole)
        assert whole.config().model.leak == 0.5
        assert yaml.safe_load(whole.config_file.read_text())["model"]["cell"] == "leaky"

    def test_it_is_evaluated_exported_compared_and_generates(
        self, command: Callable[..., Answer], tmp_path: Path
    ) -> None:
        run = train_run(tmp_path / "outputs/leaky", *SMALL, "model.leak=0.25")
        train_run(tmp_path / "outputs/rnn", "model=rnn", "trainer.batch_size=8")
        assert evaluate_run(run).items() <= run.results().items()
        export_run(run, tmp_path / "export")
        assert evaluate_run(Run(tmp_path / "export")) == evaluate_run(run)
        texts = [command("generate", f"run={name}", "seed=1", "prompt=deep").out for name in (run.directory, "export")]
        assert texts[0] == texts[1] != ""
        compared = command("compare", "runs=outputs/**")
        assert compared.status == 0, compared.err
        assert "leaky" in compared.out

    @pytest.mark.parametrize("window", [None, 1, 6])
    @pytest.mark.parametrize(
        "inputs", [{"embedding_dim": 5}, {"embedding_dim": None}, {"embedding_dim": None, "units": 3}]
    )
    def test_generation_by_step_equals_reading_the_whole_sequence(
        self, inputs: dict[str, Any], window: int | None
    ) -> None:
        config = compose_train("model=leaky", "model.units=12", "model.layers=2", "model.output_dropout=0").model
        model = RecurrentLanguageModel(config.model_copy(update=inputs), 17).eval()
        tokens = torch.randint(17, (3, 20), generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            decoder = model.decoder(3, window)
            for time in range(20):
                decoder.read(tokens[:, time])
                context = tokens[:, max(0, time + 1 - window) if window else 0 : time + 1]
                assert torch.allclose(decoder.score(), model.logits(model(context)[0][:, -1]), atol=1e-5)

    def test_a_budget_of_parameters_gives_it_its_units(self, tmp_path: Path) -> None:
        run = train_run(tmp_path / "run", *SMALL, "model.units=auto", "model.parameters=5e3", "trainer=debug")
        model, units = load_model(run, "best")[2], run.config().model.units
        assert parameter_count(model) == count(run.config().model, units, model.vocabulary_size) <= 5000
        assert count(run.config().model, units + 1, model.vocabulary_size) > 5000

    def test_it_is_written_as_onnx(self, tmp_path: Path) -> None:
        run = train_run(tmp_path / "run", *SMALL, "trainer=debug")
        export_onnx(run, tmp_path / "leaky.onnx")  # which compares the graph with the model
        graph = onnxruntime.InferenceSession(tmp_path / "leaky.onnx", providers=["CPUExecutionProvider"])
        assert [one.name for one in graph.get_inputs()] == ["token", "state_0", "state_1", "state_2", "state_3"]

    def test_its_keys_are_checked_and_explained(self, command: Callable[..., Answer]) -> None:
        wrong = command("train", "model=leaky", "model.leak=2")
        assert wrong.status == 2
        assert "model.leak=2: must be less than or equal to 1 (Share of a unit's state that each step" in wrong.err
        assert "Share of a unit's state" in command("train", "--help").out

    def test_without_its_plugin_a_run_names_the_cell_and_the_cure_and_imports_nothing(
        self, tmp_path: Path, unplug: Callable[[str, str], None]
    ) -> None:
        run = train_run(tmp_path / "run", *SMALL, "trainer=debug")
        unplug("leaky", "leaky")
        with pytest.raises(
            RunError, match=r"config\.yaml: model\.cell=leaky: must be one of 'lstm', .*TEXTLOOM_PLUGINS;"
        ):
            load_model(run, "best")
        assert "leaky" not in sys.modules


class FaultyConfig(ModelConfig):
    kind: Literal["faulty"]


class Good(Cell):
    """A cell without fault, to change."""

    def __init__(self, config: ModelConfig, input_size: int):
        super().__init__()
        self.enter = nn.Linear(input_size, config.units)

    def initial_state(self, batch_size: int) -> State:
        return (torch.zeros(batch_size, 4),)

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        return self.enter(vectors), (state[0] + 1,)


LETTERS = '''
"""A tokenizer that knows letters and spaces, and a source with a document in each line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from textloom.config.data import SOURCES
from textloom.config.section import PathText
from textloom.config.source_keys import SplitKeys
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.data.sources import Source
from textloom.system.files import file_checksum
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.base import Encoded

LETTERS = " abcdefghijklmnopqrstuvwxyz"


class LetterTokenizerConfig(TokenizerConfig):
    """Letters and spaces."""

    kind: Literal["letters"]
    upper: bool
    """Write capital letters."""


@TOKENIZERS.register(LetterTokenizerConfig)
@dataclass(frozen=True)
class LetterTokenizer(Tokenizer):
    kind: ClassVar[str] = "letters"
    upper: bool
    vocabulary_size: ClassVar[int] = len(LETTERS) + 2
    unknown_id: ClassVar[int] = len(LETTERS)
    end_id: ClassVar[int] = len(LETTERS) + 1

    @classmethod
    def fit(cls, documents, upper):
        return cls(upper)

    def decode(self, ids):
        text = "".join(LETTERS[i] for i in ids if i < len(LETTERS))
        return text.upper() if self.upper else text

    def to_dict(self):
        return {"level": self.kind, "upper": self.upper}

    def safe_cut(self, text):
        return text, ""

    def _encode(self, text):
        ids = [LETTERS.find(letter) for letter in text.lower()]
        unknown = [letter for letter, i in zip(text, ids, strict=False) if i < 0]
        return Encoded(np.array([i if i >= 0 else self.unknown_id for i in ids], dtype=self.dtype), unknown)


class LinesConfig(SplitKeys):
    """A text file with a document in each line."""

    kind: Literal["letters"]
    path: PathText
    """The file."""


@SOURCES.register(LinesConfig)
class Lines(Source[LinesConfig]):
    unit = "line"

    def read(self, normalizer, notes):
        return {"train": [(line, True) for line in Path(self.config.path).read_text().splitlines()]}

    def identity(self):
        return [file_checksum(Path(self.config.path))]
'''


class TestATokenizerAndASource:
    """From outside the package too."""

    @pytest.fixture(autouse=True)
    def _installed(self, plug_in: Callable[..., None], tmp_path: Path) -> None:
        data = "letters:defaults: [toy, _self_]\nkind: letters\npath: ???\n"
        plug_in("letters", LETTERS, tokenizer="letters:level: letters\nupper: true\n", data=data)
        (tmp_path / "lines.txt").write_text("".join(f"line {number} learns deep\n" * 2 for number in range(200)))

    def test_a_run_trains_resumes_evaluates_generates_and_is_exported(
        self, command: Callable[..., Answer], tmp_path: Path
    ) -> None:
        keys = ["data=letters", "data.path=lines.txt", "tokenizer=letters", "trainer.batch_size=8"]
        run = train_run(tmp_path / "run", *keys)
        assert run.results()["vocabulary_size"] == 29
        steps = run.results()["steps"]
        assert resume(run.directory, ["trainer.max_epochs=2"]).results()["steps"] == 2 * steps
        assert evaluate_run(run).items() <= run.results().items()
        export_run(run, tmp_path / "export")
        assert evaluate_run(Run(tmp_path / "export")) == evaluate_run(run)
        texts = [command("generate", f"run={name}", "seed=1", "prompt=line").out for name in ("run", "export")]
        assert texts[0] == texts[1] != ""
        assert yaml.safe_load(run.config_file.read_text())["tokenizer"] == {"level": "letters", "upper": True}

    def test_a_tokenizer_that_is_not_here_is_named(self, tmp_path: Path, unplug: Callable[[str, str], None]) -> None:
        run = train_run(tmp_path / "run", "data=letters", "data.path=lines.txt", "tokenizer=letters", "trainer=debug")
        unplug("letters", "letters")
        with pytest.raises(RunError, match=r"data\.kind=letters: must be one of .*TEXTLOOM_PLUGINS"):
            load_model(run, "best")


@pytest.mark.usefixtures("own_registries")
@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["model.units=8"]])
def test_a_plugin_that_fails_ends_every_command_in_one_line(
    arguments: list[str], command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTLOOM_PLUGINS", "not_there")
    answer = command("train", *arguments)
    assert answer.status == 2
    assert answer.err.startswith("TEXTLOOM_PLUGINS=not_there: cannot be imported: ModuleNotFoundError")
    assert answer.err.count("\n") == 1


@pytest.mark.usefixtures("own_registries")
class TestAFaultyCell:
    """Refused in one line when a model is built."""

    def build(self, target: Any) -> RecurrentLanguageModel:
        CELLS.add(FaultyConfig, target)
        values = compose_train("model=rnn", "model.units=4").model.model_dump()
        return RecurrentLanguageModel(FaultyConfig.model_validate({**values, "cell": "faulty"}), 9)

    def test_one_without_fault_is_not_refused_and_its_check_uses_up_no_random_numbers(self) -> None:
        class Noisy(Good):
            def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
                return super().forward(torch.rand_like(vectors), state)

        weights = []
        for cell in (Good, Noisy):
            torch.manual_seed(0)
            weights.append(self.build(cell).softmax.weight)
        assert torch.equal(*weights)

    @pytest.mark.parametrize(
        ("forward", "message"),
        [
            (
                lambda cell, v, s: (cell.enter(v).transpose(0, 1), s),
                r"hidden states \(3, 2, 4\), not \(2, 3, 4\) ",
            ),
            (
                lambda cell, v, s: (cell.enter(v), s + s),
                r"the state tuple \[\(2, 4\), \(2, 4\)\], and was given",
            ),
            (lambda cell, v, s: (cell.enter(v), (s[0][:1],)), r"the state tuple \[\(1, 4\)\], and was given"),
            (lambda cell, v, s: (cell.enter(v), s[0]), r"the state \(2, 4\), and was given"),
            (lambda cell, v, s: (cell.enter(v), (s[0].long(),)), r"the state tuple \[\(2, 4\) int64\], and was given"),
            (lambda cell, v, s: cell.enter(v), r"gives \(2, 3, 4\), not hidden states and a state"),
            (lambda cell, v, s: v @ v, "its first step fails: RuntimeError: "),
        ],
    )
    def test_wrong_outputs(self, forward: Any, message: str) -> None:
        class Faulty(Good):
            pass

        Faulty.forward = forward
        with pytest.raises(PluginError, match=rf"^model\.cell=faulty: .*{message}.*; repair .*Faulty$"):
            self.build(Faulty)

    def test_what_cannot_be_built_or_is_no_cell(self) -> None:
        with pytest.raises(PluginError, match=r"^model\.cell=faulty: .* gives a Linear; derive it from textloom\."):
            self.build(type("Linear", (nn.Linear,), {"__init__": lambda self, c, size: nn.Linear.__init__(self, 1, 1)}))
        with pytest.raises(PluginError, match=r"^model\.cell=faulty: .*LSTM cannot be built: .*; repair it$"):
            self.build(nn.LSTM)
