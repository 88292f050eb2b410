"""Training steps outside of Lightning, whose time and memory are measured."""

import torch

from textloom.batching.batch import Batch
from textloom.config import TrainConfig
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.training.objective import Objective
from textloom.training.optimizers import build_optimizer


class TrialStep:
    """Takes optimizer steps with a new model, which is discarded afterwards."""

    def __init__(self, config: TrainConfig, vocabulary_size: int, device: torch.device, precision: str):
        """``config`` is that of a network with a number of units."""
        assert not config.model.is_ngram
        self.device = device
        self.model = RecurrentLanguageModel(config.model, vocabulary_size).to(device)
        self.optimizer = build_optimizer(config.optimizer, self.model, fused=precision != "16-mixed")
        self.objective = Objective.of(config.trainer, vocabulary_size).to(device)
        self.is_mixed = precision != "32-true"
        self.dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16

    def __call__(self, batch: Batch) -> None:
        """Take a step on a batch: forward pass, backward pass and update. Returns when the device has finished it."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.is_mixed):
            rows = self.objective.rows(batch)
            hidden, _ = self.model(rows.inputs)
            loss, _ = self.objective(self.model.softmax, rows.states_with_targets(hidden), rows.targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        loss.item()  # waits for a GPU
