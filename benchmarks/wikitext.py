"""A WikiText-2 sized word model: our Trainer against the loop of PyTorch's own example, word_language_model.

The text is made up, with WikiText-2's vocabulary of 33,278 and word frequencies that follow Zipf's law.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.fit import composed, made_up_tokens, step_seconds
from benchmarks.rows import Row, compared

VOCABULARY, UNITS, LAYERS, ROWS, STEPS, DROPOUT, CLIP, RATE = 33_278, 200, 2, 20, 35, 0.2, 0.25, 20.0


def main(quick: bool = False) -> list[Row]:
    """One row, on the CPU."""
    size = 100 if quick else VOCABULARY
    config = composed(
        "batching=stream", f"batching.steps={STEPS}", f"model.units={UNITS}", f"model.embedding_dim={UNITS}",
        f"model.layers={LAYERS}", *(f"model.{place}_dropout={DROPOUT}" for place in ("input", "layer", "output")),
        "optimizer=sgd", f"optimizer.learning_rate={RATE}", f"trainer.gradient_clip_val={CLIP}",
        f"trainer.batch_size={ROWS}", "trainer.accelerator=cpu",
    )  # fmt: skip
    tokens = made_up_tokens(size)
    seconds = step_seconds(config, size, tokens, [_TheExample(size, tokens)], *((0.01, 1) if quick else (2.0, 9)))
    both = compared(*seconds)
    work = f"WikiText-2, {LAYERS} x {UNITS} units, {ROWS} x {STEPS}, vocabulary {size:,}"
    against = "PyTorch's word_language_model example"
    return [Row(work, against, 1000 * both.ours, 1000 * both.theirs, "ms/batch", both.speedup, 2.5)]


class _TheExample(nn.Module):
    """What pytorch/examples, word_language_model, does in model.py and in main.py's ``train``, in its float32."""

    def __init__(self, vocabulary_size: int, tokens: np.ndarray):
        super().__init__()
        self.drop = nn.Dropout(DROPOUT)
        self.encoder = nn.Embedding(vocabulary_size, UNITS)
        self.rnn = nn.LSTM(UNITS, UNITS, LAYERS, dropout=DROPOUT)
        self.decoder = nn.Linear(UNITS, vocabulary_size)
        self.criterion = nn.NLLLoss()
        columns = len(tokens) // ROWS
        self.text = torch.from_numpy(tokens[: columns * ROWS].astype(np.int64)).view(ROWS, -1).t().contiguous()
        self.batches = self._batches()
        self.state = tuple(torch.zeros(LAYERS, ROWS, UNITS) for _ in range(2))
        self.summed = 0.0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        vectors = self.drop(self.encoder(inputs))  # (time, rows, units)
        hidden, self.state = self.rnn(vectors, tuple(part.detach() for part in self.state))
        logits = self.decoder(self.drop(hidden)).view(-1, self.decoder.out_features)
        return F.log_softmax(logits, dim=1)

    def __call__(self, steps: int) -> None:
        """Train."""
        for _ in range(steps):
            inputs, targets = next(self.batches)
            self.zero_grad()
            loss = self.criterion(self.forward(inputs), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), CLIP)
            for parameter in self.parameters():
                parameter.data.add_(parameter.grad, alpha=-RATE)
            self.summed += loss.item()

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            for first in range(0, len(self.text) - STEPS, STEPS):
                yield self.text[first : first + STEPS], self.text[first + 1 : first + 1 + STEPS].view(-1)
