"""A tokenizer from outside the package: one Python file and one YAML file, and it is as good as what is shipped."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import Answer, compose_train, train_run
from textloom.errors import RunError
from textloom.evaluation.evaluate import evaluate_run
from textloom.runs.run import Run
from textloom.system.files import read_json
from textloom.tokenizers import fit_tokenizer, load_tokenizer, origin, save_tokenizer

PAIRS = '''
"""A tokenizer of a plugin: pairs of characters."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from textloom.config import TOKENIZERS, TokenizerConfig
from textloom.tokenizers.base import Encoded, Tokenizer


class PairsConfig(TokenizerConfig):
    """Pairs of characters."""

    kind: Literal["pairs"]
    most: int
    """Most pairs."""


@TOKENIZERS.register(PairsConfig)
@dataclass(frozen=True)
class Pairs(Tokenizer):
    kind: ClassVar[str] = "pairs"
    writes_spaces: ClassVar[bool] = False
    pairs: list[str]

    @classmethod
    def fit(cls, documents, most):
        texts = ["".join(document) for document in documents]
        return cls(sorted({text[i : i + 2] for text in texts for i in range(0, len(text), 2)})[:most])

    vocabulary_size = property(lambda self: len(self.pairs) + 2)
    unknown_id = property(lambda self: 0)
    end_id = property(lambda self: 1)

    def decode(self, ids):
        return "".join(["<unk>", "", *self.pairs][i] for i in ids)

    def to_dict(self) -> dict[str, Any]:
        return {"level": self.kind, "pairs": self.pairs}

    def safe_cut(self, text):
        return text[: len(text) // 2 * 2], text[len(text) // 2 * 2 :]

    def _encode(self, text):
        pieces = [text[i : i + 2] for i in range(0, len(text), 2)]
        ids = [self.pairs.index(piece) + 2 if piece in self.pairs else 0 for piece in pieces]
        return Encoded(np.array(ids, dtype=self.dtype), [piece for piece in pieces if piece not in self.pairs])
'''


@pytest.fixture(autouse=True)
def _pairs(plug_in: Callable[..., None]) -> None:
    plug_in("pairs_tokenizer", PAIRS, tokenizer="pairs:level: pairs\nmost: 300\n")


def test_it_is_fitted_by_its_config_saved_and_loaded(tmp_path: Path) -> None:
    config = compose_train("tokenizer=pairs").tokenizer
    tokenizer = fit_tokenizer(config, [["abcd", "ab"], ["cd!"]])
    assert tokenizer.decode(tokenizer.encode("cdabx")) == "cdab<unk>"
    assert fit_tokenizer(config.model_copy(update={"most": 1}), [["abcd"]]).vocabulary_size == 3
    assert origin(config) is None
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    assert read_json(tmp_path / "tokenizer.json")["level"] == "pairs"
    assert load_tokenizer(tmp_path / "tokenizer.json") == tokenizer


def test_it_is_prepared_trained_evaluated_and_generates(command: Callable[..., Answer], tmp_path: Path) -> None:
    prepared = command("prepare", "tokenizer=pairs")
    assert prepared.status == 0, prepared.err
    assert "vocabulary" in prepared.out
    run = train_run(tmp_path / "run", "tokenizer=pairs", "trainer.batch_size=4")
    assert evaluate_run(run).items() <= run.results().items()
    assert yaml.safe_load(run.config_file.read_text())["tokenizer"] == {"level": "pairs", "most": 300}
    generated = command("generate", f"run={run.directory}", "seed=1", "prompt=deep", "length=5")
    assert generated.status == 0, generated.err
    assert generated.out.startswith("deep")


def test_a_module_in_the_package_registers_a_tokenizer_and_the_config_imports_no_numpy(tmp_path: Path) -> None:
    """In a process of its own, to see what is imported."""
    (tmp_path / "pairs.py").write_text(PAIRS)
    code = (
        "import importlib.util, pkgutil, sys\n"
        "from textloom.config import SOURCES, TOKENIZERS\n"
        "TOKENIZERS.names, SOURCES.names\n"
        "assert not {'numpy', 'regex', 'tokenizers', 'pyarrow'} & sys.modules.keys()\n"
        "spec = importlib.util.find_spec('textloom.tokenizers')\n"
        "sys.modules['textloom.tokenizers'] = package = importlib.util.module_from_spec(spec)\n"
        f"package.__path__.append({str(tmp_path)!r})\n"
        "spec.loader.exec_module(package)\n"
        "TOKENIZERS._loaded = None\n"
        "assert 'pairs' in TOKENIZERS.names, TOKENIZERS.names\n"
        "assert TOKENIZERS.target('pairs').__module__ == 'textloom.tokenizers.pairs'\n"
    )
    environment = {**os.environ, "TEXTLOOM_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_without_its_plugin_a_run_and_its_tokenizer_name_it_and_the_cure(
    tmp_path: Path, unplug: Callable[[str, str], None]
) -> None:
    run = train_run(tmp_path / "run", "tokenizer=pairs", "trainer=debug", "trainer.batch_size=4")
    unplug("pairs_tokenizer", "pairs")
    missing = r"must be one of 'char', .*for any other tokenizer install its package, .*TEXTLOOM_PLUGINS"
    with pytest.raises(RunError, match=rf"config\.yaml: tokenizer\.level=pairs: {missing}"):
        Run(run.directory).config()
    with pytest.raises(RunError, match=rf"tokenizer\.json: its tokenizer 'pairs' is not here; {missing}"):
        load_tokenizer(run.tokenizer_file)
    assert "pairs_tokenizer" not in sys.modules
