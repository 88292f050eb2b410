"""A state is a value: stored, loaded, and gone on from, to the last digit as if the text were read again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import textloom
from conftest import Answer, train_run
from textloom.generation.reading import BLOCK, Reading
from textloom.runs.run import Run

CELLS = ["lstm", "gru", "rnn", "mingru", "minlstm"]


@pytest.fixture(scope="module")
def text() -> str:
    return "".join(
        f"deep learning is learning from example {'abcdefghij'[number % 10]}. " for number in range(60)
    ).rstrip()


@pytest.fixture(scope="module", params=[*CELLS, "windows", "word", "bpe", "ngram"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> textloom.Run:
    """A run of each cell, of windows, of two tokenizers with spaces, and of counts."""
    kinds = {
        "windows": ["batching=windows", "batching.context=20", "batching.stride=50"],
        "word": ["tokenizer=word"],
        "bpe": ["tokenizer=bpe", "tokenizer.maximum_size=300"],
        "ngram": ["experiment=ngram"],
    }
    overrides = kinds.get(request.param, [f"model={request.param}", "model.layers=2"])
    directory = tmp_path_factory.mktemp("runs") / request.param
    return textloom.Run(train_run(directory, *overrides, "trainer.max_steps=3").directory)


def everything(one: "textloom.generation.reading.Reading") -> tuple[object, ...]:
    return one.pending, one.context, one.tokens, [part.tolist() for part in one.state or ()]


def test_going_on_from_a_state_is_reading_again_to_the_last_digit(run: textloom.Run, text: str) -> None:
    whole = run.read(text)
    words = text.split(" ")
    for cut in (1, 100, len(words) - 2):
        first, rest = " ".join(words[:cut]), " " + " ".join(words[cut:])
        parts = run.read(rest, state=run.read(first))
        assert parts.tokens == whole.tokens
        assert everything(parts.reading) == everything(whole.reading)
    assert run.generate(state=whole, length=30, seed=1) == run.generate(text, 30, seed=1).removeprefix(text)
    assert run.score("deep learn", state=whole) == run.score("deep learn", state=run.read(text))


def test_a_stored_state_is_the_state(run: textloom.Run, text: str, tmp_path: Path) -> None:
    state = run.read(text)
    state.save(tmp_path / "x.safetensors")
    file = tmp_path / "x.safetensors"
    loaded = textloom.State.load(file)
    assert everything(loaded.reading) == everything(state.reading)
    assert loaded.signature == state.signature
    assert run.generate(state=file, length=9, seed=1) == run.generate(state=state, length=9, seed=1)
    assert run.score("deep", state=file) == run.score("deep", state=state)


def test_a_score_after_a_state_is_the_rest_of_the_score(run: textloom.Run, text: str) -> None:
    first, rest = text[: text.index(" example c") + 10], text[text.index(" example c") + 10 :][:800].rpartition(" ")[0]
    whole, part = run.score(first + rest), run.score(first)
    after = run.score(rest, state=run.read(first))
    assert after.tokens == whole.tokens - part.tokens
    assert after.nats == pytest.approx(whole.nats - part.nats, rel=1e-4)
    assert run.score(rest, ends=True, state=run.read(first)).tokens == after.tokens + 1


@pytest.fixture(scope="module")
def toy(toy_run: Run) -> textloom.Run:
    return textloom.Run(toy_run.directory)


def test_reading_in_blocks_gives_the_states_of_the_model(toy: textloom.Run, text: str) -> None:
    state = toy.read(text)
    ids = [toy.tokenizer.end_id, *toy.tokenizer.encode(text).tolist()]
    read = len(ids) - len(state.reading.pending)
    assert read % BLOCK == 0
    assert 1 <= len(state.reading.pending) <= BLOCK
    with torch.no_grad():
        _, expected = toy.model(torch.tensor([ids[:read]]))
    for mine, its in zip(state.reading.state or (), expected, strict=True):
        assert torch.allclose(mine, its, atol=1e-5)


def test_a_state_is_small_and_says_what_it_is(toy: textloom.Run, text: str, tmp_path: Path) -> None:
    short, long = toy.read(text), toy.read(text * 20)
    assert repr(long).startswith(f"State({len(text) * 20:,} tokens")
    for name, state in (("short", short), ("long", long)):
        state.save(tmp_path / name)
    assert (tmp_path / "long").stat().st_size < 6000
    assert Reading.beginning(1).further(toy.model, np.array([], dtype=np.uint8)).tokens == 0


@pytest.mark.slow
def test_a_megabyte_is_read_once(toy: textloom.Run, text: str, tmp_path: Path) -> None:
    long = (text * (1_000_000 // len(text) + 1))[:1_000_000]
    toy.read(long).save(tmp_path / "x")
    assert toy.generate(state=tmp_path / "x", length=50, seed=0) == toy.generate(long, 50, seed=0)[len(long) :]


def test_the_command_stores_a_state_and_goes_on(toy: textloom.Run, command: Callable[..., Answer]) -> None:
    given = ["generate", f"run={toy.directory}", "temperature=0"]
    whole = command(*given, "prompt=deep learn", "length=60").out.rstrip("\n")
    first = command(*given, "prompt=deep learn", "length=20", "save_state=x").out.rstrip("\n")
    second = command(*given, "state=x", "length=40", "save_state=x", "stream=true").out.rstrip("\n")
    assert first + second == whole
    third = command(*given, "state=x", "length=5").out.rstrip("\n")
    assert third == toy.generate(whole, 5, temperature=0)[len(whole) :]


def test_a_state_after_a_stop_text_is_that_of_the_text_alone(tmp_path: Path) -> None:
    made = train_run(tmp_path / "bpe", "tokenizer=bpe", "tokenizer.maximum_size=300", "trainer.max_steps=3")
    run = textloom.Run(made.directory)
    text = run.generate("deep learn", 100, seed=2)
    stop = text[30:32]
    cut = run.generate("deep learn", 100, seed=2, stop=stop, save_state=tmp_path / "x")
    assert cut == text[: text.index(stop, 10)]
    context = textloom.State.load(tmp_path / "x").reading.context
    assert run.tokenizer.decode(context) == cut[-len(run.tokenizer.decode(context)) :]


def test_a_state_that_does_not_fit_is_refused_in_one_line(
    toy: textloom.Run, command: Callable[..., Answer], tmp_path: Path
) -> None:
    other = textloom.Run(train_run(tmp_path / "other").directory)
    toy.read("deep").save("mine")
    other.read("deep").save("others")
    damaged = bytearray(Path("mine").read_bytes())
    damaged[-3] ^= 1
    Path("damaged").write_bytes(damaged)
    Path("cut").write_bytes(damaged[:-20])
    Path("text").write_text("deep")
    shutil.copy(next(toy.directory.glob("checkpoints/best.ckpt")), "checkpoint")
    for name, told in {
        "others": "others: the state of another model (",
        "damaged": "damaged: damaged: its content does not match its checksum",
        "cut": "cut: damaged, or not a state of textloom",
        "text": "text: damaged, or not a state of textloom",
        "checkpoint": "checkpoint: damaged, or not a state of textloom",
        "missing": "missing: there is no such file",
    }.items():
        answer = command("generate", f"run={toy.directory}", f"state={name}")
        assert answer.status == 2
        (line,) = [line for line in answer.err.splitlines() if not line.startswith("run: ")]
        assert told in line
    with pytest.raises(textloom.RunError, match="the state of another model"):
        toy.score("deep", state=other.read("deep"))
    assert command("generate", f"run={toy.directory}", "save_state=x", "count=2").status == 2


def test_a_state_of_a_run_is_one_of_its_export(toy: textloom.Run, tmp_path: Path) -> None:
    exported = textloom.Run(toy.export(tmp_path / "exported"))
    state = toy.read("deep learn")
    assert exported.generate(state=state, length=9, seed=0) == toy.generate(state=state, length=9, seed=0)
