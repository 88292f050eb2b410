"""Every cell against ``nn.LSTM`` with as many parameters: training on long sequences, and generation.

minGRU and minLSTM train on a single row too: with many rows ``nn.LSTM`` is close to the processor's limit, which
no cell can exceed by much. Each model trains in the precision that is faster for it.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from benchmarks.by_hand import LoopByHand, our_loss
from benchmarks.fit import composed, made_up_tokens, step_seconds
from benchmarks.generation import PROMPT, TOKENIZER
from benchmarks.rows import Row, compared, seconds
from textloom.config import CELLS, TrainConfig
from textloom.generation.generate import generate_texts
from textloom.generation.sampling import Sampling
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import sized
from textloom.training.precision import choose_precision

VOCABULARY = 65
LSTM = "nn.LSTM with as many parameters"
MUST = {"awd_lstm": 0.9, "mingru": 1.5, "minlstm": 1.5}  # of the speed of training
ONE_ROW = ("mingru", "minlstm")  # cells that are measured with one long row too
LAYERS = {"transformer": 4, "mingru": 4, "minlstm": 4}  # one of the others
TIED = ("mingru", "minlstm")
"""Cells with an embedding as long as the units, as in their paper, which is shared with the softmax.

All their weights multiply the input: one layer over a short embedding would have thousands of units.
"""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    parameters: int
    rows: int
    steps: int
    block_seconds: float
    turns: int
    tokens: int
    """Of a generated text."""


FULL = Scale(parameters=1_000_000, rows=32, steps=256, block_seconds=2.0, turns=5, tokens=1000)
QUICK = Scale(parameters=8_000, rows=2, steps=8, block_seconds=0.01, turns=2, tokens=5)


def main(quick: bool = False) -> Iterator[Row]:
    """Rows for the CPU."""
    scale = QUICK if quick else FULL
    cells = [cell for cell in CELLS.names if cell != "lstm"]  # the LSTM's own rows are those of training, generation
    for cell in cells:
        yield _training(cell, scale)
    for cell in ONE_ROW:
        for steps in (scale.steps, 4 * scale.steps):
            yield _training(cell, replace(scale, rows=1, steps=steps))
    yield from _generation(cells, scale)


def _training(cell: str, scale: Scale) -> Row:
    config, lstm = (_config(one, scale, VOCABULARY) for one in (cell, "lstm"))
    tokens = made_up_tokens(VOCABULARY)
    loop = LoopByHand(lstm, VOCABULARY, tokens, our_loss)
    both = compared(*step_seconds(config, VOCABULARY, tokens, [loop], scale.block_seconds, scale.turns))
    targets = scale.rows * scale.steps
    cpu = torch.device("cpu")
    work = f"training on cpu, {_shown(config)}, {scale.rows} x {scale.steps}"
    note = f"{choose_precision(config, cpu, VOCABULARY)[0]} against {choose_precision(lstm, cpu, VOCABULARY)[0]}"
    return Row(
        work, LSTM, targets / both.ours, targets / both.theirs, "targets/s", both.speedup, MUST.get(cell), note=note
    )


def _generation(cells: list[str], scale: Scale) -> Iterator[Row]:
    lstm = _model(_config("lstm", scale, TOKENIZER.vocabulary_size))
    for cell in cells:
        config = _config(cell, scale, TOKENIZER.vocabulary_size)
        model = _model(config)
        timed = [(_seconds(model, scale.tokens), _seconds(lstm, scale.tokens)) for _ in range(scale.turns + 1)][1:]
        ours, theirs = (statistics.median(one) for one in zip(*timed, strict=True))
        ratio = statistics.median(of_lstm / of_cell for of_cell, of_lstm in timed)
        work = f"generation, batch 1, {_shown(config)}, {scale.tokens} tokens"
        against = f"lstm, {parameter_count(lstm):,} parameters"
        yield Row(work, against, scale.tokens / ours, scale.tokens / theirs, "tokens/s", ratio, None)


def _config(cell: str, scale: Scale, vocabulary_size: int) -> TrainConfig:
    """The cell with its own defaults and as many units as the parameters allow."""
    config = composed(
        f"model={cell}", "model.units=auto", f"model.parameters={scale.parameters}", "model.layer_dropout=0",
        f"model.layers={LAYERS.get(cell, 1)}", "batching=stream", f"batching.steps={scale.steps}",
        f"trainer.batch_size={scale.rows}", "trainer.accelerator=cpu",
        *(["model.tied_weights=true"] if cell in TIED else []),
    )  # fmt: skip
    assert not config.model.is_ngram
    return config.model_copy(update={"model": sized(config.model, vocabulary_size)})


def _shown(config: TrainConfig) -> str:
    model = config.model
    assert not model.is_ngram
    embedding = f", tied embedding of {model.embedding_dim}" if model.kind in TIED else ""
    return f"{model.kind}, {model.layers} x {model.units} units{embedding}"


def _model(config: TrainConfig) -> RecurrentLanguageModel:
    assert not config.model.is_ngram
    torch.manual_seed(0)
    model = RecurrentLanguageModel(config.model, TOKENIZER.vocabulary_size).eval()
    model.softmax.bias.data[TOKENIZER.end_id] = -100.0  # a text without end
    return model


def _seconds(model: RecurrentLanguageModel, length: int) -> float:
    """The whole call, the preparation of the weights included."""
    return seconds(lambda: generate_texts(model, TOKENIZER, PROMPT, length, [Sampling(0.8)], seed=0))


if __name__ == "__main__":
    print(*main(), sep="\n")
