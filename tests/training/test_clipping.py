"""Gradients are clipped by their norm, as torch does it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import train_run
from textloom.runs.checkpoints import load_model
from textloom.training.module import TrainingModule


def weights(directory: Path, *overrides: str) -> torch.Tensor:
    run = train_run(directory, "optimizer=sgd", *overrides)
    return torch.cat([parameter.flatten() for parameter in load_model(run, "last")[2].parameters()])


def test_gradients_are_clipped_as_torch_clips_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 0.3
    clipped = weights(tmp_path / "clipped", f"trainer.gradient_clip_val={limit}")
    free = weights(tmp_path / "free", "trainer.gradient_clip_val=null")
    norms: list[float] = []

    def as_torch_does(module: TrainingModule, *rest: Any, **named: Any) -> None:
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
        norms.append(float(norm))
        module.meter.add_gradient_norm(norm)

    monkeypatch.setattr(TrainingModule, "configure_gradient_clipping", as_torch_does)
    expected = weights(tmp_path / "expected", f"trainer.gradient_clip_val={limit}")
    assert min(norms) < limit < max(norms)  # some of the steps are clipped, and some not
    assert torch.equal(clipped, expected)
    assert not torch.equal(free, expected)
