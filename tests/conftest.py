"""Shared by tests: composing a config, training a tiny run in this process, running a command."""

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hypothesis import settings

from textloom.cli import commands as cli
from textloom.config import CELLS, SOURCES, TOKENIZERS, DataConfig, ModelConfig, SplitKeys, TrainConfig
from textloom.config.compose import compose
from textloom.config.optimizer import OPTIMIZERS
from textloom.data.corpus import Corpus, build_corpus
from textloom.data.documents import Piece
from textloom.data.encoding import Splits, encode_corpus, load_splits
from textloom.data.sources import SourceDocuments, read_source
from textloom.registry import Registry
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.tokenizers import Tokenizer

settings.register_profile("textloom", deadline=None)  # how long an example takes says nothing on a shared machine
settings.load_profile("textloom")

TINY = ["model.units=8", "trainer.max_epochs=1", "samples.length=5", "trainer.progress_bar=false", "name=tiny"]


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPU where its tests are not asked for: the others promise the digits of a CPU, and fork processes."""
    if "gpu" not in config.option.markexpr.replace("not gpu", ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and parallel test processes lose much."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _not_deterministic() -> Iterator[None]:
    """Undo ``trainer.deterministic=true`` of the test: torch would fill every new tensor of the next ones."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither read nor fill the user's cache."""
    os.environ["TEXTLOOM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test writes to a relative path lands in its own folder."""
    monkeypatch.chdir(tmp_path)


def compose_train(*overrides: str) -> TrainConfig:
    """The config of ``train`` with some overrides."""
    return compose("train", TrainConfig, overrides).config


def files_of_the_user(experiment: str) -> list[str]:
    """The paths that an experiment leaves to the user, with names of our own."""
    if experiment.startswith(("awd_ptb", "mogrifier_ptb", "ptb_", "wikitext2_", "zaremba_")):
        return ["data.path=train.txt", "data.validation_path=valid.txt", "data.test_path=test.txt"]
    if "patents" in experiment or experiment.startswith("article_"):
        return ["data.path=patents.csv"]
    if experiment.startswith(("enwik8", "shakespeare_", "text8", "tiny_shakespeare", "warpeace_")):
        return ["data.path=train.txt"]
    return []


def model_config(values: dict[str, Any]) -> ModelConfig:
    """The config of a model from its keys on the command line."""
    return CELLS.config_class(values["cell"]).model_validate(values)


@cache
def own_keys(cell: str) -> dict[str, Any]:
    """The keys that only this cell has, with the values of its YAML file."""
    values = compose_train(f"model={cell}").model.model_dump()
    return {key: value for key, value in values.items() if key not in ModelConfig.model_fields and key != "cell"}


def source_of(documents: list[str]) -> SourceDocuments:
    """A source of these documents."""
    return SourceDocuments({"train": ((document, True) for document in documents)})


def split(
    documents: list[str], validation_fraction: float, test_fraction: float, seed: int, fold_duplicates: bool = False
) -> Corpus:
    """The corpus that some documents make."""
    keys = SplitKeys(
        kind="documents",
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        split_seed=seed,
        fold_duplicates=fold_duplicates,
    )
    return build_corpus(source_of(documents), keys)


def encoded(corpus: Corpus, tokenizer: Tokenizer, directory: Path) -> Splits:
    """The tokens of a corpus."""
    encode_corpus(corpus, tokenizer, directory)
    return load_splits(directory)


def documents_of(pieces: Iterable[Piece]) -> list[str]:
    """Whole documents, from their pieces."""
    documents, parts = [], []
    for text, ends in pieces:
        parts.append(text)
        if ends:
            documents.append("".join(parts))
            parts = []
    assert not parts
    return documents


def read_documents(config: DataConfig) -> list[str]:
    """The documents of all splits of a source."""
    return [document for pieces in read_source(config).splits.values() for document in documents_of(pieces)]


def train_run(directory: Path, *overrides: str) -> Run:
    """A tiny finished run."""
    from textloom.training.train import train

    tiny = [override for override in TINY if "experiment=ngram" not in overrides or not override.startswith("model.")]
    given = [*tiny, *overrides]
    with claimed_run(directory) as run:
        train(compose_train(*given), run, given)
        run.mark("completed")
    return run


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the toy text that tests only read."""
    return train_run(tmp_path_factory.mktemp("outputs") / "toy", "model.units=32", "trainer.max_epochs=3")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured names of files that are not UTF-8 would stop a test process, which sends its reports as UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


class Answer(NamedTuple):
    """Exit status, standard output and standard error of a command."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Type ``textloom ARGUMENTS`` in this process."""

    def run(*arguments: str) -> Answer:
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        HydraConfig.instance().cfg = None  # as in a fresh process
        logging.disable(logging.NOTSET)  # which a command that was interrupted before may have left
        capfd.readouterr()
        try:
            cli.main(list(arguments))
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        logging.disable(logging.NOTSET)  # a command that is interrupted logs nothing more
        out, err = capfd.readouterr()
        return Answer(status, out, err)

    return run


REGISTRIES: tuple[Registry[Any], ...] = (CELLS, TOKENIZERS, SOURCES, OPTIMIZERS)


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries are after the test as they were before it."""
    for registry in REGISTRIES:
        assert registry.names  # which registers those of textloom, once in a process
        for name in ("_configs", "_targets"):
            monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
        monkeypatch.setattr(registry, "_loaded", None)  # plugins are looked up again


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registries: None) -> Iterator[Callable[..., None]]:
    """Write a module and the YAML files beside it, and name it in the environment; all is gone after the test."""
    folder, modules = tmp_path / "plugin", []

    def install(module: str, code: str, **configs: str) -> None:
        """``configs``: for each group the name and the content of a YAML file, with a colon between them."""
        folder.mkdir()
        (folder / f"{module}.py").write_text(code)
        for group, config in configs.items():
            name, _, content = config.partition(":")
            (folder / "conf" / group).mkdir(parents=True)
            (folder / "conf" / group / f"{name}.yaml").write_text(content)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("TEXTLOOM_PLUGINS", module)
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def unplug(monkeypatch: pytest.MonkeyPatch, own_registries: None) -> Callable[[str, str], None]:
    """Forget a module and the kind that it registered, as in a process without the plugin."""

    def forget(module: str, kind: str) -> None:
        monkeypatch.delenv("TEXTLOOM_PLUGINS")
        for registry in REGISTRIES:
            registry._configs.pop(kind, None)
            registry._targets.pop(kind, None)
        sys.modules.pop(module)

    return forget


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real texts, where this machine has them."""
    folder = os.environ.get("TEXTLOOM_TEST_DATA")
    if not folder:
        pytest.skip("TEXTLOOM_TEST_DATA names no folder of real texts")
    return Path(folder).resolve()
