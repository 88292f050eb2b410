"""What pytorch/examples, word_language_model, does in model.py and in main.py's ``train``, in its float32.

A process of its own, started by ``wikitext.py``, with nothing set that the example does not set. It reads how many
steps to train, and answers when they are done.
"""

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.fit import made_up_tokens

UNITS, LAYERS, ROWS, STEPS, DROPOUT, CLIP, RATE = 200, 2, 20, 35, 0.2, 0.25, 20.0


class Example(nn.Module):
    """The model, and its loop."""

    def __init__(self, vocabulary_size: int):
        super().__init__()
        self.drop = nn.Dropout(DROPOUT)
        self.encoder = nn.Embedding(vocabulary_size, UNITS)
        self.rnn = nn.LSTM(UNITS, UNITS, LAYERS, dropout=DROPOUT)
        self.decoder = nn.Linear(UNITS, vocabulary_size)
        self.criterion = nn.NLLLoss()
        tokens = made_up_tokens(vocabulary_size)
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

    def train_steps(self, steps: int) -> None:
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


if __name__ == "__main__":
    torch.manual_seed(0)
    example = Example(vocabulary_size=int(sys.argv[1]))
    for line in sys.stdin:
        example.train_steps(int(line))
        print("done", flush=True)
