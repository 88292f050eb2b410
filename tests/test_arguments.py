"""A text on the command line arrives unchanged, or is refused with an argument that works."""

import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conftest import TINY, Answer, compose_train
from textloom.config import CompareConfig, ExportConfig, GenerateConfig, PrepareConfig, Section, TrainConfig
from textloom.config.arguments import hydra_arguments, unresolved
from textloom.config.keys import Form, keys_of
from textloom.config.section import possible_folder_name
from textloom.errors import ConfigError
from textloom.runs.run import Run

Command = Callable[..., Answer]
PARSER = OverridesParser.create()

HARD = [
    "红楼", "größe", "naïve, café", "नमस्ते दुनिया", "ไทย", "مرحبا", "🙂👨‍👩‍👧", "Tom's book", "it's (1), isn't it?",
    "lr=0.1",
    "1984", "007", "1e5", "-3", "0x10", "1_000", ".5", "nan", "inf", "yes", "no", "on", "true", "False", "Null", "NULL",
    "~", "~nobody's", "#1", "$", "$HOME", "${", "${}", "${a b}", "$$", "a\\", "\\", "\\n", "C:\\new\\table", "{x: 1}",
    "{", "}", "[", "]", "[a", "(", ")", "a:b", "::", "a;b|c&d", "`x`", "!", "%s", "@", "*", "?", "+", "-", "--", "a,b",
    ",", " leading", "trailing ", "  ", "\t", "line\nline", "\r\n", "'", '"', "''a", '"a" b "c"', "a'b\"c", "'a", 'a"',
    "range(1,3)", "choice(a,b)", "str(1)", "glob(*)", "sort(b,a)", "???", "None", "!!str x", "2024-01-31", "12:30:45",
    "\u200b", "e\u0301", "\ufeff", "\u202e", "=", "==", "a=b=c", "key=value",
]  # fmt: skip
PIECES = [
    *"'\"\\{}[](),=:~#$ \n\t!%*?&|;<>`@+-/._^aZ0", "${", "\\'", "1984", "yes", "no", "null", "true", "Tom's",
    "日本", "ü", "😀", "ह", "\u200d", "\u0301", "x y", "choice(", "range(1,2)", ", ",
]  # fmt: skip


def generated(number: int) -> list[str]:
    """Strings of all scripts, of Hydra's operators and of words with a meaning, the same in every call."""
    draw = random.Random(5)
    strings = ["".join(draw.choices(PIECES, k=draw.randint(1, 9))) for _ in range(number)]
    planes = [chr(draw.choice([draw.randint(33, 0xD7FF), draw.randint(0x10000, 0x1FFFF)])) for _ in range(number)]
    return [text if place % 3 else text + planes[place] for place, text in enumerate(strings)]


def composed(argument: str, schema: type[Section]) -> Any:
    """The value of an argument after Hydra and OmegaConf have read it."""
    override = PARSER.parse_override(hydra_arguments([argument], schema)[0])
    assert not override.is_sweep_override()
    return OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)["value"]  # type: ignore[index, call-overload]


def from_the_shell(word: str) -> str:
    """The arguments of a command line in bash."""
    if word.startswith("$'"):
        return subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout.decode()
    (argument,) = shlex.split(word)
    return argument


def is_text(value: str) -> bool:
    """Whether no documented rule gives the value another meaning: Hydra's quotes, null, a list."""
    in_quotes = re.fullmatch(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", value, re.DOTALL)
    return not in_quotes and value != "null" and not (value[:1] == "[" and value[-1:] == "]")


@pytest.mark.parametrize(
    ("key", "schema"),
    [
        ("samples.prompt", TrainConfig),
        ("name", TrainConfig),
        ("data.path", TrainConfig),
        ("prompt", GenerateConfig),
        ("to", ExportConfig),
        ("runs", CompareConfig),
        ("data.template", PrepareConfig),
    ],
)
def test_a_text_arrives_as_typed_or_is_refused_with_an_argument_that_works(key: str, schema: type[Section]) -> None:
    refused = 0
    for text in filter(is_text, [*HARD, *generated(500)]):
        value, cure = composed_or_cure(f"{key}={text}", schema)
        if cure is None:
            assert value == text
        else:
            refused += 1
            assert composed(cure, schema) == (possible_folder_name(text) if key == "name" else text)
    assert refused < 80
    assert refused == 0 or key not in ("prompt", "samples.prompt", "data.template")


def composed_or_cure(argument: str, schema: type[Section]) -> tuple[object, str | None]:
    """The value, or the argument that the message says to type instead: one line each."""
    message = ""
    try:
        return composed(argument, schema), None
    except ConfigError as error:
        message = str(error)
        cure = message.rpartition(", as in ")[2]
    except OmegaConfBaseException:
        found = unresolved(hydra_arguments([argument], schema), schema)
        assert found is not None
        message, cure = "".join(found), found[1]
    assert len(message.splitlines()) == 1
    return None, from_the_shell(cure)


def test_every_text_of_the_schema_is_one_without_being_listed() -> None:
    keys = keys_of(TrainConfig)
    texts = {name for name, key in keys.items() if key.form in (Form.TEXT, Form.TEXTS)}
    assert {"name", "resume", "data.path", "data.text_column", "tokenizer.path", "samples.prompt"} <= texts
    assert not {"model.units", "data", "seed", "trainer.precision", "data.filters", "trainer.batch_size"} & texts


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("samples.prompt=null", None),
        ("samples.prompt='null'", "null"),
        ("name='a, b'", "a, b"),
        ('name="it\'s"', "it's"),
        ("name='it\\'s'", "it's"),
        ("data.path='a b.txt'", "a b.txt"),
        ("data.path=[a.txt,b (1).txt]", ["a.txt", "b (1).txt"]),
        ("data.path=[größe.txt, 'Tom, Jerry.txt',Tom's.txt]", ["größe.txt", "Tom, Jerry.txt", "Tom's.txt"]),
        ("data.path=null", None),
        ("data.filters={lang:日本語,year:{min:2000},label:[1,zwei größe]}",
         {"lang": "日本語", "year": {"min": 2000}, "label": [1, "zwei größe"]}),
        ("data.filters={lang:no}", {"lang": "no"}),
        ("data.filters.lang=größe, (1)", "größe, (1)"),
        ("trainer.extra.max_time=00:00:00:10", "00:00:00:10"),
        ("trainer.extra={min_epochs: 1}", {"min_epochs": 1}),
        ("model.units=16", 16),
        ("optimizer.learning_rate=1e-3", 0.001),
        ("model.softmax_cutoffs=[20,60]", [20, 60]),
    ],
)  # fmt: skip
def test_what_has_a_meaning_keeps_it(argument: str, value: object) -> None:
    assert composed(argument, TrainConfig) == value


def test_interpolations_are_resolved_in_names_and_paths_and_not_in_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "Tom's")
    typed = ["name=${data.kind}_x", "samples.prompt=${data.kind}"]
    config = compose_train(*typed, "data=text_files", "data.path=${oc.env:FOLDER}/a.txt")
    assert config.name == "text_files_x"
    assert config.samples.prompt == "${data.kind}"
    assert config.data.path == ("Tom's/a.txt",)


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("name=first,second", ["first", "second"]),
        ("name=2025,2026", ["2025", "2026"]),
        ("data.path=größe.txt,Tom's (1).txt", ["größe.txt", "Tom's (1).txt"]),
        ("data.path=[a.txt,b.txt],[c.txt]", [["a.txt", "b.txt"], ["c.txt"]]),
        ("samples.prompt='yes, or no',null", ["yes, or no", None]),
        ("data.path=${oc.env:A,b}/x,y", ["${oc.env:A,b}/x", "y"]),
        ("name=choice(a,b)", ["a", "b"]),
        ("model=lstm,gru", ["lstm", "gru"]),
        ("model.units=range(1,3)", [1, 2]),
    ],
)
def test_in_a_sweep_a_comma_separates_values_but_not_in_quotes(typed: str, values: list[object]) -> None:
    override = PARSER.parse_override(hydra_arguments(["-m", typed], TrainConfig)[1])
    assert [getattr(value, "text", value) for value in override.sweep_iterator()] == values


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("name=..", "name=..: not the name of a folder below outputs/"),
        ("name=a/../b", "name=a/../b: not the name of a folder below outputs/"),
        ("name=/tmp/x", "name=/tmp/x: not the name of a folder below outputs/"),
        (f"name={'é' * 150}", "longer than the 255 bytes that a folder's name may have"),
        ("name=a${b", "name=a${b: cannot hold ${, which Hydra reads as an interpolation; leave out the brace, as in"),
        ("name=${nowhere}", "key 'nowhere' not found; if it is not an interpolation, type 'name=$nowhere}'"),
        ("data.path=~nosuchuser/x.txt", "no home directory ~nosuchuser; for a file of that name give ./~nosuchuser/x"),
        ("hydra.run.dir=~nosuchuser/x", "hydra.run.dir=~nosuchuser/x: there is no home directory ~nosuchuser"),
        ("=3", "=3: cannot be read; write it as key=value"),
        ("data=2026", "data=2026: there is no such config; choose one of hub, patents"),
        ("experiment=größe", "experiment=größe: there is no such config; choose one of"),
        ("model.units=größe", "model.units=größe: must be a whole number"),
        ("smaples.prompt=红楼", "smaples.prompt: there is no such key, did you mean samples.prompt?"),
        ("samples.prompt=caf\udce9", "samples.prompt=caf\\xe9: not UTF-8 at byte 19"),
        ("prompt=caf\udce9", "prompt=caf\\xe9: not UTF-8 at byte 11"),
        ("größe=3", "größe: there is no such key"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_leaves_nothing_behind(
    command: Command, tmp_path: Path, argument: str, message: str
) -> None:
    others = [] if "data" in argument else ["data=text_files", "data.path=a.txt"]
    (tmp_path / "a.txt").write_text("a text to read, and to learn. " * 40)
    typed = ["generate"] if argument.startswith("prompt") else ["train", *others]
    answer = command(*typed, *(["data=text_files"] if argument.startswith("data.path") else []), argument)
    assert answer.status == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert not list(tmp_path.glob("outputs/*/*"))


def test_a_text_whose_quotes_were_forgotten_is_reported_with_them() -> None:
    for typed in (["prompt=deep", "learn"], ["run=my", "folder"]):
        with pytest.raises(ConfigError, match=rf"{typed[1]}: cannot be read; a text with blanks needs quotes, as in '"):
            hydra_arguments(typed, GenerateConfig)


def test_a_config_directory_may_be_below_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    typed = ["--config-dir", "~/conf", "--config-dir=~/conf"]
    assert hydra_arguments(typed, TrainConfig) == ["--config-dir", "/home/me/conf", "--config-dir=/home/me/conf"]


def test_names_of_all_kinds_train_generate_and_export(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "größe, Tom's (lr=0.1)"
    folder.mkdir()
    (folder / "红楼.txt").write_text("deep learning. 红楼梦 yes, or no? " * 20)
    others = [argument for argument in TINY if not argument.startswith("name=")]
    data = ["data=text_files", f"data.path={folder}/红楼.txt"]
    answer = command("train", *others, *data, "name=größe, 2026", "samples.prompt=yes, or no")
    assert answer.status == 0, answer.err
    (directory,) = (tmp_path / "outputs/größe, 2026").iterdir()
    config = Run(directory).config()
    assert (config.name, config.samples.prompt) == ("größe, 2026", "yes, or no")
    exported = command("export", f"run={directory}", f"to={folder}/its = export")
    assert exported.status == 0, exported.err
    assert (folder / "its = export/model.safetensors").exists()
    text = command("generate", f"run={folder}/its = export", "prompt=no, 红楼", "length=5")
    assert text.out.startswith("no, 红楼")


def test_a_tilde_is_the_home_directory_in_every_path(
    command: Command, tmp_path: Path, toy_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "a.txt").write_text("a text to read, and to learn. " * 40)
    monkeypatch.setenv("HOME", str(home))
    trained = command("train", *TINY, "data=text_files", "data.path=~/a.txt", "hydra.run.dir=~/runs/a")
    assert trained.status == 0, trained.err
    assert Run(home / "runs/a").config().data.path == (f"{home}/a.txt",)
    for arguments in (
        ("export", "run=~/runs/a", "to=~/mine"),
        ("evaluate", "run=latest", "outputs=~/runs"),
        ("compare", "runs=~/runs", "format=csv"),
        ("train", "resume=~/runs/a"),
    ):
        answer = command(*arguments)
        assert answer.status == 0, answer.err
    assert (home / "mine/model.safetensors").exists()
    assert not (tmp_path / "~").exists()


def in_a_process(*arguments: str | bytes, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A command in a process of its own, without the settings that pytest's process has."""
    command = [sys.executable, "-m", "textloom", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )


def test_arguments_arrive_whatever_the_locale_is() -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = in_a_process("train", "--cfg", "job", "samples.prompt=größe, 1984", **ascii_only)
    assert shown.returncode == 0, shown.stderr
    assert b"\\xf6" in shown.stdout
    for locale in (ascii_only, {"PYTHONIOENCODING": "utf-8"}, {"LC_ALL": "C.UTF-8"}):
        refused = in_a_process("generate", b"prompt=caf\xe9", **locale)
        assert refused.returncode == 2
        assert refused.stderr.startswith(b"prompt=caf\\xe9: not UTF-8")
        assert len(refused.stderr.splitlines()) == 1
