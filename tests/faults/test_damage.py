"""Damaged files: each ends in an error of ours or in the very same figures, never in a traceback or a wrong result."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import compose_train, read_documents, train_run
from textloom.config import TrainConfig
from textloom.config.checking import check
from textloom.errors import ConfigError, DataError, TextloomError
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.generation.generate import generate, window_of
from textloom.generation.sampling import Sampling
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run

Damage = Callable[[bytes, random.Random], bytes]


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.choice([1, 1, 3, 30])):
        position = chance.randrange(len(damaged))
        damaged[position] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def overwrite(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    length = chance.randrange(1, 200)
    return content[:start] + chance.randbytes(length) + content[start + length :]


def repeat(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start : start + 500] + content[start:]


NOT_READ = ("events.", "train.log", ".lock")
DAMAGES: dict[str, Damage] = {
    "bit flips": flip_bits,
    "truncation": truncate,
    "overwriting": overwrite,
    "repeat": repeat,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_run(tmp_path_factory.mktemp("whole") / "run", "trainer=debug", "tokenizer=word")


def use(run: Run) -> tuple[dict[str, float], str]:
    """The figures of a run, computed again, and a generated text."""
    figures = evaluate_run(run)
    config, tokenizer, model = load_model(run, "best")
    text = generate(model, tokenizer, "deep", 5, Sampling(0), window_of(config.batching))
    return figures | {"reported": run.results()["val/loss"]}, text


@cache
def uses_of(directory: Path) -> tuple[dict[str, float], str]:
    """The same of a run that is not damaged, found once."""
    return use(Run(directory))


def damage_run(whole: Run, copy: Path, count: int) -> Counter[tuple[str, str]]:
    """Damage one file at a time, use the run, and count how it ended."""
    expected = uses_of(whole.directory)
    shutil.copytree(whole.directory, copy)
    run, ends, chance = Run(copy), Counter[tuple[str, str]](), random.Random(0)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and not path.name.startswith(NOT_READ))
    for path in files:
        path.chmod(0o644)
    for i in range(count):
        path = files[i % len(files)]
        content = path.read_bytes()
        kind = chance.choice([*DAMAGES, "swapped"])
        other = chance.choice([file for file in files if file != path])
        path.write_bytes(other.read_bytes() if kind == "swapped" else DAMAGES[kind](content, chance))
        try:
            found = use(run)
        except TextloomError as error:
            lines = len(str(error).splitlines())
            ends[kind, "refused" if lines == 1 else "refused at length"] += 1
        else:
            assert found == expected, f"{path.name}, {kind}: a wrong result"
            ends[kind, "the same figures"] += 1
        path.write_bytes(content)
    return ends


def report(ends: Counter[tuple[str, str]]) -> None:
    assert not [end for _, end in ends if end == "refused at length"]
    print()
    for (kind, end), count in sorted(ends.items()):
        print(f"{kind:12} {end:18} {count:5}")


def test_a_damaged_run_is_refused_or_gives_the_same_figures(whole: Run, tmp_path: Path) -> None:
    ends = damage_run(whole, tmp_path / "copy", 120)
    report(ends)
    assert sum(ends.values()) == 120
    assert sum(count for (_, end), count in ends.items() if end == "refused") > 40


@settings(max_examples=100)
@given(chance=st.randoms(use_true_random=False))
@pytest.mark.parametrize("portable", [False, True], ids=["run", "export"])
def test_no_damage_that_hypothesis_finds_changes_a_result(whole: Run, portable: bool, chance: random.Random) -> None:
    copy = whole.directory.parent / ("export" if portable else "copy")
    if not copy.exists():
        if portable:
            export_run(whole, copy)
        else:
            shutil.copytree(whole.directory, copy)
    expected = uses_of(copy)
    path = chance.choice(sorted(p for p in copy.rglob("*") if p.is_file() and not p.name.startswith(NOT_READ)))
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(chance.choice([*DAMAGES.values()])(content, chance))
    try:
        assert use(Run(copy)) == expected
    except TextloomError as error:
        assert str(error)  # noqa: PT017
    finally:
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_damaged_run_files(whole: Run, tmp_path: Path) -> None:
    ends = damage_run(whole, tmp_path / "copy", 2000)
    report(ends)
    assert sum(ends.values()) == 2000


TABLES = ("csv", "tsv", "jsonl", "parquet", "txt")


def write_source(directory: Path, kind: str) -> Path:
    import pandas

    frame = pandas.DataFrame({"number": range(20), "text": [f'A "network", number {i},\nlearns.' for i in range(20)]})
    path = directory / f"source.{kind}"
    if kind == "txt":
        path.write_text("\n\n".join(frame["text"]))
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@cache
def _source(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return write_source(Path(directory), kind).read_bytes()


def data_config(path: Path, kind: str) -> Any:
    """The config that reads this source."""
    return _composed_data(kind).model_copy(update={"path": (str(path),)})


@cache
def _composed_data(kind: str) -> Any:
    group = "text_files" if kind == "txt" else "table"
    return compose_train(f"data={group}", f"data.path=source.{kind}").data


def damage_source(directory: Path, kind: str, count: int) -> Counter[tuple[str, str]]:
    path = write_source(directory, kind)
    content = path.read_bytes()
    config = data_config(path, kind)
    assert len(read_documents(config)) == (1 if kind == "txt" else 20)
    chance, ends = random.Random(0), Counter[tuple[str, str]]()
    for _ in range(count):
        damage = chance.choice([*DAMAGES])
        path.write_bytes(DAMAGES[damage](content, chance))
        try:
            documents = read_documents(config)
        except DataError as error:
            lines = len(str(error).splitlines())
            ends[damage, "refused" if lines == 1 else "refused at length"] += 1
        else:
            assert all(isinstance(document, str) for document in documents)
            ends[damage, "read as it is"] += 1
    return ends


@pytest.mark.parametrize("kind", TABLES)
def test_a_damaged_source_is_read_as_text_or_refused(kind: str, tmp_path: Path) -> None:
    ends = damage_source(tmp_path, kind, 25)
    report(ends)
    assert sum(ends.values()) == 25


@settings(max_examples=40)
@given(chance=st.randoms(use_true_random=False))
@pytest.mark.parametrize("kind", TABLES)
def test_any_bytes_are_read_as_text_or_refused(
    kind: str, tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    path = tmp_path_factory.mktemp("source") / f"source.{kind}"
    path.write_bytes(chance.choice([*DAMAGES.values()])(_source(kind), chance))
    with suppress(DataError):
        documents = read_documents(data_config(path, kind))
        assert all(isinstance(document, str) for document in documents)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", TABLES)
def test_hundreds_of_damaged_sources(kind: str, tmp_path: Path) -> None:
    ends = damage_source(tmp_path, kind, 200)
    report(ends)
    assert sum(ends.values()) == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@cache
def _defaults() -> dict[str, Any]:
    return compose_train("name=x").model_dump(mode="json")


@given(data=st.data())
def test_any_value_of_any_key_is_checked_or_taken(data: st.DataObject) -> None:
    config = deepcopy(_defaults())
    section = config
    while True:
        key = data.draw(st.sampled_from([*section]))
        if not isinstance(section[key], dict) or not section[key] or data.draw(st.booleans()):
            break
        section = section[key]
    section[key] = data.draw(json_values)
    with suppress(ConfigError):  # anything else is a traceback for the user
        check(config, TrainConfig)
