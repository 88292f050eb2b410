"""Every experiment trains, on a slice of a text and with a small model, by the protocol that its file names."""

import random
from pathlib import Path

import pytest

from conftest import compose_train, files_of_the_user
from textloom.config import TrainConfig
from textloom.config.checking import config_directory
from textloom.data.encoding import load_splits
from textloom.data.sources.toy import toy_text
from textloom.models.size import count
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.tokenizers import load_tokenizer

EXPERIMENTS = sorted(path.stem for path in (config_directory() / "experiment").iterdir())
WORDS = [name for name in EXPERIMENTS if len(files_of_the_user(name)) == 3]
LINES = {"train.txt": 90, "valid.txt": 20, "test.txt": 25}


@pytest.fixture(autouse=True)
def texts(tmp_path: Path) -> dict[str, str]:
    """Texts in the form of Penn Treebank, and a table of abstracts."""
    draw = random.Random(0)
    words = [*toy_text().split()[:60], "The", "<unk>", "N"]
    made = {}
    for name, lines in LINES.items():
        made[name] = "".join(f" {' '.join(draw.choices(words, k=draw.randint(3, 9)))} \n" for _ in range(lines))
        (tmp_path / name).write_text(made[name])
    rows = "".join(f'"{" ".join(draw.choices(words, k=60))}.",2001-01-01,{n},t\n' for n in range(40))
    (tmp_path / "patents.csv").write_text("patent_abstract,patent_date,patent_number,patent_title\n" + rows)
    return made


def small(config: TrainConfig) -> list[str]:
    """Overrides that make an experiment small and leave its kinds as they are."""
    if config.model.is_ngram:
        return []
    sizes = ["model.units=8", "model.parameters=null", "trainer.batch_size=2", "trainer.max_epochs=1"]
    if config.model.embedding_dim is not None:
        sizes.append("model.embedding_dim=8")
    if config.data.leaky:
        sizes.append("data.article_window=8")
    if config.batching.kind == "windows":
        return [*sizes, "trainer.max_steps=3"]
    return [*sizes, "batching.steps=8", "trainer.max_steps=4"]


def trained(name: str, directory: Path) -> Run:
    from textloom.training.train import train

    given = [f"experiment={name}", *files_of_the_user(name)]
    given += [*small(compose_train(*given)), "samples.prompt=the", "samples.length=3", "trainer.progress_bar=false"]
    with claimed_run(directory) as run:
        train(compose_train(*given), run, given)
        run.mark("completed")
    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_to_its_results(name: str, tmp_path: Path) -> None:
    results = trained(name, tmp_path / "run").results()
    assert 1 < results["val/perplexity"] < 10 * results["vocabulary_size"]
    leaky = name.startswith("article")
    assert ("test/perplexity" in results) == (not leaky and "shakespeare" not in name)  # nanoGPT has no test split


def test_words_are_those_of_the_files_and_every_one_is_a_target(tmp_path: Path, texts: dict[str, str]) -> None:
    run = trained(WORDS[0], tmp_path / "run")
    tokenizer, splits = load_tokenizer(run.tokenizer_file), load_splits(run.tokens)
    for split, name in (("train", "train.txt"), ("val", "valid.txt"), ("test", "test.txt")):
        assert splits[split].targets == len(texts[name].split()) + LINES[name]
        assert splits[split].unknown == 0
    words = {*texts["train.txt"].split(), "<eos>"}
    assert tokenizer.vocabulary_size == len(words) + 1  # the token for unknown words, of which there are none
    assert tokenizer.decode(tokenizer.encode("The N <unk>\n")) == "The N <unk>\n"


@pytest.mark.parametrize("name", WORDS)
def test_every_experiment_on_given_files_has_one_protocol(name: str) -> None:
    config = compose_train(f"experiment={name}", *files_of_the_user(name))
    assert config.tokenizer.model_dump() == {
        "level": "whitespace", "lowercase": False, "minimum_frequency": 1, "maximum_size": None,
    }  # fmt: skip
    assert config.data.normalization is None
    assert config.batching.model_dump()["evaluation_rows"] == 1


@pytest.mark.parametrize(("name", "rate", "norm"), [("small", 1, 5), ("medium", 1, 5), ("large", 1, 10)])
def test_zaremba_et_al_sum_the_loss_over_the_steps_of_which_we_take_the_mean(name: str, rate: int, norm: int) -> None:
    config = compose_train(f"experiment=zaremba_{name}", *files_of_the_user("zaremba_"))
    steps = config.batching.model_dump()["steps"]
    assert config.optimizer.learning_rate == rate * steps
    assert config.trainer.gradient_clip_val == norm / steps


def test_enwik8_has_the_size_and_the_initial_weights_of_the_awd_lstms() -> None:
    config, words = (
        compose_train(f"experiment={name}", *files_of_the_user(name)).model for name in ("enwik8", "awd_ptb")
    )
    assert not config.is_ngram
    assert count(config, 1840, 257) // 1_000_000 == 47
    names = ("initialization", "forget_bias", "embedding_range", "tied_weights", "locked_dropout")
    assert all(getattr(config, name) == getattr(words, name) for name in names)


def test_the_mogrifier_lstm_has_the_settings_of_its_authors_whose_loss_is_a_sum() -> None:
    config = compose_train("experiment=mogrifier_ptb", *files_of_the_user("mogrifier_ptb"))
    assert not config.model.is_ngram
    assert 0.98 * 24e6 < count(config.model, 910, 10_000) <= 24e6
    assert config.optimizer.model_dump().items() >= {"kind": "adam", "beta1": 0.0, "decayed_weights": "all"}.items()
    steps = config.batching.model_dump()["steps"]
    assert config.optimizer.weight_decay * steps == pytest.approx(0.00025235, rel=1e-3)
    assert config.trainer.gradient_clip_val == 10 / steps


@pytest.mark.parametrize(("name", "size", "millions"), [("awd_ptb", 10_000, 24), ("wikitext2_awd", 33_278, 33)])
def test_the_awd_lstms_have_the_settings_of_their_authors(name: str, size: int, millions: int) -> None:
    config = compose_train(f"experiment={name}", *files_of_the_user(name))
    assert not config.model.is_ngram
    assert count(config.model, 1150, size) // 1_000_000 == millions
    wanted = {"kind": "stream", "steps": 70, "random_steps": True, "evaluation_rows": 1, "singleton_dropout": 0.0}
    assert config.batching.model_dump() == wanted
    assert (config.trainer.activation_regularization, config.trainer.temporal_activation_regularization) == (2, 1)
    assert config.optimizer.model_dump().items() >= {"kind": "ntasgd", "learning_rate": 30.0, "nonmonotone": 5}.items()
