"""The Python interface does what the command line does, and leaves the caller's process as it was."""

import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

import textloom
from conftest import TINY, Answer
from textloom.config import PrepareConfig, TrainConfig
from textloom.config.compose import as_overrides, compose
from textloom.runs.run import Run as RunDirectory
from textloom.training import preparation

QUICK = {"max_epochs": 1, "precision": "32-true"}
SMALL: dict[str, Any] = {
    "model": {"units": 8},
    "samples": {"length": 5},
    "trainer": QUICK,
}
NASTY = [
    "",
    " a  b ",
    "null",
    "true",
    "1e3",
    "???",
    "a,b",
    "[a]",
    "{a: b}",
    "${seed}",
    "${",
    "\\${x}",
    "'\"`\\",
    "a=b#c",
    "~",
    "line\nline\ttab",
    "\u2028\x00\x7f",
    "早期 \U0001f600",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> textloom.Run:
    """A trained run that tests only read."""
    return textloom.train("trainer.max_epochs=2", directory=tmp_path_factory.mktemp("runs") / "one", **SMALL)


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def test_importing_imports_nothing_that_takes_time() -> None:
    code = "import sys, textloom; print(*{'torch', 'hydra', 'omegaconf', 'pydantic', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


def test_the_package_names_what_it_offers() -> None:
    assert {name for name in textloom.__all__ if not hasattr(textloom, name)} == set()
    assert set(textloom.__all__) <= set(dir(textloom))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        textloom.trian  # noqa: B018
    assert issubclass(textloom.ConfigError, textloom.TextloomError)


def test_overrides_and_keywords_make_one_run(run: textloom.Run) -> None:
    assert run.config.trainer.max_epochs == 1  # keywords come last
    assert run.config.model.units == 8
    assert run.results["val/loss"] == run.evaluate()["val/loss"]
    assert run.status == "completed"
    assert run.tokenizer.vocabulary_size == run.results["vocabulary_size"]
    assert sum(p.numel() for p in run.model.parameters()) == run.results["parameters"]
    assert "completed, val/loss" in repr(run)
    assert "data: one document" in (run.directory / "train.log").read_text()


def test_numbers_are_those_of_the_command_line(run: textloom.Run, command: Callable[..., Answer]) -> None:
    answer = command(
        "train",
        "model.units=8",
        "samples.length=5",
        "trainer.max_epochs=1",
        "trainer.precision=32-true",
        "hydra.run.dir=typed",
    )
    assert answer.status == 0, answer.err
    typed = RunDirectory(Path("typed"))
    assert typed.config() == run.config
    assert typed.results()["val/loss"] == run.results["val/loss"]
    assert typed.results()["test/bits_per_char"] == run.results["test/bits_per_char"]
    assert typed.samples_file.read_text() == (run.directory / "samples.txt").read_text()


def test_the_first_steps_in_a_notebook() -> None:
    Path("my text.txt").write_text("to be or not to be, that is the question\n" * 50)
    run = textloom.train("model.units=8", "data=text_files", data={"path": "my text.txt"}, name="mine", trainer=QUICK)
    assert run.directory.parent == Path("outputs/mine").absolute()
    assert run.results["val/loss"] > 0
    assert run.generate("to be", length=10).startswith("to be")
    assert run.score("to be or not").tokens == 12
    assert textloom.load().directory.resolve() == textloom.load("best").directory.resolve() == run.directory
    table = textloom.compare(["outputs/**"]).to_pandas()
    assert table.loc[table["verdict"] == "best", "val/bits_per_char"].item() == run.results["val/bits_per_char"]


def test_generated_text_is_that_of_the_command_line(run: textloom.Run, command: Callable[..., Answer]) -> None:
    typed = command("generate", f"run={run.directory}", "prompt=deep learn", "length=30", "seed=3", "temperature=0.7")
    assert run.generate("deep learn", 30, seed=3, temperature=0.7) == typed.out.removesuffix("\n")
    texts = run.generate_texts(2, "deep learn", 30, seed=3, temperature=0.7)
    assert texts[0] == typed.out.removesuffix("\n")
    assert texts[1] != texts[0]
    assert run.generate(length=3, seed=0).startswith(run.generate(length=1, seed=0))


def test_the_score_of_the_held_out_text_is_that_of_the_evaluation(run: textloom.Run) -> None:
    from textloom.data.encoding import load_splits

    val = load_splits(run.directory / "tokens")["val"]
    score = run.score(run.tokenizer.decode(val.tokens[1:].tolist()))
    assert (score.tokens, score.characters, score.unknown) == (val.targets, val.characters, 0)
    assert score.loss == run.results["val/loss"]
    assert score.perplexity == run.results["val/perplexity"]
    assert score.bits_per_char == pytest.approx(run.results["val/bits_per_char"], rel=1e-15, abs=0)
    assert score.nats == score.loss * score.tokens


def test_the_end_of_a_document_is_scored_on_request(run: textloom.Run) -> None:
    inside, whole = run.score("deep learning"), run.score("deep learning", ends=True)
    assert (inside.tokens, whole.tokens) == (13, 14)
    assert whole.nats > inside.nats


def test_what_is_unknown_has_no_bits_per_character(run: textloom.Run) -> None:
    score = run.score("deep ☃")
    assert score.unknown == 1
    assert score.bits_per_char is None
    with pytest.raises(textloom.DataError, match="the text is empty"):
        run.score("")


def test_an_export_is_loaded_like_a_run(run: textloom.Run) -> None:
    export = textloom.load(run.export("portable"))
    assert export.status == "export"
    assert export.evaluate()["val/loss"] == run.results["val/loss"]
    assert export.generate("deep", 20, seed=1) == run.generate("deep", 20, seed=1)


def test_a_resumed_run_ends_as_if_it_had_never_stopped() -> None:
    keys: dict[str, Any] = {**SMALL, "trainer": {"max_epochs": 1, "val_check_interval": 1.0, "precision": "32-true"}}
    first = textloom.train(directory="cut", **keys)
    assert first.resume().results == first.results  # completed: nothing is left to do
    longer = first.resume("trainer.max_epochs=3")
    whole = textloom.train("trainer.max_epochs=3", directory="whole", model={"units": 8}, samples={"length": 5},
                           trainer={"val_check_interval": 1.0, "precision": "32-true"})  # fmt: skip
    assert longer.results["val/loss"] == whole.results["val/loss"]
    again = textloom.train(f"resume={longer.directory}", trainer={"max_epochs": 4})
    assert again.directory == longer.directory
    assert again.results["steps"] > longer.results["steps"] // 3 * 3
    with pytest.raises(textloom.ConfigError, match=r"^model.units=9: the run was made with model.units=8"):
        first.resume(model={"units": 9})


def test_comparisons_are_rows(run: textloom.Run) -> None:
    table = textloom.compare(run.directory.parent)
    best = next(row for row in table.rows if row["verdict"] == "best")
    assert best["val/loss"] == run.results["val/loss"]
    assert best["runs"] == [str(run.directory)]
    assert len(table) == len(table.rows) == len(table.to_pandas())
    assert "best" in repr(table)
    assert table._repr_html_().count("<tr>") == len(table) + 1
    assert textloom.compare([run], metric="val/accuracy").comparison.metric == "val/accuracy"


def test_prepare_reports_what_training_reads() -> None:
    Path("text.txt").write_text("to be or not to be\n" * 50)
    report = textloom.prepare(data={"kind": "text_files", "path": Path("text.txt")}, tokenizer="byte")
    assert report["parts"]["train"]["documents"] == 1
    assert report["tokenizer"]["level"] == "byte"


# --- keywords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY)
def test_texts_arrive_as_they_are(text: str) -> None:
    config = compose("train", TrainConfig, values={"samples": {"prompt": text}}).config
    assert config.samples.prompt == text
    data = {"kind": "table", "path": ["a,b.csv", Path("${x}.csv")], "text_column": text or "-", "filters": {text: text}}
    table = compose("prepare", PrepareConfig, values={"data": data}).config.data
    assert table.path == ("a,b.csv", "${x}.csv")  # type: ignore[union-attr]
    assert table.filters == {text: text}  # type: ignore[union-attr]


def test_values_keep_their_types() -> None:
    samples = {"temperatures": (0.5, 1), "prompt": None}
    values = {"seed": np.int64(3), "samples": samples, "trainer.max_steps": 7, "model": "gru"}
    config = compose("train", TrainConfig, values=values).config
    assert (config.seed, config.samples.temperatures, config.trainer.max_steps) == (3, (0.5, 1.0), 7)
    assert config.model.kind == "gru"


def test_a_dictionary_chooses_the_config_of_its_kind() -> None:
    chosen = compose("train", TrainConfig, (), {"model": {"cell": "gru", "units": 4}, "experiment": "tutorial_char"})
    assert (chosen.config.model.kind, chosen.config.batching.kind) == ("gru", "windows")


def test_keywords_are_recorded_as_they_are_typed() -> None:
    values = {"seed": 1, "model": {"units": None}, "samples": {"temperatures": [0.5], "prompt": "a b,c"}}
    typed = ["seed=1", "model.units=null", "samples.temperatures=[0.5]", "samples.prompt='a b,c'"]
    assert as_overrides(values) == typed
    assert compose("train", TrainConfig, typed).config == compose("train", TrainConfig, values=values).config


MISTAKES: list[tuple[list[str], dict[str, Any]]] = [
    (["model.unit=5"], {"model": {"unit": 5}}),
    (["units=5"], {"units": 5}),
    (["model=lstn"], {"model": "lstn"}),
    (["model.units=0"], {"model": {"units": 0}}),
    (["data=text_files"], {"data": "text_files"}),
    (["data=text_files", "data.path=nope.txt"], {"data": {"kind": "text_files", "path": "nope.txt"}}),
    (["data=text_files", "data.path=~nobody/x"], {"data": {"kind": "text_files", "path": "~nobody/x"}}),
    (["trainer.extra.nonsense=1"], {"trainer": {"extra": {"nonsense": 1}}}),
    (["trainer.accelerator=mps"], {"trainer": {"accelerator": "mps"}}),
    (["resume=nowhere"], {"resume": "nowhere"}),
]


@pytest.mark.parametrize(("typed", "given"), MISTAKES, ids=lambda value: str(value))
def test_mistakes_are_said_as_on_the_command_line(
    typed: list[str], given: dict[str, Any], command: Callable[..., Answer]
) -> None:
    with pytest.raises(textloom.TextloomError) as by_keyword:
        textloom.train(**given)
    with pytest.raises(textloom.TextloomError) as by_override:
        textloom.train(*typed)
    answer = command("train", *typed)
    assert answer.status == 2
    assert str(by_keyword.value) == str(by_override.value) == answer.err.strip().splitlines()[-1]
    assert everything() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: textloom.train("-m", "seed=1,2"), "^-m: an option of the command line"),
        (lambda: textloom.train("seed=1,2"), "several values"),
        (lambda: textloom.train(5), "^5: is not an override"),
        (lambda: textloom.train(seed=object()), "^seed: a config has no values of type object"),
        (lambda: textloom.train(name="../x"), "^name=../x: not the name of a folder below outputs/"),
        (lambda: textloom.train(model={5: 1}), "^model: the key 5 is not a text"),
        (lambda: textloom.train(resume="x", directory="y"), "^directory: a resumed run stays in its own directory"),
        (lambda: textloom.load("nowhere"), "^run=nowhere: there is no such directory"),
        (lambda: textloom.load("."), "^run=.: not a run directory"),
        (lambda: textloom.load(checkpoint="first"), "^checkpoint=first: must be 'best' or 'last'"),
        (lambda: textloom.compare("nowhere"), "^runs=nowhere: matches no file"),
        (lambda: textloom.prepare(model={"units": 3}), "^model: there is no such key"),
    ],
)
def test_other_mistakes_are_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(textloom.TextloomError, match=message) as raised:
        call()
    assert len(str(raised.value).splitlines()) == 1
    assert everything() == []


def test_options_of_generation_are_checked(run: textloom.Run) -> None:
    with pytest.raises(textloom.ConfigError, match=r"^temprature: there is no such key, did you mean temperature\?"):
        run.generate("deep", temprature=1)
    with pytest.raises(textloom.GenerationError, match="the prompt is empty"):
        run.generate("")


def test_a_directory_with_a_run_is_refused(run: textloom.Run) -> None:
    before = sorted(run.directory.rglob("*"))
    with pytest.raises(textloom.RunError, match="already holds a run"):
        textloom.train(directory=run.directory, **SMALL)
    assert sorted(run.directory.rglob("*")) == before


# --- the caller's process -------------------------------------------------------------------------------------------


def process_state() -> dict[str, Any]:
    """Everything of this process that a call could change."""
    made = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    loggers = [logging.root, *made]
    libraries = [name for name in sys.modules if name.startswith(("scipy", "tensorboard"))]
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "filters": [*warnings.filters],
        "showwarning": warnings.showwarning,
        "loggers": {one.name: (one.level, [*one.handlers], one.propagate, one.disabled) for one in loggers},
        "logging": logging.root.manager.disable,
        "stand-ins": [name for name in libraries if sys.modules[name].__spec__ is None],
        "collector": (gc.isenabled(), gc.get_freeze_count()),
        "threads": torch.get_num_threads(),
        "number formats": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "determinism": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "denormals": bool(torch.tensor(1e-40) * 1 == 0),
        "random": (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())),
        "hydra": [id(Singleton._instances.get(kind)) for kind in (GlobalHydra, HydraConfig)],
    }


def test_no_call_changes_the_process(run: textloom.Run) -> None:
    textloom.load(run.directory).generate("deep", 5)  # everything is imported
    before = process_state()
    trained = textloom.train(
        directory="here", seed=7, trainer={"max_epochs": 1, "deterministic": True}, model={"units": 4}
    )
    after = {"train": process_state()}
    loaded = textloom.load(trained.directory)
    after["load"] = process_state()
    loaded.generate("deep", 5)
    after["generate"] = process_state()
    loaded.score("deep")
    loaded.evaluate()
    after["evaluate"] = process_state()
    textloom.compare("here")
    after["compare"] = process_state()
    textloom.prepare()
    after["prepare"] = process_state()
    with pytest.raises(textloom.TextloomError):
        textloom.train(data={"kind": "text_files", "path": "nope"})
    after["mistake"] = process_state()
    for call, state in after.items():
        new = set(state["loggers"]) - set(before["loggers"])
        state["loggers"] = {name: one for name, one in state["loggers"].items() if name not in new}
        for part, value in before.items():
            assert state[part] == value, (call, part)


@pytest.mark.slow
def test_the_first_call_changes_no_more_than_later_ones() -> None:
    code = """
import logging, os, random, signal, sys, warnings
import textloom

def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    stand_ins = [name for name in ("scipy.signal", "tensorboard.compat.notf") if name in sys.modules]
    root = logging.root.level, [*logging.root.handlers]
    filters = [*warnings.filters], warnings.showwarning
    return {"environment": dict(os.environ), "random": random.getstate(), "signals": handlers, "logging": root,
            "warnings": filters, "stand-ins": [name for name in stand_ins if sys.modules[name].__spec__ is None]}

before = state()
textloom.train("model.units=4", "trainer.max_epochs=1", "samples.length=5", directory="run").generate("deep", 5)
changed = [part for part, value in state().items() if value != before[part]]
assert not changed, changed
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_callers_handlers_see_warnings_alone(run: textloom.Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    textloom.train(directory="quiet", **{**SMALL, "samples": {"length": 5, "prompt": "☃"}})
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "read as <unk>: '☃'" in caplog.text
    assert "INFO model: lstm" in Path("quiet/train.log").read_text()


def test_the_callers_own_hydra_still_works_afterwards(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("learning: 3\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        own = hydra_compose("own", return_hydra_config=True)
        HydraConfig.instance().set_config(own)
        assert textloom.train(directory="inside", **SMALL).status == "completed"
        assert HydraConfig.get().job.config_name == "own"
        assert hydra_compose("own").learning == 3
    HydraConfig.instance().cfg = None


# --- one training at a time -----------------------------------------------------------------------------------------


def test_a_training_within_a_training_is_refused(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    original = preparation.load_corpus

    def train_another(config: Any) -> Any:
        with pytest.raises(textloom.TrainingError) as raised:
            textloom.train(directory="inner", **SMALL)
        refused.append(str(raised.value))
        return original(config)

    monkeypatch.setattr(preparation, "load_corpus", train_another)
    assert textloom.train(directory="outer", **SMALL).status == "completed"
    assert command("train", *TINY, "hydra.run.dir=typed").status == 0
    assert refused == 2 * ["train: this process is training already; wait until it ends, or train in another process"]
    assert not Path("inner").exists()


def test_only_one_of_two_threads_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    began, refused = threading.Event(), threading.Event()
    original, trained = preparation.load_corpus, []

    def wait(config: Any) -> Any:
        began.set()
        assert refused.wait(60)
        return original(config)

    monkeypatch.setattr(preparation, "load_corpus", wait)
    thread = threading.Thread(target=lambda: trained.append(textloom.train(directory="first", **SMALL)))
    thread.start()
    assert began.wait(60)
    with pytest.raises(textloom.TrainingError, match="this process is training already"):
        textloom.train(directory="second", **SMALL)
    refused.set()
    thread.join()
    assert trained[0].status == "completed"
    assert not Path("second").exists()


def test_a_process_of_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.system.placement import Placement

    placed = Placement(1, 2, 1, 2, "127.0.0.1", 1, external=True)
    monkeypatch.setattr("textloom.api.placement", lambda: placed)
    with pytest.raises(textloom.TrainingError, match="torchrun and srun start the command"):
        textloom.train(**SMALL)


def test_an_interrupt_before_the_first_step_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)  # at once, whatever threads there are
        raise AssertionError("not interrupted")

    monkeypatch.setattr(preparation, "load_or_encode_into", interrupt)
    with pytest.raises(KeyboardInterrupt):
        textloom.train(**SMALL)
    assert everything() == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupted_run_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.training.module import TrainingModule

    original = TrainingModule.training_step

    def step(self: TrainingModule, batch: Any, index: int) -> Any:
        if self.global_step == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", step)
        with pytest.raises(textloom.Interrupted, match=r"^stopped by SIGTERM; resume with: textloom train resume=cut"):
            textloom.train(directory="cut", **SMALL)
    whole = textloom.train(directory="whole", **SMALL)
    assert textloom.load("cut", checkpoint="last").resume().results["val/loss"] == whole.results["val/loss"]
    assert json.loads(Path("cut/status.json").read_text())["status"] == "completed"
