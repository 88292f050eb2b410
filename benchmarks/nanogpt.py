"""The small transformer to race against: nanoGPT's published CPU recipe for tiny-shakespeare, as its README gives it.

A process of its own, started by ``time_to_quality.py``. Recipe (karpathy/nanoGPT, README "I only have a macbook" and
config/train_shakespeare_char.py): 4 layers, 4 heads, 128 channels, context 64, batch 12, 2,000 steps of AdamW at 1e-3
with 100 steps of warm-up and a cosine to 1e-4, betas (0.9, 0.99), weight decay 0.1, clipping at 1, no dropout, float32,
20 batches of either part scored every 250 steps. It ends near 1.88 nats per character.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LAYERS, HEADS, CHANNELS, CONTEXT, BATCH, STEPS = 4, 4, 128, 64, 12, 2000
PEAK, FLOOR, WARMUP, EVALUATE_EVERY, EVALUATION_BATCHES = 1e-3, 1e-4, 100, 250, 20


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each behind a layer norm and beside a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(CHANNELS, bias=False), nn.LayerNorm(CHANNELS, bias=False)
        self.attend, self.project = (
            nn.Linear(CHANNELS, 3 * CHANNELS, bias=False),
            nn.Linear(CHANNELS, CHANNELS, bias=False),
        )
        self.widen, self.narrow = (
            nn.Linear(CHANNELS, 4 * CHANNELS, bias=False),
            nn.Linear(4 * CHANNELS, CHANNELS, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, _ = x.shape
        parts = self.attend(self.norm_1(x)).view(batch, time, 3, HEADS, CHANNELS // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts, is_causal=True)  # (batch, heads, time, channels / heads)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, time, CHANNELS))
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x))))


class Transformer(nn.Module):
    """A decoder-only transformer whose embedding is also its softmax."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, CHANNELS), nn.Embedding(CONTEXT, CHANNELS)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(CHANNELS, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = "project" in name or "narrow" in name
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * LAYERS) if residual else 1))

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1]))
        logits = self.norm(self.blocks(x)) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def rate(step: int) -> float:
    """Linear warm-up, then a cosine."""
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    return FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def batch(tokens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows at random places: inputs and targets, both (batch, context)."""
    starts = torch.randint(len(tokens) - CONTEXT, (BATCH,)).tolist()
    windows = torch.from_numpy(np.stack([tokens[start : start + CONTEXT + 1] for start in starts]).astype(np.int64))
    return windows[:, :-1], windows[:, 1:]


def main(path: str, steps: int = STEPS) -> None:
    """Train on the first nine tenths of the file; print the loss on the last."""
    torch.manual_seed(1337)
    text = Path(path).read_text("utf-8")
    symbols = {symbol: index for index, symbol in enumerate(sorted(set(text)))}
    tokens = np.array([symbols[symbol] for symbol in text], dtype=np.uint16)
    parts = {"train": tokens[: int(0.9 * len(tokens))], "val": tokens[int(0.9 * len(tokens)) :]}
    model = Transformer(len(symbols))
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    vectors = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    loss = math.inf
    for step in range(steps + 1):
        if step % EVALUATE_EVERY == 0:
            with torch.no_grad():
                losses = {
                    name: [model(*batch(part)).item() for _ in range(EVALUATION_BATCHES)]
                    for name, part in parts.items()
                }
            loss = float(np.mean(losses["val"]))
            print(f"step {step}: val {loss:.4f}", flush=True)
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad(set_to_none=True)
        model(*batch(parts["train"])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
