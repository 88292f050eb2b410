"""Generation: our step against Keras's ``model.predict`` loop and an eager ``nn.LSTM``, and many texts against one."""

import os
import statistics

import numpy as np
import torch

from benchmarks.keras_process import MISSING, keras_process
from benchmarks.rows import Row, seconds, unmeasured
from textloom.config import LSTMConfig
from textloom.generation.generate import draw_texts, generate_texts, open_prompt, stream_text
from textloom.generation.requests import Beams, Request, Rules
from textloom.generation.sampling import Sampling
from textloom.generation.text import Limits
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("".join(map(chr, range(32, 90))), lowercase=False)  # 60 tokens
PROMPT, WINDOW, KERAS_TOKENS = "DEEP LEARN", 10, 20
BEAMS = 8
KERAS, EAGER = "Keras, model.predict on a window of 10 for each token", "eager loop: nn.LSTM, nn.Linear, multinomial"


def main(quick: bool = False) -> list[Row]:
    """Rows for the CPU, and for the GPU where there is one."""
    rows = _one_text(model_of(8 if quick else 128), _turns(quick))
    rows += [_streamed(model_of(8 if quick else 128), _turns(quick))]
    rows += [_beams(model_of(units), units, _turns(quick)) for units in ((8,) if quick else (128, 512))]
    return [*rows, *rows_on("cpu", quick), *rows_on("cuda", quick)]


def rows_on(device: str, quick: bool) -> list[Row]:
    """Many texts against one, on one kind of device."""
    sizes = ((8, 15.0),) if quick else ((128, 15.0), (512, None))
    return [_many_texts(model_of(units), device, units, must, _turns(quick)) for units, must in sizes]


def _turns(quick: bool) -> int:
    return 2 if quick else 9


def _one_text(model: RecurrentLanguageModel, turns: int) -> list[Row]:
    """Batch 1 in turns with the others. Threads: ours takes one, the others what torch has here."""
    work = "generation, batch 1, LSTM 128 char"
    with keras_process() as keras:
        if keras is not None:
            generator = np.random.default_rng(0)
            windows = generator.integers(TOKENIZER.vocabulary_size, size=(64, WINDOW))
            keras.build("char", windows, windows[:, 0], TOKENIZER.vocabulary_size, batch_size=64)
            keras.generate("char", KERAS_TOKENS)
        timed: dict[str, list[float]] = {"ours": [], "windows": [], "eager": [], "keras": []}
        for _ in range(turns):
            timed["ours"].append(_seconds_a_token(model, 1, 1000))
            timed["eager"].append(_eager_seconds_a_token(model, 300))
            timed["windows"].append(_seconds_a_token(model, 1, 300, WINDOW))
            if keras is not None:
                timed["keras"].append(keras.generate("char", KERAS_TOKENS))
    rows = [_row(work, EAGER, timed["ours"], timed["eager"], 4.0)]
    same = work + ", windows of 10 read anew"
    if keras is None:
        return [*rows, unmeasured(work, KERAS, 500.0, MISSING), unmeasured(same, KERAS, 500.0, MISSING)]
    return [
        *rows,
        _row(work, KERAS, timed["ours"], timed["keras"], 500.0),
        _row(same, KERAS, timed["windows"], timed["keras"], None),
    ]


def _many_texts(model: RecurrentLanguageModel, device: str, units: int, must: float | None, turns: int) -> Row:
    work, against = f"generation on {device}, batch 64, LSTM {units} char", "our batch 1"
    if device == "cuda" and not torch.cuda.is_available():
        return unmeasured(work, against, must or 15.0, "no GPU here")
    model = model.to(device)
    many, one = [], []
    for _ in range(turns):
        many.append(_seconds_a_token(model, 64, 500) / 64)
        one.append(_seconds_a_token(model, 1, 500))
    return _row(work, against, many, one, must)


def _streamed(model: RecurrentLanguageModel, turns: int) -> Row:
    """A text written while it is drawn against the same text at once: at most 5 % slower."""
    request = Request(open_prompt(model, TOKENIZER, PROMPT), Sampling(0.8), seed=0)
    rules, length = Rules(Limits(1000)), 1000

    def stream() -> None:
        with open(os.devnull, "w") as file:
            for piece in stream_text(model, TOKENIZER, request, rules):
                file.write(piece)
                file.flush()

    streamed, whole = [], []
    for _ in range(turns):
        streamed.append(seconds(stream) / length)
        whole.append(seconds(lambda: draw_texts(model, TOKENIZER, [request], rules)) / length)
    return _row("generation, batch 1, LSTM 128 char, written while it is drawn", "at once", streamed, whole, 0.95)


def _beams(model: RecurrentLanguageModel, units: int, turns: int) -> Row:
    """A beam search of 8 against eight texts one after the other, in tokens of the 8 a second."""
    length = 200
    request = Request(open_prompt(model, TOKENIZER, PROMPT), Sampling(0.8), seed=0)
    search, alone = Rules(Limits(length), beams=Beams(BEAMS)), Rules(Limits(length))
    beams, one = [], []
    for _ in range(turns):
        beams.append(seconds(lambda: draw_texts(model, TOKENIZER, [request], search)) / length / BEAMS)
        one.append(seconds(lambda: draw_texts(model, TOKENIZER, [request], alone)) / length)
    return _row(f"beam search of {BEAMS}, LSTM {units} char", f"{BEAMS} texts one after the other", beams, one, 4.0)


def _row(work: str, against: str, ours: list[float], theirs: list[float], must: float | None) -> Row:
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    note = f"{torch.get_num_threads()} threads"
    return Row(
        work, against, 1 / statistics.median(ours), 1 / statistics.median(theirs), "tokens/s", ratio, must, note=note
    )


def model_of(units: int) -> RecurrentLanguageModel:
    """An LSTM of random weights that never ends a text."""
    torch.manual_seed(0)
    config = LSTMConfig(
        cell="lstm", units=units, layers=1, embedding_dim=None, tied_weights=False,
        input_dropout=0.0, layer_dropout=0.0, output_dropout=0.0,
    )  # fmt: skip
    model = RecurrentLanguageModel(config, TOKENIZER.vocabulary_size)
    model.softmax.bias.data[TOKENIZER.end_id] = -100.0  # a text without end
    return model


def _seconds_a_token(model: RecurrentLanguageModel, texts: int, length: int, window: int | None = None) -> float:
    """The whole call: preparing the weights, the prompt, and the text made of tokens."""
    samplings = [Sampling(0.8)] * texts
    return seconds(lambda: generate_texts(model, TOKENIZER, PROMPT, length, samplings, window, seed=0)) / length


@torch.inference_mode()
def _eager_seconds_a_token(model: RecurrentLanguageModel, length: int) -> float:
    """What one writes first: the modules called for each token, a multinomial draw, its number fetched."""
    recurrence, softmax, eye = model.recurrence, model.softmax, torch.eye(model.vocabulary_size)

    def loop() -> None:
        token, state = torch.tensor([[1]]), None
        for _ in range(length):
            hidden, state = torch.nn.LSTM.forward(recurrence, eye[token], state)
            token = torch.multinomial(torch.softmax(softmax(hidden[:, -1]) / 0.8, dim=-1), 1)
            token.item()

    return seconds(loop) / length


if __name__ == "__main__":
    print(*main(), sep="\n")
