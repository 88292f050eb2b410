"""The training loops to be measured against, as one writes them by hand for one purpose."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import TrainConfig, WindowsConfig
from textloom.training.loss import softmax_cross_entropy
from textloom.training.precision import choose_precision

Loss = Callable[[torch.Tensor, nn.Linear, torch.Tensor], torch.Tensor]


def our_loss(hidden: torch.Tensor, softmax: nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """Softmax and cross-entropy in slices, as our Trainer has it."""
    return softmax_cross_entropy(hidden, softmax.weight, softmax.bias, targets)


def torch_loss(hidden: torch.Tensor, softmax: nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """What one would write first: all logits, then the loss."""
    return F.cross_entropy(softmax(hidden), targets)


class LoopByHand:
    """One embedding or one-hot input, one LSTM, one softmax, Adam; batches are slices of one tensor of tokens."""

    def __init__(self, config: TrainConfig, vocabulary_size: int, tokens: np.ndarray, loss: Loss):
        torch.manual_seed(config.seed)
        self.device = torch.device(
            "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
        )
        size = config.model.embedding_dim or vocabulary_size
        table = None if config.model.embedding_dim else torch.eye(vocabulary_size)
        self.embedding = nn.Embedding(vocabulary_size, size, _weight=table, _freeze=table is not None)
        self.lstm = nn.LSTM(size, config.model.units, config.model.layers, batch_first=True)
        self.softmax = nn.Linear(config.model.units, vocabulary_size)
        self.model = nn.ModuleList([self.embedding, self.lstm, self.softmax]).to(self.device)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=config.optimizer.learning_rate, fused=True)
        self.limit = config.trainer.gradient_clip_val
        self.loss = loss
        self.bf16 = choose_precision(config, self.device, vocabulary_size)[0] == "bf16-mixed"
        tokens = torch.from_numpy(tokens.astype(np.int64)).to(self.device)
        if isinstance(config.batching, WindowsConfig):
            self.batches = _windows(tokens, config.trainer.rows, config.batching.context)
        else:
            self.batches = _stream(tokens, config.trainer.rows, config.batching.steps)
        self.last_only = isinstance(config.batching, WindowsConfig)
        self.state: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, steps: int) -> None:
        """Train."""
        for _ in range(steps):
            inputs, targets = next(self.batches)
            with torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext():
                hidden, state = self.lstm(self.embedding(inputs), self.state)
                hidden = hidden[:, -1] if self.last_only else hidden.flatten(0, 1)  # (targets, units)
                loss = self.loss(hidden, self.softmax, targets)
            if not self.last_only:
                self.state = (state[0].detach(), state[1].detach())
            self.optimizer.zero_grad()
            loss.backward()
            if self.limit is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.limit)
            self.optimizer.step()


def _stream(tokens: torch.Tensor, rows: int, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    length = (len(tokens) - 1) // rows
    inputs, targets = (tokens[shift : shift + rows * length].view(rows, length) for shift in (0, 1))
    while True:
        for first in range(0, length - steps + 1, steps):
            part = slice(first, first + steps)
            yield inputs[:, part], targets[:, part].flatten()


def _windows(tokens: torch.Tensor, batch_size: int, context: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    windows = tokens.unfold(0, context + 1, 1)  # (windows, context + 1), no copy
    while True:
        for chosen in torch.randperm(len(windows)).split(batch_size)[:-1]:
            batch = windows[chosen.to(tokens.device)]
            yield batch[:, :-1], batch[:, -1]
