"""The report: its counts are right, and counting by hashes gives the same as counting directly."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Answer, documents_of, source_of, split
from textloom.config import SplitKeys
from textloom.data import cache, leak
from textloom.data.corpus import build_corpus
from textloom.data.documents import SPLITS
from textloom.data.spool import DocumentSet, Spool
from textloom.system.files import read_json

KEYS = SplitKeys(
    kind="documents",
    validation_fraction=0.2,
    test_fraction=0.2,
    split_seed=0,
    fold_duplicates=True,
    near_duplicates=0.8,
)


def part(documents: list[str]) -> DocumentSet:
    spool = Spool()
    for _ in spool.fill((document, True) for document in documents):
        pass
    return spool.whole()


def ngrams(documents: list[str]) -> list[tuple[str, ...]]:
    """Counted by hand."""
    found = []
    for document in documents:
        words = [word for word in (re.sub(r"\W", "", text.lower()) for text in document.split()) if word]
        found += [tuple(words[i : i + leak.LENGTH]) for i in range(len(words) - leak.LENGTH + 1)]
    return found


DOCUMENTS = st.lists(st.lists(st.sampled_from(["a", "B", "b,", "c", "-", "\n"]), max_size=50).map(" ".join), max_size=6)


@settings(max_examples=30)
@given(validation=DOCUMENTS, training=DOCUMENTS, block=st.sampled_from([5, 1 << 20]))
def test_the_overlap_is_what_counting_by_hand_finds(validation: list[str], training: list[str], block: int) -> None:
    training = training + [document[:60] for document in validation[:2]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leak, "BLOCK", block)
        patch.setattr(leak, "FILTER", 1 << 10)
        found = leak.overlap(part(validation), part(training))
    wanted, there = ngrams(validation), set(ngrams(training))
    assert found == leak.Overlap(len(wanted), len(wanted), sum(ngram in there for ngram in wanted))


def test_a_share_is_looked_up_of_very_many_ngrams(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    one, other = ([str(chance.randrange(200)) for _ in range(20_000)] for _ in range(2))
    monkeypatch.setattr(leak, "CHECKED", 2000)
    found = leak.overlap(part([" ".join(one)]), part([" ".join(other), " ".join(one[:10_000])]))
    assert found.ngrams == 20_000 - leak.LENGTH + 1
    assert 500 < found.checked <= 2000
    assert found.found / found.checked == pytest.approx(0.5, abs=0.07)


def near_copy(document: str, chance: random.Random) -> str:
    words = document.split()
    words[chance.randrange(len(words))] = "another"
    return " ".join(words)


def test_near_duplicates_are_on_one_side_of_the_split() -> None:
    chance = random.Random(0)
    originals = [" ".join(f"word{chance.randrange(500)}" for _ in range(120)) for _ in range(60)]
    documents = originals + [near_copy(document, chance) for document in originals[:30]]
    chance.shuffle(documents)
    corpus = build_corpus(source_of(documents), KEYS)
    assert (corpus.facts.documents, corpus.facts.near_duplicates) == (90, 30)
    apart = [documents_of(corpus.splits[name].pieces()) for name in SPLITS]
    assert sum(map(len, apart)) == 90
    for first, second in ((0, 1), (0, 2), (1, 2)):
        for document in apart[first]:
            shingles = {tuple(document.split()[i : i + 5]) for i in range(116)}
            for other in apart[second]:
                others = {tuple(other.split()[i : i + 5]) for i in range(116)}
                assert len(shingles & others) / len(shingles | others) < 0.8
    plain = split(documents, 0.2, 0.2, 0, fold_duplicates=True)
    assert plain.facts.near_duplicates == 0
    assert {name: len(p) for name, p in plain.splits.items()} == {"train": 54, "val": 18, "test": 18}


def test_few_words_and_long_documents_have_signatures_too() -> None:
    documents = [
        "one two",
        "ONE, two",
        "three",
        "",
        *[" ".join(f"w{j}" for j in range(400)) + f" {i}" for i in range(3)],
    ]
    corpus = build_corpus(source_of(documents), KEYS.model_copy(update={"fold_duplicates": False}))
    assert corpus.facts.near_duplicates == 3


def test_prepare_builds_what_training_starts_from_and_says_what_it_holds(
    command: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))
    documents = [f"document number {i} tells of {'many ' * (i % 7)}things" for i in range(40)]
    (tmp_path / "text.txt").write_text("\n\n".join([*documents, "Document number 3 tells of many many many things!"]))
    data = ["data=text_files", "data.path=text.txt", "data.documents=blank_line", "tokenizer=word"]
    answer = command("prepare", *data)
    assert answer.status == 0, answer.err
    assert "40  1 duplicate folded; near-duplicates not looked for" in answer.out
    assert "'document' 32" in answer.out
    assert "n-grams" not in answer.out  # there are too few to say anything
    assert max(len(line) for line in answer.out.splitlines() if not line.startswith("written to ")) <= 80
    (written,) = (tmp_path / "cache/tokens").glob("*/report.json")
    assert str(written) in answer.out
    report = read_json(written)
    assert report["parts"]["val"]["documents"] == 4
    assert report["parts"]["train"]["lengths"]["min"] == 6
    assert report["overlap"]["val"]["checked"] < 10
    assert command("prepare", *data).out == answer.out
    monkeypatch.setattr(cache, "build_corpus", None)  # reading, splitting or encoding again would fail
    monkeypatch.setattr(cache, "encode_corpus", None)
    tiny = ["model.units=4", "trainer=debug", "samples.length=3", "trainer.batch_size=4", "name=tiny"]
    answer = command("train", *data, *tiny)
    assert answer.status == 0, answer.err
    assert json.loads(next(tmp_path.rglob("results.json")).read_text())["val/loss"] > 0


def test_the_overlap_is_in_words_whatever_the_tokenizer(command: Callable[..., Answer], tmp_path: Path) -> None:
    chance = random.Random(0)
    text = " ".join(f"word{chance.randrange(900)}" for _ in range(3000))
    (tmp_path / "text.txt").write_text(f"{text}\n{text}")
    lines = []
    for tokenizer in ("char", "word", "bpe", "char"):
        answer = command("prepare", "data=text_files", "data.path=text.txt", f"tokenizer={tokenizer}")
        lines.append([line for line in answer.out.splitlines() if "in training" in line])
    assert lines[0] == lines[1] == lines[2] == lines[3]
    assert "587  of 589 sequences of 13 words occur there verbatim, 99.66%" in lines[0][0]


def test_prepare_shows_special_tokens_by_their_names(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("key=value (a=b) key=value\n" * 40)
    answer = command("prepare", "data=text_files", "data.path=text.txt", "tokenizer=word")
    assert "'<join>'" in answer.out
    assert "<token" not in answer.out


def test_prepare_without_a_place_for_the_tokens_is_reported(
    command: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "file"))
    answer = command("prepare")
    assert answer.status == 2
    assert "set TEXTLOOM_CACHE to another folder" in answer.err
    assert len(answer.err.splitlines()) == 1
