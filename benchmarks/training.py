"""Training: our Trainer against a loop written by hand with the same model, batches, precision and loss."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.by_hand import LoopByHand, our_loss, torch_loss
from benchmarks.fit import Steps, composed, made_up_tokens, step_seconds
from benchmarks.machine import product_rate
from benchmarks.rows import Row, compared, unmeasured
from textloom.config import StreamConfig, TrainConfig
from textloom.training.precision import choose_precision

UNITS = (128, 512, 1024)
VOCABULARIES = {"char": 65, "word": 10_000, "word, large": 50_000}
SAME, PLAIN = "hand-written loop", "hand-written loop, F.cross_entropy"


@dataclass(frozen=True)
class Work:
    """A training to measure."""

    label: str
    overrides: list[str]
    vocabulary_size: int
    units: int


def main(quick: bool = False) -> Iterator[Row]:
    """Rows for the CPU, and for the GPU where there is one."""
    for accelerator in ("cpu", "gpu"):
        for work in works(quick):
            yield from rows_on(accelerator, work, quick)
    yield _adaptive_softmax(quick)
    yield _sampled_softmax(quick)
    yield from _share_of_peak(quick)


def rows_on(accelerator: str, work: Work, quick: bool) -> list[Row]:
    """The rows of one training on one kind of device."""
    label = f"training on {accelerator}, {work.label}"
    must = 0.80 if accelerator == "gpu" and work.units < 512 else 0.95
    if accelerator == "gpu" and not torch.cuda.is_available():
        return [unmeasured(label, SAME, must, "no GPU here")]
    config = composed(*work.overrides, f"trainer.accelerator={accelerator}")
    return _against_the_loop(label, config, work.vocabulary_size, must, quick)


def works(quick: bool) -> Iterator[Work]:
    """Every training, by units and vocabulary, and the tutorial's."""
    if quick:
        yield Work("LSTM 8, char", ["model.units=8", "trainer.batch_size=2", "batching.steps=8"], 65, 8)
    else:
        for units in UNITS:
            for level, size in VOCABULARIES.items():
                yield Work(f"LSTM {units}, {level} ({size:,}), 32 x 64", [f"model.units={units}"], size, units)
    yield Work("tutorial_char's LSTM 128, 64 windows of 10", ["experiment=tutorial_char"], 60, 128)


def _against_the_loop(label: str, config: TrainConfig, vocabulary_size: int, must: float, quick: bool) -> list[Row]:
    targets, seconds = _targets(config), _step_seconds(config, vocabulary_size, quick)
    rows = []
    for against, theirs, least in ((SAME, seconds[1], must), (PLAIN, seconds[2], None)):
        both = compared(seconds[0], theirs)
        rows.append(Row(label, against, targets / both.ours, targets / both.theirs, "targets/s", both.speedup, least))
    return rows


def _step_seconds(config: TrainConfig, vocabulary_size: int, quick: bool) -> list[list[float]]:
    tokens = made_up_tokens(vocabulary_size)
    loops = [LoopByHand(config, vocabulary_size, tokens, loss) for loss in (our_loss, torch_loss)]
    block_seconds, turns = (0.01, 2) if quick else (0.3, 11)
    return step_seconds(config, vocabulary_size, tokens, loops, block_seconds, turns)


def _adaptive_softmax(quick: bool) -> Row:
    units, size, cutoffs = (16, 90, "[20,50]") if quick else (256, 200_000, "[20000,100000]")
    config = composed(f"model.units={units}", f"model.softmax_cutoffs={cutoffs}", "trainer.accelerator=cpu")
    tokens, turns = made_up_tokens(size), ((0.01, 2) if quick else (5.0, 3))
    both = compared(*step_seconds(config, size, tokens, [LoopByHand(config, size, tokens, our_loss)], *turns))
    work, targets = (
        f"training on cpu, LSTM {units}, adaptive softmax {cutoffs}, {size:,} words, 32 x 64",
        _targets(config),
    )
    against = "hand-written loop, dense softmax"
    return Row(work, against, targets / both.ours, targets / both.theirs, "targets/s", both.speedup, None)


def _sampled_softmax(quick: bool) -> Row:
    units, size, samples = (16, 90, 20) if quick else (200, 33_278, 4096)
    model = [f"model.units={units}", f"model.embedding_dim={units}", "model.tied_weights=true", "model.layers=2"]
    config = composed(*model, f"trainer.softmax_samples={samples}", "trainer.accelerator=cpu")
    tokens, turns = made_up_tokens(size), ((0.01, 2) if quick else (2.0, 5))
    both = compared(*step_seconds(config, size, tokens, [LoopByHand(config, size, tokens, our_loss)], *turns))
    work = f"training on cpu, LSTM 2 x {units}, {samples:,} sampled words of {size:,}, 32 x 64"
    against, targets = "hand-written loop, all words", _targets(config)
    return Row(work, against, targets / both.ours, targets / both.theirs, "targets/s", both.speedup, None)


def _targets(config: TrainConfig) -> int:
    return config.trainer.rows * (config.batching.steps if isinstance(config.batching, StreamConfig) else 1)


def _share_of_peak(quick: bool) -> list[Row]:
    """Model FLOP/s, counted as 6 for each weight of a matrix and target: 2 forward, 4 backward."""
    units, batch_size, size = (8, 2, 65) if quick else (512, 64, 65)
    config = composed(f"model.units={units}", f"trainer.batch_size={batch_size}", "trainer.accelerator=cpu")
    precision, reason = choose_precision(config, torch.device("cpu"), size)
    bf16 = precision == "bf16-mixed"
    work, against = f"model FLOP/s on cpu, LSTM {units}, {batch_size} x 64, char, ", "peak of matrix products, "
    dtype, name, must = (torch.bfloat16, "bf16", 0.55) if bf16 else (torch.float32, "float32", None)
    rows = [] if bf16 else [unmeasured(work + "bf16", against + "bf16", 0.55, reason)]
    weights = 4 * units * ((config.model.embedding_dim or size) + units) + units * size
    squares, turns = ((256,), (0.01, 2)) if quick else ((1024, 2048, 4096), (2.0, 7))
    square = max(squares, key=lambda size: product_rate(size, "cpu", dtype))
    ours, theirs = 6 * weights * _targets(config), 2 * square**3  # of a step, of a product
    both = compared(*step_seconds(config, size, made_up_tokens(size), [_products(square, dtype)], *turns))
    rates = ours / both.ours / 1e9, theirs / both.theirs / 1e9
    return [*rows, Row(work + name, against + name, *rates, "GFLOP/s", both.speedup * ours / theirs, must)]


def _products(square: int, dtype: torch.dtype) -> Steps:
    """Products of square matrices, one after the other."""
    a, b = (torch.randn(square, square).to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply(steps: int) -> None:
        for _ in range(steps):
            torch.mm(a, b, out=out)

    return multiply
