"""Run directories as training leaves them, without the training: real text, real tokens, figures of our choosing."""

from pathlib import Path

import yaml
from torch.utils.tensorboard import SummaryWriter

from conftest import compose_train
from textloom.runs.run import Run, Status
from textloom.system.files import write_checked_text, write_json
from textloom.training.preparation import prepare


def make_run(
    directory: Path, *overrides: str, loss: float = 2.0, status: Status = "completed", error: str | None = None
) -> Run:
    """A run with this val/loss; its other figures follow from it."""
    config, run = compose_train(*overrides), Run(directory)
    run.checkpoints.mkdir(parents=True)
    run.mark("running")
    config_text = yaml.safe_dump(config.model_dump(mode="json", exclude={"resume"}), sort_keys=False)
    write_checked_text(run.config_file, config_text)
    prepared = prepare(config, run, "cpu")
    if status == "completed":
        val = prepared.splits["val"]
        bits = (loss * val.targets + val.spelling_nats) / 0.6931471805599453 / val.characters
        figures = {"val/loss": loss, "val/bits_per_char": bits, "val/accuracy": 1 / (1 + loss)}
        cost = {"train/targets_per_second": 1e5, "parameters": 1000, "steps": 20, "duration_seconds": 1.5}
        write_json(run.results_file, {**figures, **cost})
        write_events(run, figures)
    run.mark(status, error)
    return run


def write_events(run: Run, figures: dict[str, float]) -> None:
    """Curves that fall to the figures in 20 steps."""
    with SummaryWriter(str(run.directory)) as writer:
        for step in range(1, 21):
            writer.add_scalar("train/loss", 4 - step / 20, step)
            writer.add_scalar("train/targets", 100.0 * step, step)
            if step % 5 == 0:
                for tag, value in figures.items():
                    writer.add_scalar(tag, value * (1 + (20 - step) / 20), step)
