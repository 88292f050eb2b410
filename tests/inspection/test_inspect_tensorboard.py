"""``textloom inspect tensorboard=FOLDER``: a real TensorBoard has the embeddings with labels, and the other runs."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import Answer, train_run
from tensorboards import ask, fetch, tensorboard
from textloom.runs.run import Run

UNITS, WIDTH = 6, 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two runs with embeddings, one without, and below each other in one folder."""
    outputs = tmp_path_factory.mktemp("outputs")
    given = {
        "one": ["tokenizer=word", f"model.embedding_dim={WIDTH}"],
        "two": ["tokenizer=byte", f"model.embedding_dim={WIDTH}", "model=gru"],
        "one-hot": ["model.embedding_dim=null"],
    }
    return [train_run(outputs / name, "trainer.max_steps=3", *keys) for name, keys in given.items()]


def test_the_projector_has_one_runs_embeddings_with_labels_and_the_other_runs_stay(
    runs: list[Run], command: Callable[..., Answer]
) -> None:
    outputs = runs[0].directory.parent
    with tensorboard(outputs, len(runs)) as address:
        before = ask(f"{address}/scalars/tags"), ask(f"{address}/text/tags"), hyperparameters(address)
    for run in runs:
        folder = outputs / "looked" / run.directory.name
        answer = command("inspect", f"run={run.directory}", "tokens=300", "distance=7", f"tensorboard={folder}")
        assert answer.status == 0, answer.err
        assert ("has no embedding" in answer.err) == (run is runs[2])
    with tensorboard(outputs, 2 * len(runs)) as address:
        tags = ask(f"{address}/scalars/tags")
        assert {name: tags[name] for name in before[0]} == before[0]
        assert sorted(tags["looked/one"]) == ["inspection/gradient_norm", "inspection/loss_by_position"]
        assert len(ask(f"{address}/scalars/scalars?run=looked/one&tag=inspection/gradient_norm")) == 7
        texts = ask(f"{address}/text/tags")
        assert {name: texts[name] for name in before[1]} == before[1]
        assert hyperparameters(address) == before[2]
        assert "inspection/update_gate/layer_1" in ask(f"{address}/histograms/tags")["looked/two"]
        assert sorted(ask(f"{address}/projector/runs")) == ["looked/one", "looked/two"]
        for run in runs[:2]:
            name = quote(f"looked/{run.directory.name}", safe="")
            (embedding,) = ask(f"{address}/projector/info?run={name}")["embeddings"]
            tensor = quote(embedding["tensorName"], safe="")
            labels = fetch(f"{address}/projector/metadata?run={name}&name={tensor}").decode().rstrip("\n").split("\n")
            content = fetch(f"{address}/projector/tensor?run={name}&name={tensor}")
            assert labels[0] == "token\tid\tcount"
            rows = [label.split("\t") for label in labels[1:]]
            assert all(len(row) == 3 for row in rows)
            assert embedding["tensorShape"] == [len(rows), WIDTH]
            assert len(content) == 4 * WIDTH * len(rows)
            check_row(run, rows[3], struct.unpack_from(f"<{WIDTH}f", content, 4 * WIDTH * 3))


def check_row(run: Run, row: list[str], values: tuple[float, ...]) -> None:
    """A row of the projector is the embedding of the token that its label names."""
    from textloom.runs.checkpoints import load_model

    _, tokenizer, model = load_model(run, "best")
    token = int(row[1])
    assert row[0].replace("␣", " ").replace("↵", "\n") == tokenizer.token_text(token)
    assert values == pytest.approx(model.get_parameter("embedding.weight")[token].tolist(), rel=1e-4)


def hyperparameters(address: str) -> Any:
    found = ask(f"{address}/hparams/experiment", {"experimentName": ""})
    return sorted(info["name"] for info in found["hparamInfos"])


def test_a_folder_that_holds_something_is_refused(command: Callable[..., Answer], toy_run: Run) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    for given, reason in {"full": "the folder is not empty", "full/file": "is a file"}.items():
        answer = command("inspect", f"run={toy_run.directory}", f"tensorboard={given}")
        assert answer.status == 2
        assert answer.err.strip().splitlines()[-1].startswith(f"tensorboard={given}: {reason}; give ")
        assert not Path("inspections").exists()
