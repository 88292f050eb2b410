"""Exports: an export evaluates and generates like its run, and a changed export is refused."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import load_file

from conftest import Answer, compose_train, train_run
from textloom.config import CELLS
from textloom.data.encoding import load_splits
from textloom.errors import RunError, TextloomError
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.export.onnx import export_onnx
from textloom.runs.checkpoints import load_model
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.system.files import read_checked_text, read_json, write_checked_text, write_json

TIED = ("model.embedding_dim=8", "model.tied_weights=true")
ONE_HOT_ROWS = ("model.embedding_dim=null", "model.units=16")
ONE_HOT_INDEX = (
    "model.embedding_dim=null",
    "model.units=4",
    "model.input_dropout=0",
)  # too few for the toy text's characters: no rows
EMBEDDING = ("model.embedding_dim=6",)
PROJECTED = ("model.embedding_dim=6", "model.tied_weights=true", "model.output_projection=true")
ADAPTIVE = ("model.units=16", "model.softmax_cutoffs=[8,20]")
FORMS = (TIED, EMBEDDING, ONE_HOT_ROWS, ONE_HOT_INDEX, ADAPTIVE)
OF_TORCH = ("lstm", "gru", "rnn")  # the others compute forward_one_hot and states of their own, and nothing else
MODELS = [(cell, layers, form) for cell in OF_TORCH for layers in (1, 2) for form in FORMS] + [
    (cell, 2, form) for cell in CELLS.names if cell not in OF_TORCH for form in (PROJECTED, ONE_HOT_INDEX)
]


@pytest.fixture(scope="module")
def toy_export(toy_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An export of the toy run that tests only read."""
    directory = tmp_path_factory.mktemp("exports") / "toy"
    export_run(toy_run, directory)
    return Run(directory)


@pytest.fixture
def export(toy_export: Run, tmp_path: Path) -> Run:
    """An export to damage."""
    return Run(Path(shutil.copytree(toy_export.directory, tmp_path / "copy")))


def same_weights(one: Run, other: Run) -> bool:
    a, b = (load_model(run, "best")[2].state_dict() for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class TestTheFolder:
    def test_it_holds_what_is_promised_and_no_training_text(self, toy_run: Run, toy_export: Run) -> None:
        files = {str(path.relative_to(toy_export.directory)) for path in toy_export.directory.glob("**/*.*")}
        tokens = {f"tokens/{part}.{kind}" for part in ("val", "test") for kind in ("tokens", "boundaries", "json")}
        assert files == tokens | {"README.md", "config.json", "model.safetensors", "results.json", "tokenizer.json"}
        assert toy_export.results() == toy_run.results()
        assert toy_export.config().model == toy_run.config().model

    def test_evaluating_it_gives_the_runs_figures_to_the_last_digit(self, toy_run: Run, toy_export: Run) -> None:
        figures = evaluate_run(toy_export)
        assert figures == evaluate_run(toy_run)
        assert figures.items() <= toy_run.results().items()

    @pytest.mark.parametrize("prompt", [[], ["prompt=learn"]])
    def test_the_commands_say_the_same_of_it_as_of_the_run(
        self, command: Callable[..., Answer], toy_run: Run, toy_export: Run, prompt: list[str]
    ) -> None:
        texts = [
            command("generate", f"run={run.directory}", "seed=3", "length=40", *prompt).out
            for run in (toy_run, toy_export)
        ]
        assert texts[0] == texts[1] != ""
        figures = [command("evaluate", f"run={run.directory}").out for run in (toy_run, toy_export)]
        assert figures[0] == figures[1] != ""

    def test_no_directory_of_this_machine_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/book.txt").write_text("one two three four\n\n" * 40)
        (tmp_path / "secret/held_out.txt").write_text("one two three four five\n\n" * 9)
        held_out = f"data.validation_path={tmp_path}/secret/held_out.txt"
        data = ("data=text_files", f"data.path={tmp_path}/secret/book.txt", held_out, "data.test_fraction=0")
        export_run(train_run(tmp_path / "run", *data), tmp_path / "export")
        card, config = ((tmp_path / "export" / name).read_text() for name in ("README.md", "config.json"))
        assert "secret" not in card + config
        assert "| files | `book.txt` |" in card
        assert "The licence of the training text is not known to textloom; state it here." in card
        assert not list((tmp_path / "export/tokens").glob("test.*"))
        assert evaluate_run(Run(tmp_path / "export")).items() <= read_json(tmp_path / "run/results.json").items()

    def test_ids_on_the_hub_stay_whole(self, toy_run: Run, tmp_path: Path) -> None:
        hub = ("data=hub", "data.path=owner/corpus", "tokenizer=pretrained", "tokenizer.path=owner/tokenizer")
        config = compose_train(*hub).model_dump(mode="json")
        run = Run(Path(shutil.copytree(toy_run.directory, tmp_path / "run")))
        values = yaml.safe_load(read_checked_text(run.config_file))
        values |= {"data": config["data"], "tokenizer": config["tokenizer"]}
        write_checked_text(run.config_file, yaml.safe_dump(values))
        export_run(run, tmp_path / "export")
        exported = read_json(tmp_path / "export/config.json")["config"]
        assert (exported["data"]["path"], exported["tokenizer"]["path"]) == ("owner/corpus", "owner/tokenizer")

    def test_the_figures_are_those_of_the_exported_checkpoint(self, tmp_path: Path) -> None:
        run = train_run(tmp_path / "run", "trainer.max_epochs=2", "optimizer.learning_rate=3.0")
        shutil.copy(train_run(tmp_path / "other", "seed=7").checkpoint_file("last"), run.checkpoint_file("last"))
        export_run(run, tmp_path / "export", "last")
        figures = evaluate_run(Run(tmp_path / "export"))
        assert figures.items() <= Run(tmp_path / "export").results().items()
        assert figures == evaluate_run(run, "last") != evaluate_run(run, "best")


class TestTheCard:
    def test_it_says_what_it_is_and_how_to_use_it(self, toy_run: Run, toy_export: Run) -> None:
        card = (toy_export.directory / "README.md").read_text()
        results, made = toy_run.results(), read_json(toy_run.provenance_file)
        characters = sum(part.characters for part in load_splits(toy_run.tokens).values())
        for fact in (
            "| cell | lstm |", "| units | 32 |", f"| parameters | {results['parameters']:,} |", "| kind | toy |",
            f"| characters in all | {characters:,} |", made["data_fingerprint"],
            f"| val/loss | {results['val/loss']:.6g} |", "| test/bits_per_char |",
            "textloom generate run=FOLDER prompt=", "textloom evaluate run=FOLDER",
            f"| torch | {torch.__version__} |", "MIT",
        ):  # fmt: skip
            assert fact in card

    def test_patents_name_their_licence(self, tmp_path: Path) -> None:
        rows = "".join(f'"Network {i} learns.",2018-05-29,{i},Net\n' for i in range(60))
        (tmp_path / "patents.csv").write_text("patent_abstract,patent_date,patent_number,patent_title\n" + rows)
        export_run(train_run(tmp_path / "run", "data=patents", "data.path=patents.csv"), tmp_path / "export")
        licence = "Patent abstracts: PatentsView (www.patentsview.org, now USPTO Open Data Portal), CC BY 4.0."
        assert licence in (tmp_path / "export/README.md").read_text()


class TestWeights:
    @pytest.mark.parametrize(("cell", "form"), [(cell, form) for cell, layers, form in MODELS if layers == 2])
    def test_every_model_comes_back_bit_for_bit(self, cell: str, form: tuple[str, ...], tmp_path: Path) -> None:
        run = train_run(tmp_path / "run", "trainer=debug", f"model={cell}", "model.layers=2", *form)
        export_run(run, tmp_path / "export")
        assert same_weights(run, Run(tmp_path / "export"))

    def test_tied_weights_lie_there_once_and_come_back_tied(self, tmp_path: Path) -> None:
        run = train_run(tmp_path / "run", "trainer=debug", *TIED)
        export_run(run, tmp_path / "export")
        model = load_model(Run(tmp_path / "export"), "best")[2]
        assert model.embedding is not None
        assert model.softmax.weight is model.embedding.weight
        stored = load_file(tmp_path / "export/model.safetensors")
        assert sum(weight.numel() for weight in stored.values()) == run.results()["parameters"]
        assert evaluate_run(Run(tmp_path / "export")) == evaluate_run(run)


class TestRefusals:
    """In one line that names the thing, what is wrong with it, and the cure."""

    def test_damaged_weights(self, export: Run) -> None:
        content = bytearray(export.weights_file.read_bytes())
        content[-1] ^= 1
        export.weights_file.write_bytes(content)
        with pytest.raises(RunError, match=r"model\.safetensors: damaged: not what was exported; restore it"):
            load_model(export, "best")

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "tokens/val.json", "tokens/test.json"])
    def test_a_missing_file(self, export: Run, name: str, command: Callable[..., Answer]) -> None:
        (export.directory / name).unlink()
        answer = command("evaluate", f"run={export.directory}")
        assert answer.status == 2
        *progress, told = answer.err.splitlines()
        assert progress == [f"run: {export.directory}"]
        assert told.startswith(str(export.directory / name).removesuffix("/val.json").removesuffix("/test.json"))
        assert re.search("; (restore it|give a complete)", told)

    def test_another_tokenizer(self, export: Run) -> None:
        text = export.tokenizer_file.read_text()
        export.tokenizer_file.write_text(text + "\n")
        with pytest.raises(RunError, match=r"tokenizer\.json: damaged"):
            load_model(export, "best")

    @pytest.mark.parametrize("content", ["", "[]", '{"model_type": "gpt2"}'])
    def test_damaged_config(self, export: Run, content: str) -> None:
        export.export_file.write_text(content)
        with pytest.raises(RunError, match=r"config\.json: damaged"):
            load_model(export, "best")

    def test_changed_config(self, export: Run) -> None:
        export.export_file.write_text(export.export_file.read_text().replace('"units": 32', '"units": 33'))
        with pytest.raises(RunError, match=r"config\.json: damaged"):
            load_model(export, "best")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"format": "textloom export 9"},
                r"config\.json: textloom export 9, which this version does not read; use the textloom that exported it",
            ),
            ({"config": {}}, r"config\.json: .* is missing; .* use the textloom that exported it"),
        ],
    )
    def test_a_config_of_another_textloom(self, export: Run, change: dict[str, object], message: str) -> None:
        write_json(export.export_file, {**read_json(export.export_file), **change})
        with pytest.raises(RunError, match=message) as caught:
            load_model(export, "best")
        assert "\n" not in str(caught.value)

    def test_no_config(self, export: Run) -> None:
        export.export_file.unlink()
        with pytest.raises(RunError, match="not a run directory"):
            find_run(str(export.directory), Path("outputs"))

    def test_weights_of_another_model(self, export: Run, tmp_path: Path) -> None:
        export_run(train_run(tmp_path / "run", "trainer=debug", "model=gru"), tmp_path / "other")
        other = Run(tmp_path / "other")
        shutil.copy(other.weights_file, export.weights_file)
        checksums = {"weights_sha256": read_json(other.export_file)["weights_sha256"]}
        write_json(export.export_file, {**read_json(export.export_file), **checksums})
        with pytest.raises(RunError, match="do not fit the run's config"):
            load_model(export, "best")

    def test_a_directory_that_holds_something_is_left_as_it_is(self, toy_run: Run, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full/thesis.txt").write_text("mine")
        with pytest.raises(RunError, match="full: the directory is not empty; give one that is"):
            export_run(toy_run, tmp_path / "full")
        assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]

    def test_a_directory_that_cannot_be_written(self, toy_run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for directory in (tmp_path / "file", tmp_path / "file/below"):
            with pytest.raises(RunError, match=r"cannot be written \(Not a directory\); give another directory"):
                export_run(toy_run, directory)

    def test_the_training_split_is_absent_and_asking_for_it_is_an_error(self, toy_export: Run) -> None:
        with pytest.raises(RunError, match=r"tokens: the tokens of the train split are missing; give a complete"):
            load_splits(toy_export.tokens)["train"]

    def test_an_export_of_an_export(self, toy_export: Run, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="is an export already; copy the folder"):
            export_run(toy_export, tmp_path / "again")

    def test_damaged_runs_leave_nothing_behind(self, toy_run: Run, tmp_path: Path) -> None:
        run = Run(Path(shutil.copytree(toy_run.directory, tmp_path / "copy")))
        run.checkpoint_file("best").write_bytes(b"damaged")
        with pytest.raises(RunError, match=r"best\.ckpt: damaged"):
            export_run(run, tmp_path / "export")
        assert not (tmp_path / "export").exists()


class TestOnnx:
    @pytest.mark.parametrize(("cell", "layers", "form"), MODELS)
    def test_onnxruntime_fed_with_its_own_state_computes_our_logits(
        self, cell: str, layers: int, form: tuple[str, ...], tmp_path: Path
    ) -> None:
        run = train_run(tmp_path / "run", "trainer=debug", f"model={cell}", f"model.layers={layers}", *form)
        export_onnx(run, tmp_path / "model.onnx")
        onnx.checker.check_model(str(tmp_path / "model.onnx"))
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        model = load_model(run, "best")[2]
        assert ("one_hot_rows" in dict(model.named_buffers())) == (form == ONE_HOT_ROWS)
        state = model.initial_state(3)
        names = ["hidden", "cell"][: len(state)] if cell in OF_TORCH else [*model.state_names]
        assert [part.name for part in session.get_inputs()] == ["token", *names]
        assert [part.name for part in session.get_outputs()] == ["logits", *(f"next_{name}" for name in names)]
        theirs = [part.numpy() for part in state]
        tokens = torch.randint(model.vocabulary_size, (20, 3), generator=torch.Generator().manual_seed(0))
        for token in tokens:
            with torch.no_grad():
                hidden, state = model(token[:, None], state)
                ours = model.logits(hidden[:, -1]).numpy()
            logits, *theirs = session.run(None, {"token": token.numpy(), **dict(zip(names, theirs, strict=True))})
            np.testing.assert_allclose(logits, ours, rtol=0, atol=1e-5)

    def test_any_batch_fits(self, toy_run: Run, tmp_path: Path) -> None:
        export_onnx(toy_run, tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        for batch in (1, 7):
            state = np.zeros((1, batch, 32), dtype=np.float32)
            inputs = {"token": np.zeros(batch, dtype=np.int64), "hidden": state, "cell": state}
            logits, hidden, cell = session.run(None, inputs)
            assert logits.shape == (batch, toy_run.results()["vocabulary_size"])
            assert hidden.shape == cell.shape == state.shape

    def test_an_export_folder_gives_the_same_graph_in_silence(
        self, toy_run: Run, toy_export: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for name, run in (("run", toy_run), ("export", toy_export)):
            export_onnx(run, tmp_path / f"{name}.onnx")
        assert (tmp_path / "run.onnx").read_bytes() == (tmp_path / "export.onnx").read_bytes()
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
    def test_a_missing_package_is_reported_in_one_line(
        self, toy_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(TextloomError) as caught:
            export_onnx(toy_run, tmp_path / "model.onnx")
        assert str(caught.value) == f"{package}: not installed; install it with: pip install 'textloom[onnx]'"
        assert not (tmp_path / "model.onnx").exists()

    def test_a_graph_that_computes_something_else_is_not_written(
        self, toy_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from textloom.export import onnx as onnx_export

        original = onnx_export._graph

        def shifted(step: onnx_export.SingleStep) -> bytes:
            with torch.no_grad():
                step.model.softmax.bias += 1
                graph = original(step)
                step.model.softmax.bias -= 1
            return graph

        monkeypatch.setattr(onnx_export, "_graph", shifted)
        with pytest.raises(RunError, match="onnxruntime computes other logits than torch"):
            export_onnx(toy_run, tmp_path / "model.onnx")
        assert not (tmp_path / "model.onnx").exists()

    def test_a_place_that_cannot_be_written(self, toy_run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "model.onnx").mkdir()
        with pytest.raises(RunError, match=r"file: cannot be written \(File exists\); give another directory"):
            export_onnx(toy_run, tmp_path / "file/model.onnx")
        with pytest.raises(RunError, match=r"model\.onnx: exists already"):
            export_onnx(toy_run, tmp_path / "model.onnx")

    def test_no_file_is_overwritten(self, toy_run: Run, tmp_path: Path) -> None:
        for name in ("model.onnx", "model.tokenizer.json"):
            (tmp_path / name).write_text("something else")
            with pytest.raises(RunError, match=rf"{name}: exists already; give another name"):
                export_onnx(toy_run, tmp_path / "model.onnx")
            assert [path.name for path in tmp_path.iterdir()] == [name]
            assert (tmp_path / name).read_text() == "something else"
            (tmp_path / name).unlink()
        export_onnx(toy_run, tmp_path / "model.onnx")
        assert (tmp_path / "model.tokenizer.json").read_bytes() == toy_run.tokenizer_file.read_bytes()

    def test_folders_on_the_way_are_made(self, toy_run: Run, tmp_path: Path) -> None:
        export_onnx(toy_run, tmp_path / "exports/toy/model.onnx")
        onnx.checker.check_model(str(tmp_path / "exports/toy/model.onnx"))


def test_the_config_is_plain_json(toy_export: Run) -> None:
    content = json.loads(toy_export.export_file.read_text())
    assert content["format"] == "textloom export 1"
    assert content["config"]["model"]["units"] == 32
    assert content["config"]["samples"]["prompt"]  # the training text, whose beginning it was, stays behind
