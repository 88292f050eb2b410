"""trainer.batch_size=auto: found by trial steps of which nothing stays but the number."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from conftest import TINY, compose_train, train_run
from textloom.errors import ConfigError, DataError
from textloom.evaluation.evaluate import evaluate_run
from textloom.runs.claim import claimed_run
from textloom.training.batch_size import StepCost, StepTimer, choose_batch_size
from textloom.training.resume import resumed_config
from textloom.training.train import train
from training.test_resume import assert_equal_runs

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@dataclass
class Machine:
    """Answers as a machine would, with made-up rates and memory."""

    rates: dict[int, float]
    device: torch.device = CPU
    fits: int = 1 << 20
    longest: int = 1 << 20

    def __call__(self, size: int) -> StepCost | None:
        if size > self.longest:
            raise DataError("too few steps an epoch")
        if size > self.fits:
            return None
        return StepCost(self.rates.get(size, 1000), size / self.fits if self.device == GPU else 0.0)


@pytest.mark.parametrize(
    ("machine", "size", "reason"),
    [
        (Machine({8: 100, 16: 190, 32: 300, 64: 310, 128: 305}), 32, "larger ones are no faster"),
        (Machine({8: 100, 16: 100, 32: 100}), 8, "larger ones are no faster"),
        (Machine({8: 100, 16: 200, 32: 400, 64: 800}, longest=64), 64, "with 128 an epoch would have fewer than 10"),
        (Machine({8: 100, 16: 200}, fits=16), 16, "32 do not fit into the memory"),
        (Machine({}, GPU, fits=1000), 512, "1024 do not fit into the memory), 51% of the GPU's memory"),
        (Machine({}, GPU, fits=550), 256, "512 do not fit into the memory"),
        (Machine({}, GPU, longest=100), 64, "with 128 an epoch would have fewer than 10 steps"),
    ],
)
def test_the_choice(machine: Machine, size: int, reason: str) -> None:
    chosen, why = choose_batch_size(machine)  # type: ignore[arg-type]
    assert chosen == size
    assert reason in why


@pytest.mark.parametrize("batching", ["stream", "windows", "documents"])
def test_the_chosen_number_is_the_runs_own_and_its_result_that_of_the_number_typed(
    batching: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"document {i} learns of networks" for i in range(300)))
    given = [
        "data=text_files", "data.path=text.txt", "data.documents=blank_line", f"batching={batching}",
        "model.output_dropout=0.2", "trainer.precision=32-true", "trainer.deterministic=true",
    ]  # fmt: skip
    with caplog.at_level("INFO"):
        run = train_run(tmp_path / "auto", *given, "trainer.batch_size=auto")
    (line,) = [record.message for record in caplog.records if "batch_size=auto" in record.message]
    size = run.config().trainer.rows
    assert line.startswith(f"trainer.batch_size=auto: {size}, ")
    typed = train_run(tmp_path / "typed", *given, f"trainer.batch_size={size}")
    assert_equal_runs(run, typed)
    assert evaluate_run(run) == evaluate_run(typed)


def test_a_resumed_run_keeps_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train_run(tmp_path / "run", "trainer.batch_size=auto")
    size, steps = run.config().trainer.rows, run.results()["steps"]
    monkeypatch.setattr(StepTimer, "__call__", lambda *_: pytest.fail("tried again"))
    with claimed_run(run.directory, resume=True) as again:
        given = ["trainer.batch_size=auto", "trainer.max_epochs=2"]  # the first as it was typed before
        train(resumed_config(again, given), again, given)
    assert run.config().trainer.rows == size
    assert run.results()["steps"] == 2 * steps
    other = train_run(tmp_path / "other", "trainer.batch_size=8")
    with pytest.raises(ConfigError, match=r"trainer\.batch_size=auto: the run was made with trainer\.batch_size=8"):
        resumed_config(other, ["trainer.batch_size=auto"])


def test_a_text_too_short_for_any_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcdefghij")
    given = [*TINY, "data=text_files", "data.path=text.txt", "data.test_fraction=0.2", "data.validation_fraction=0.3"]
    with claimed_run(tmp_path / "run") as run, pytest.raises(DataError, match="too few for 8 rows"):
        train(compose_train(*given, "trainer.batch_size=auto"), run, [])
