"""A data source from outside the package: one Python file and one YAML file, and it is as good as what is shipped."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer, compose_train, train_run
from textloom.data.cache import load_corpus
from textloom.errors import DataError, RunError
from textloom.evaluation.evaluate import evaluate_run
from textloom.runs.run import Run
from textloom.system.files import read_json

CARDS = '''
"""A data source of a plugin: cards, separated by lines of dashes."""

from pathlib import Path
from typing import Literal

from textloom.config import SOURCES, SplitKeys
from textloom.config.section import PathText
from textloom.data.sources import Source
from textloom.errors import DataError
from textloom.system.files import file_checksum


class CardsConfig(SplitKeys):
    """Cards in a file."""

    kind: Literal["cards"]
    path: PathText
    """The file."""


@SOURCES.register(CardsConfig)
class Cards(Source[CardsConfig]):
    unit = "card"

    def read(self, normalizer, notes):
        text = Path(self.config.path).read_bytes().decode()
        if "---" not in text:
            raise DataError(f"{self.config.path}: holds one card; part cards by ---")
        notes.info(f"{self.config.path}: a box of cards")
        return {"train": ((card.strip(), True) for card in text.split("---"))}

    def identity(self):
        return [file_checksum(Path(self.config.path))]

    def files(self):
        return [Path(self.config.path)]

    def provenance(self):
        return {"box": self.config.path}
'''
YAML = "defaults: [toy, _self_]\nkind: cards\npath: ???\n"


@pytest.fixture(autouse=True)
def _cards(plug_in: Callable[..., None], tmp_path: Path) -> None:
    """The plugin, and a file of cards."""
    plug_in("cards_source", CARDS, data=f"cards:{YAML}")
    cards = [f"The card of number {number}\r\nsays cafe\u0301 and {number * number}." for number in range(30)]
    (tmp_path / "box.cards").write_bytes("\n---\n".join(cards).encode())


GIVEN = ["data=cards", "data.path=box.cards"]


def test_its_documents_are_normalized_folded_and_split(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    config = compose_train(*GIVEN).data
    corpus = load_corpus(config)
    texts = list(corpus.splits["train"].texts())
    assert [len(part) for part in corpus.splits.values()] == [24, 3, 3]
    assert all("\r" not in text and "café" in text for text in texts)
    assert "box.cards: a box of cards" in caplog.text
    assert "line ends: CR or CR LF became LF in 30 cards" in caplog.text
    caplog.clear()
    assert load_corpus(config).facts == corpus.facts  # from the cache, which repeats the notes
    assert "box.cards: a box of cards" in caplog.text
    Path("box.cards").write_text("another --- text --- here")
    assert load_corpus(config).facts != corpus.facts


def test_it_is_prepared_trained_evaluated_and_generates(command: Callable[..., Answer], tmp_path: Path) -> None:
    prepared = command("prepare", *GIVEN)
    assert prepared.status == 0, prepared.err
    assert "30  0 duplicates folded" in prepared.out
    run = train_run(tmp_path / "run", *GIVEN, "trainer.batch_size=4")
    assert evaluate_run(run).items() <= run.results().items()
    assert run.config().data.path == "box.cards"
    assert read_json(run.provenance_file)["box"] == "box.cards"
    generated = command("generate", f"run={run.directory}", "seed=1", "prompt=The", "length=5")
    assert generated.status == 0, generated.err
    assert generated.out.startswith("The")


def test_its_errors_and_its_keys_are_reported_as_those_of_any_source(command: Callable[..., Answer]) -> None:
    Path("one.cards").write_text("one")
    answer = command("prepare", "data=cards", "data.path=one.cards")
    assert (answer.status, answer.err) == (2, "one.cards: holds one card; part cards by ---\n")
    answer = command("prepare", "data=cards")
    assert answer.status == 2
    assert "data.path is missing; give it as data.path=VALUE" in answer.err
    with pytest.raises(DataError, match=r"^one\.cards: holds one card"):
        load_corpus(compose_train("data=cards", "data.path=one.cards").data)


def test_without_its_plugin_a_run_names_the_source_and_the_cure(
    tmp_path: Path, unplug: Callable[[str, str], None]
) -> None:
    run = train_run(tmp_path / "run", *GIVEN, "trainer=debug", "trainer.batch_size=4")
    unplug("cards_source", "cards")
    with pytest.raises(RunError, match=r"config\.yaml: data\.kind=cards: must be one of 'hub', .*TEXTLOOM_PLUGINS"):
        Run(run.directory).config()
    assert "cards_source" not in sys.modules
