"""The commands, as a user runs them."""

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TINY, Answer
from textloom.runs.run import Run
from textloom.system.command_hint import as_command, as_commands

Command = Callable[..., Answer]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "model.unit=256"], "model.unit: there is no such key, did you mean model.units?"),
        (["train", "+model.unit=256"], "model.unit: there is no such key, did you mean model.units?"),
        (["train", "model.units=-1"], "model.units=-1: must be greater than 0"),
        (["train", "batching=windows", "batching.context=0"], "batching.context=0: must be greater than 0"),
        (["train", "experiment=tutorial_chars"], "no such config, did you mean tutorial_char?; choose one of"),
        (["train", "modle=gru"], "modle: there is no such key, did you mean model?"),
        (["train", "model=grru"], "model=grru: there is no such config, did you mean gru?"),
        (["train", "data.path=a.txt"], "the chosen data has no such key; it belongs to data=hub, data=patents"),
        (
            ["train", "data=/tmp/a.txt"],
            "no such config; a file needs its kind: type data=text_files data.path=/tmp/a.txt",
        ),
        (["train", "data=a.csv.gz"], "a file needs its kind: type data=table data.path=a.csv.gz"),
        (["train", "model=LSTM"], "model=LSTM: there is no such config, did you mean lstm?"),
        (["train", "--config-name=mine"], "--config-name=mine: there is no such config; leave it out"),
        (["train", "trainer.batch_size=", "32"], "trainer.batch_size= 32: cannot be read; write trainer.batch_size=32"),
        (["train", "optimizer.learning_rate=0,01"], "a number has a decimal point, as in 0.01; or add -m to run each"),
        (["train", "model.units=16,32"], "several values; add -m to run each, or write a list as [a,b]"),
        (["generate", "temperature=0,5"], "temperature=0,5: several values; a number has a decimal point, as in 0.5"),
        (["generate", "length=5,6"], "length=5,6: several values; give one, or write a list as [a,b]"),
        (["generate", "Hello there"], "Hello there: a prompt needs its key; type prompt='Hello there'"),
        (["train", "model.tied_weights=yes"], "model.tied_weights=yes: must be true or false"),
        (["train", "samples.temperatures=hot"], "samples.temperatures=hot: must be a number"),
        (["train", "--epochs", "3"], "--epochs: there is no such option; keys are written as key=value, did you mean"),
        (["train", "--hlep"], "--hlep: there is no such option; keys are written as key=value, did you mean --help?"),
        (["train", "model.units", "=", "3"], "=: cannot be read; write it as key=value, without spaces around"),
        (["train", "-m", "resume=latest"], "resume: continues one run, and -m trains many"),
        (["train", "trainer.extra.limit_trian_batches=2"], "did you mean limit_train_batches?; leave it out"),
        (["generate", "/dev/null"], "/dev/null: a path needs its key; type run=/dev/null"),
        (["compare", "/dev/null"], "/dev/null: a path needs its key; type runs=/dev/null"),
        (["train", "/dev/null"], "/dev/null: a path needs its key; type data=text_files data.path=/dev/null"),
        (["train", "model.units"], "model.units: cannot be read; write it as key=value"),
        (["train", "name="], "name=: must not be empty (Folder of the run"),
        (["train", "hydra.run.dir=/dev/null"], "/dev/null: is a file, not a folder; give another as hydra.run.dir=DIR"),
        (["train", "model.units=[1"], "cannot be read"),
        (["train", "data=text_files", "data.path=nowhere.txt"], "data.path=nowhere.txt: names no file"),
        (["train", "trainer.accelerator=mps"], "trainer.accelerator=mps: this machine has none"),
        (["trian"], "textloom trian: there is no such command"),
        (["generate", "temperature=-1"], "temperature=-1: must be greater than or equal to 0"),
        (["generate", "count=0"], "count=0: must be greater than 0"),
        (["generate", "accelerator=abacus"], "accelerator=abacus: must be 'auto', 'cpu', 'gpu', 'cuda' or 'mps'"),
        (["generate", "run=latest"], "outputs: there is no run here; train one"),
        (["generate", "run=nowhere"], "run=nowhere: there is no such directory"),
        (["evaluate", "run=."], "not a run directory (no config.yaml)"),
        (["evaluate", "rnu=."], "rnu: there is no such key, did you mean run?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(command: Command, arguments: list[str], message: str) -> None:
    answer = command(*arguments)
    assert answer.status == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert answer.out == ""


def test_train_generate_evaluate_in_a_row(command: Command, tmp_path: Path) -> None:
    trained = command("train", *TINY, "hydra.run.dir=outputs/one")
    assert trained.status == 0, trained.err
    assert "tensorboard --logdir outputs" in trained.out
    assert (tmp_path / "outputs/one/train.log").exists()

    generated = command("generate", "prompt=deep learn", "length=20", "temperature=0.8", "seed=1")
    assert generated.status == 0
    assert generated.out.startswith("deep learn")
    assert len(generated.out) <= len("deep learn") + 21
    assert "outputs/one" in generated.err

    evaluated = command("evaluate", "run=outputs/one")
    figures = dict(line.split(": ") for line in evaluated.out.splitlines())
    assert "val/signature: text:" in evaluated.err
    results = Run(tmp_path / "outputs/one").results()
    assert {name: float(value) for name, value in figures.items()} == {name: results[name] for name in figures}
    assert {"val/loss", "val/perplexity", "val/bits_per_char", "val/accuracy", "test/loss"} <= set(figures)


def test_a_prompt_is_taken_as_it_is_typed(command: Command, toy_run: Run) -> None:
    for prompt in ("a, b", "it's", 'say "yes"', "{x: 1}", "1e5", "a\\b", "null", "$x ${y}"):
        answer = command("generate", f"run={toy_run.directory}", f"prompt={prompt}", "length=1")
        assert answer.status == 0, answer.err
        assert answer.out.startswith(prompt)


def test_unknown_characters_of_a_prompt_are_named_and_read_as_unk(command: Command, toy_run: Run) -> None:
    answer = command("generate", f"run={toy_run.directory}", "prompt=deep ☃ learn €", "length=5")
    assert answer.status == 0
    assert "'☃' '€'" in answer.err
    assert answer.out.startswith("deep ☃ learn €")


def test_an_empty_prompt_is_refused(command: Command, toy_run: Run) -> None:
    answer = command("generate", f"run={toy_run.directory}", "prompt=")
    assert answer.status == 2
    assert "the prompt is empty; give" in answer.err


def test_several_texts_come_under_headings_the_first_as_if_alone(command: Command, toy_run: Run) -> None:
    asked = ["generate", f"run={toy_run.directory}", "prompt=deep", "length=30", "seed=5"]
    alone, three = (command(*asked, *more) for more in ([], ["count=3"]))
    assert three.status == 0, three.err
    heading, first, *_ = three.out.partition("\n\n--- text 2 of 3 ---\n")[0].partition("--- text 1 of 3 ---\n")[1:]
    assert heading == "--- text 1 of 3 ---\n"
    assert first == alone.out.rstrip("\n")
    assert three.out.count("\ndeep") == 3


def test_a_gpu_that_is_not_there_is_reported_under_the_commands_own_key(command: Command, toy_run: Run) -> None:
    answer = command("generate", f"run={toy_run.directory}", "accelerator=cuda")
    assert answer.status == 2
    assert answer.err.strip() == "accelerator=cuda: this machine has none; set accelerator=auto"


def test_temperature_zero_is_greedy_and_the_same_every_time(command: Command, toy_run: Run) -> None:
    texts = {command("generate", f"run={toy_run.directory}", "temperature=0", "length=30").out for _ in range(2)}
    assert len(texts) == 1


def test_an_export_serves_in_place_of_its_run(command: Command, toy_run: Run, tmp_path: Path) -> None:
    exported = command("export", f"run={toy_run.directory}", "to=exports/mine")
    assert exported.status == 0, exported.err
    assert exported.out == "exports/mine\n"
    assert (tmp_path / "exports/mine/model.safetensors").exists()
    for name, arguments in {"evaluate": [], "generate": ["prompt=deep", "seed=3", "length=20"]}.items():
        answers = [command(name, f"run={run}", *arguments).out for run in (toy_run.directory, "exports/mine")]
        assert answers[0] == answers[1] != ""
    refused = command("export", f"run={toy_run.directory}", "to=exports/mine")
    assert refused.status == 2
    assert len(refused.err.strip().splitlines()) == 2  # the run that was chosen, and why not


def test_a_completed_run_says_so_and_does_nothing(command: Command, toy_run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in toy_run.directory.rglob("*") if path.name != "train.log"}
    answer = command("train", f"resume={toy_run.directory}")
    assert answer.status == 0
    assert "the run is completed; to train it further: textloom train resume=" in answer.err
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_resuming_what_is_no_run_is_refused(command: Command) -> None:
    for name in ("nowhere", "latest"):
        answer = command("train", f"resume={name}")
        assert answer.status == 2
        assert len(answer.err.strip().splitlines()) == 1


def test_two_trainings_cannot_share_a_directory(command: Command, toy_run: Run) -> None:
    answer = command("train", *TINY, f"hydra.run.dir={toy_run.directory}")
    assert answer.status == 2
    assert "already holds a run" in answer.err
    assert toy_run.status()["status"] == "completed"


@pytest.mark.parametrize("script", ["prepare", "train", "generate", "evaluate"])
def test_help_needs_nothing_heavy(script: str) -> None:
    path = Path(__file__).parents[1] / "scripts" / f"{script}.py"
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", path, "--help"], capture_output=True, text=True, check=True
    )
    assert f"scripts/{script}.py" in answer.stdout
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "pytorch_lightning", "numpy", "datasets", "tensorboard"}


def test_the_next_command_is_named_as_the_first_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of the user's own in a folder of that name is no script of ours."""
    checkout = Path(__file__).parents[1]
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert as_command("generate") == "textloom generate"
    for file, expected in {
        "/venv/bin/textloom": "textloom generate",
        f"{tmp_path}/scripts/train.py": "textloom generate",
        f"{checkout}/scripts/train.py": f"python {checkout}/scripts/generate.py",
    }.items():
        main.__file__ = file
        assert as_command("generate") == expected
        assert as_commands("python scripts/generate.py run=latest") == f"{expected} run=latest"
    monkeypatch.chdir(checkout)
    assert as_command("generate") == "python scripts/generate.py"
    assert as_command("inspect") == "python -m textloom inspect"  # a script of that name would hide the library's
    assert not (checkout / "scripts/inspect.py").exists()
