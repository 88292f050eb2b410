"""The decoder with prepared layers gives the same as the model."""

from collections.abc import Callable

import pytest
import torch

from conftest import model_config, own_keys
from textloom.config import CELLS
from textloom.generation import step_settings
from textloom.generation.generate import generate, generate_texts
from textloom.generation.sampling import Sampling
from textloom.models.decoder import RecurrentDecoder
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers.char import CharTokenizer

TEXT = "deep learning is learning from examples"
TOKENIZER = CharTokenizer.fit([TEXT], lowercase=False)  # 17 tokens with <unk> and <eos>

INPUTS = {
    "embedding": {"embedding_dim": 5},
    "tied": {"embedding_dim": 12, "tied_weights": True},
    "projected": {"embedding_dim": 5, "tied_weights": True, "output_projection": True},
    "adaptive": {"softmax_cutoffs": [4]},
    "one_hot_lookup": {"embedding_dim": None},
    "one_hot_index": {"embedding_dim": None, "units": 3},  # 17 symbols are a large vocabulary for 3 units
}


def build(cell: str, layers: int, **keys: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    values = {
        **own_keys(cell), "cell": cell, "units": 12, "layers": layers, "embedding_dim": 5, "tied_weights": False,
        "input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0, **keys,
    }  # fmt: skip
    model = RecurrentLanguageModel(model_config(values), TOKENIZER.vocabulary_size)
    for parameter in model.parameters():  # biases too, which start as zeros
        torch.nn.init.normal_(parameter)
    if isinstance(model.softmax, torch.nn.Linear):
        model.softmax.bias.data[TOKENIZER.end_id] = -100.0  # a text without end
    return model.eval()


def reference(model: RecurrentLanguageModel, prompt: str, length: int, window: int | None) -> str:
    """Greedy decoding by the model itself, which reads the whole text again for every token."""
    ids = [TOKENIZER.end_id, *TOKENIZER.encode(prompt).tolist()]
    for _ in range(length):
        logits = model.logits(model(torch.tensor([ids[-window:] if window else ids]))[0][0, -1])
        logits[TOKENIZER.unknown_id] = float("-inf")
        ids.append(int(logits.argmax()))
        if ids[-1] == TOKENIZER.end_id:
            break
    return TOKENIZER.decode(ids)


OF_TORCH = ("lstm", "gru", "rnn")
MODELS = [(cell, layers, which) for cell in OF_TORCH for layers in (1, 2) for which in INPUTS] + [
    (cell, 2, which) for cell in CELLS.names if cell not in OF_TORCH for which in ("projected", "one_hot_index")
]
ALL = [pytest.mark.parametrize("window", [None, 1, 6]), pytest.mark.parametrize(("cell", "layers", "which"), MODELS)]


def all_models(test: Callable[..., None]) -> Callable[..., None]:
    """Every kind of model that there is."""
    for mark in ALL:
        test = mark(test)
    return test


@all_models
@torch.inference_mode()
def test_the_logits_after_every_token_are_the_models_own(
    cell: str, layers: int, which: str, window: int | None
) -> None:
    model = build(cell, layers, **INPUTS[which])
    tokens = torch.randint(TOKENIZER.vocabulary_size, (3, 20), generator=torch.Generator().manual_seed(1))
    decoder = model.decoder(3, window)
    for time in range(20):
        decoder.read(tokens[:, time])
        context = tokens[:, max(0, time + 1 - window) if window else 0 : time + 1]
        assert torch.allclose(decoder.score(), model.logits(model(context)[0][:, -1]), atol=1e-4)


@all_models
def test_greedy_decoding_equals_the_models_own(cell: str, layers: int, which: str, window: int | None) -> None:
    model = build(cell, layers, **INPUTS[which])
    for prompt in ("deep learning", "d"):
        expected = reference(model, prompt, 20, window)
        assert generate(model, TOKENIZER, prompt, 20, Sampling(0), window) == expected


@pytest.mark.parametrize("window", [None, 4])
def test_a_large_vocabulary_makes_no_table(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("lstm", 2)
    with_table = generate(model, TOKENIZER, "deep", 30, Sampling(), window, seed=1)
    monkeypatch.setattr("textloom.models.decoder.TABLE_ROWS", 3)
    assert model.decoder(1, window)._table is None
    assert generate(model, TOKENIZER, "deep", 30, Sampling(), window, seed=1) == with_table


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("cell", CELLS.names)
def test_texts_side_by_side_equal_each_by_itself(cell: str, window: int | None) -> None:
    model = build(cell, 2)
    if cell == "mogrifier_lstm":  # with such weights rounding in float32 can change a text
        model = model.double()
    together = generate_texts(model, TOKENIZER, "deep", 70, [Sampling(0.7)] * 5, window, seed=3)
    assert len(set(together)) > (1 if cell == "transformer" else 4)  # which, with these weights, is nearly certain
    assert generate_texts(model, TOKENIZER, "deep", 70, [Sampling(0.7)] * 2, window, seed=3) == together[:2]
    assert generate(model, TOKENIZER, "deep", 70, Sampling(0.7), window, seed=3) == together[0]


def test_each_text_ends_at_its_own_end() -> None:
    model = build("lstm", 1)
    model.softmax.bias.data[TOKENIZER.end_id] = 0.0
    texts = generate_texts(model, TOKENIZER, "deep", 200, [Sampling(2.0)] * 8, seed=0)
    assert len({len(text) for text in texts}) > 3
    whole = generate_texts(model, TOKENIZER, "deep", 400, [Sampling(2.0)] * 8, seed=0)
    assert [text for text in texts if len(text) < 204] == [text for text in whole if len(text) < 204]


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 65])
def test_a_text_is_as_long_as_asked(length: int) -> None:
    for temperature in (0.0, 1.0):
        texts = generate_texts(build("gru", 1), TOKENIZER, "deep", length, [Sampling(temperature)] * 2, seed=0)
        assert [len(text) for text in texts] == [4 + length] * 2


def test_the_weights_are_read_not_changed() -> None:
    model = build("lstm", 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generate(model, TOKENIZER, "deep", 40, Sampling(), 3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_threads_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    seen: list[int] = []
    read = RecurrentDecoder.read
    monkeypatch.setattr(
        RecurrentDecoder, "read", lambda *given: (seen.append(torch.get_num_threads()), read(*given))[1]
    )
    generate(build("lstm", 1), TOKENIZER, "deep", 3, Sampling())
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(step_settings, "THREADS_PAY", 0)
    seen.clear()
    generate(build("lstm", 1), TOKENIZER, "deep", 3, Sampling())
    assert set(seen) == {2}
