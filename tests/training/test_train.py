"""Training: the files of a run, and the errors that end it."""

import json
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import TINY, compose_train, train_run
from textloom.errors import RunError, TrainingError
from textloom.runs.checkpoints import load_model, read_checkpoint
from textloom.runs.claim import claimed_run
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.training.train import train


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run.directory)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_run_directory_holds_all_that_is_promised(toy_run: Run) -> None:
    results = toy_run.results()
    figures = {
        f"{part}/{name}"
        for part in ("val", "test")
        for name in ("loss", "perplexity", "bits_per_char", "accuracy", "unknown_rate")
    }
    assert figures | {"train/targets_per_second", "parameters", "duration_seconds"} <= set(results)
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in results.values())
    assert results["parameters"] == sum(p.numel() for p in load_model(toy_run, "best")[2].parameters())
    assert yaml.safe_load(toy_run.overrides_file.read_text())[-2:] == ["model.units=32", "trainer.max_epochs=3"]
    assert toy_run.config().model.units == 32
    assert toy_run.status()["status"] == "completed"
    provenance = json.loads(toy_run.provenance_file.read_text())
    assert {"git_commit", "git_dirty", "versions", "data_fingerprint"} <= set(provenance)
    assert provenance["versions"]["torch"] == torch.__version__
    assert toy_run.checkpoint_file("last").exists()
    assert len(list(toy_run.directory.glob("events.out.tfevents.*"))) == 1
    assert "temperature 0.5" in toy_run.samples_file.read_text()


def test_the_curves_bear_the_names_of_the_results(toy_run: Run) -> None:
    written, results = curves(toy_run), toy_run.results()
    for name in ("val/loss", "val/perplexity", "val/bits_per_char", "val/accuracy", "val/unknown_rate", "test/loss"):
        assert written[name][-1][1] == pytest.approx(results[name], rel=1e-6)
    steps = [step for step, _ in written["train/loss"]]
    assert steps == sorted(set(steps))
    assert {"train/targets_per_second", "train/learning_rate"} <= set(written)
    assert len(written["val/loss"]) == 3 + 1
    assert "hp_metric" not in written


def test_checkpoints_hold_plain_types(toy_run: Run) -> None:
    content = read_checkpoint(toy_run.checkpoint_file("last"))  # loads with weights_only=True
    assert content["epoch"] == 2
    assert all(name.startswith("model.") for name in content["state_dict"])


def test_training_learns_and_the_best_checkpoint_is_the_best(toy_run: Run) -> None:
    losses = [value for _, value in curves(toy_run)["val/loss"]]
    assert losses[-1] == pytest.approx(min(losses[:-1]), rel=1e-6)
    assert losses[-1] < losses[0] - 0.1


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path: Path) -> None:
    losses = [train_run(tmp_path / str(i), f"seed={seed}").results()["val/loss"] for i, seed in enumerate((1, 1, 2))]
    assert losses[0] == losses[1] != losses[2]


def test_numbers_too_small_to_matter_do_not_slow_training_down(tmp_path: Path) -> None:
    def small() -> list[float]:
        return torch.full((2,), 1e-39).mul(1.0).tolist()

    class Look(pl.Callback):
        seen: list[float]

        def on_train_batch_end(self, *_: object) -> None:
            self.seen = small()

    look = Look()
    with claimed_run(tmp_path / "run") as run:
        train(compose_train(*TINY, "trainer.max_steps=1"), run, [], callbacks=[look])
    assert look.seen == [0.0, 0.0]
    assert 0.0 not in small()


def test_max_steps_ends_in_the_middle_of_an_epoch_with_a_result(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.max_steps=2", "trainer.max_epochs=9", "trainer.batch_size=4")
    assert run.results()["steps"] == 2
    assert run.checkpoint_file("best").exists()
    assert read_checkpoint(run.checkpoint_file("last"))["global_step"] == 2


def test_early_stopping_waits_for_its_patience(tmp_path: Path) -> None:
    run = train_run(
        tmp_path / "run", "trainer.max_epochs=40", "trainer.early_stopping_patience=2", "optimizer=sgd",
        "optimizer.learning_rate=1e-30",
    )  # fmt: skip
    assert len(curves(run)["val/loss"]) == 1 + 2 + 1  # the first, two without improvement, the result


def test_validation_can_come_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.val_check_interval=2", "trainer.batch_size=8", "trainer.max_steps=6")
    assert [step for step, _ in curves(run)["val/loss"]] == [2, 4, 6, 7]


def test_the_end_is_validated_however_rare_validation_is(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.val_check_interval=1000", "trainer.max_epochs=2")
    assert [step for step, _ in curves(run)["val/loss"]] == [run.results()["steps"], run.results()["steps"] + 1]


def test_other_arguments_reach_lightnings_trainer(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "+trainer.extra.limit_train_batches=1", "trainer.max_epochs=3")
    assert run.results()["steps"] == 3


def test_a_diverging_training_stops_names_the_step_and_leaves_good_checkpoints(tmp_path: Path) -> None:
    config = compose_train(
        "trainer.max_epochs=50", "trainer.batch_size=8", "optimizer=sgd", "optimizer.learning_rate=1e36",
        "trainer.gradient_clip_val=null", "schedule=cosine", "schedule.warmup_steps=1000000", "samples.length=2",
        "optimizer.weight_decay=1e36",
    )  # fmt: skip
    from textloom.training.train import train

    with (
        claimed_run(tmp_path / "run") as run,
        pytest.raises(
            TrainingError, match=r"loss is .* at step \d+ \(learning rate .*, gradient norm .*\); lower optimizer"
        ),
    ):
        train(config, run, [])
    assert not run.results()


def test_a_checkpoint_survives_a_later_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.training import module

    original = module.TrainingModule.training_step

    def poisoned(self: module.TrainingModule, batch: object, index: int) -> torch.Tensor:
        if self.global_step == 40:
            with torch.no_grad():
                self.model.softmax.bias[0] = float("nan")
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module.TrainingModule, "training_step", poisoned)
    with pytest.raises(TrainingError, match="the training loss is nan at step 40"):
        train_run(tmp_path / "run", "trainer.batch_size=8", "trainer.max_epochs=50")
    weights = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["state_dict"]
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_every_optimizer_trains_under_every_schedule(optimizer: str, schedule: str, tmp_path: Path) -> None:
    run = train_run(
        tmp_path / "run", f"optimizer={optimizer}", f"schedule={schedule}", "trainer=debug",
        *(["schedule.warmup_steps=2"] if schedule == "cosine" else []),
    )  # fmt: skip
    rates = [value for _, value in curves(run)["train/learning_rate"]]
    assert len(set(rates)) > 1 if schedule == "cosine" else len(set(rates)) == 1


class TestDamagedRuns:
    """An incomplete run directory is refused, in one line that names the file."""

    @pytest.fixture
    def run(self, toy_run: Run, tmp_path: Path) -> Run:
        import shutil

        return Run(Path(shutil.copytree(toy_run.directory, tmp_path / "copy")))

    def test_truncated_checkpoint(self, run: Run) -> None:
        path = run.checkpoint_file("best")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(RunError, match=r"best\.ckpt: damaged, or not a checkpoint"):
            load_model(run, "best")

    def test_foreign_checkpoint(self, run: Run) -> None:
        torch.save({"weights": 1}, run.checkpoint_file("best"))
        with pytest.raises(RunError, match="not a checkpoint of textloom"):
            load_model(run, "best")

    def test_checkpoint_of_another_model(self, run: Run, tmp_path: Path) -> None:
        other = train_run(tmp_path / "other", "model=gru")
        run.checkpoint_file("best").write_bytes(other.checkpoint_file("best").read_bytes())
        with pytest.raises(RunError, match="do not fit the run's config"):
            load_model(run, "best")

    def test_missing_checkpoint(self, run: Run) -> None:
        run.checkpoint_file("best").unlink()
        with pytest.raises(RunError, match=r"best\.ckpt is missing; set checkpoint=last, or resume with: .* resume="):
            find_run(str(run.directory), Path("outputs"))
        assert find_run(str(run.directory), Path("outputs"), "last") == run

    @pytest.mark.parametrize("content", ["", "{", "name: x", "\x00", "- 1", "a: b: c"])
    def test_damaged_config(self, run: Run, content: str) -> None:
        run.config_file.write_text(content)
        with pytest.raises(RunError, match=r"config\.yaml"):
            load_model(run, "best")


def test_latest_and_best_find_their_run(tmp_path: Path) -> None:
    small = train_run(tmp_path / "outputs/small", "trainer=debug")
    good = train_run(tmp_path / "outputs/deep/good", "trainer.max_epochs=2")
    latest = train_run(tmp_path / "outputs/latest", "trainer=debug", "model.units=2")
    (tmp_path / "outputs/other").mkdir()
    with claimed_run(tmp_path / "outputs/unfinished") as other:
        pass
    assert find_run("latest", tmp_path / "outputs") == latest
    assert find_run("best", tmp_path / "outputs") == good
    latest.config_file.write_text("damaged")
    assert find_run("latest", tmp_path / "outputs") == good
    assert not other.results()
    assert small.results()["val/loss"] > good.results()["val/loss"]


def test_best_never_compares_across_data(tmp_path: Path) -> None:
    (tmp_path / "easy.txt").write_text("ab" * 2000)
    train_run(tmp_path / "outputs/easy", "data=text_files", "data.path=easy.txt")
    toy = train_run(tmp_path / "outputs/toy")
    assert find_run("best", tmp_path / "outputs") == toy
