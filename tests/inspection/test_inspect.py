"""What is measured of a model: surprise, units and what they track, gates, gradients, embeddings."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from conftest import compose_train
from textloom.config import CELLS, ModelConfig, TrainConfig
from textloom.data.encoding import TokenSplit
from textloom.evaluation.text import score_text
from textloom.inspection.embeddings import frequent_tokens, frequent_words, nearest_neighbours
from textloom.inspection.features import text_features
from textloom.inspection.gates import GateTally, step_gates, time_scales
from textloom.inspection.gradients import gradient_norms
from textloom.inspection.measure import Inspection, inspect_network
from textloom.inspection.reading import ReadingMode, input_vectors, read_stretch
from textloom.inspection.surprise import loss_along_text, loss_by_document_position
from textloom.inspection.text import InspectedText, text_of_split, token_pieces
from textloom.inspection.tracking import correlations, rank_units, shuffled_blocks
from textloom.models.recurrence import positive
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.stacked import Stacked
from textloom.tokenizers import Tokenizer, fit_tokenizer
from textloom.tokenizers.char import CharTokenizer

SENTENCES = [
    "She said “I will come tomorrow, if it rains” and went home.\n",
    "Nobody (neither he nor she [the other one]) had seen it before.\n",
    "“Well”, he answered, “that is what they always say in Zürich.”\n",
    "Then the trains stopped, one after the other, and it was quiet.\n",
]
TEXT = "".join(SENTENCES[number % 4] for number in (0, 1, 2, 3, 2, 0, 1, 0, 3, 3, 1, 2))
SIDES = ("left", "right")
every_cell = pytest.mark.parametrize("cell", CELLS.names)


def char_tokenizer(text: str = TEXT) -> CharTokenizer:
    return CharTokenizer.fit([[text]], lowercase=False)


def inspected(tokenizer: Tokenizer, *documents: str) -> InspectedText:
    """Documents as a text to inspect."""
    ids = [np.append(tokenizer.encode(document).astype(np.int64), tokenizer.end_id) for document in documents]
    tokens = np.concatenate([[tokenizer.end_id], *ids])
    boundaries = np.concatenate([[0], np.cumsum([len(some) for some in ids])])
    split = TokenSplit(tokens, boundaries, sum(map(len, documents)), 0, 0.0)
    return text_of_split(split, "test", tokenizer, len(tokens))


def build(config: ModelConfig | Any, vocabulary: int, seed: int = 0) -> RecurrentLanguageModel:
    torch.manual_seed(seed)
    model = RecurrentLanguageModel(config, vocabulary)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def composed(cell: str, *more: str) -> TrainConfig:
    sizes = ["model.units=6", "model.input_dropout=0", "model.embedding_dropout=0", "model.tied_weights=false"]
    return compose_train(f"model={cell}", *sizes, "model.output_dropout=0", "trainer.batch_size=4", *more)


def look(model: RecurrentLanguageModel, tokenizer: Tokenizer, text: InspectedText, reading: ReadingMode) -> Inspection:
    counts = np.bincount(text.tokens, minlength=tokenizer.vocabulary_size)
    return inspect_network(model, tokenizer, text, reading=reading, distance=20, counts=counts)


# --- surprise -------------------------------------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize(
    "batching", [["batching=stream", "batching.evaluation_rows=1"], ["batching=windows", "batching.context=7"]]
)
def test_surprise_sums_to_the_loss_of_every_cell(cell: str, batching: list[str]) -> None:
    tokenizer = char_tokenizer()
    config = composed(cell, "model.layers=2", "model.embedding_dim=5", *batching)
    model = build(config.model, tokenizer.vocabulary_size)
    text = text_of_split(
        TokenSplit(inspected(tokenizer, TEXT).tokens[:-1], np.array([0, len(TEXT)]), len(TEXT), 0, 0.0),
        "test", tokenizer, 10**6,
    )  # fmt: skip
    found = look(model, tokenizer, text, ReadingMode.of(config.batching))
    score = score_text(model, tokenizer, config, TEXT)
    assert len(found.nats) == score.tokens == len(TEXT)
    assert found.nats.sum() == pytest.approx(score.nats, rel=1e-5)
    assert (found.likeliest == text.tokens[1:]).mean() == pytest.approx(score.accuracy)
    assert found.activations is not None
    assert len(found.unit_names) == found.activations.shape[1] == len(set(found.unit_names)) >= 12


def test_each_document_begins_afresh_in_a_model_of_documents() -> None:
    tokenizer = char_tokenizer()
    config = composed("lstm", "batching=documents")
    model = build(config.model, tokenizer.vocabulary_size)
    text = inspected(tokenizer, *SENTENCES)
    found = look(model, tokenizer, text, ReadingMode.of(config.batching))
    scores = [score_text(model, tokenizer, config, sentence, ends=True) for sentence in SENTENCES]
    assert found.nats.sum() == pytest.approx(sum(score.nats for score in scores), rel=1e-5)
    assert text.positions.tolist() == [place for one in SENTENCES for place in range(1, len(one) + 2)]
    carried = look(model, tokenizer, text, ReadingMode())
    first = len(SENTENCES[0]) + 1
    assert carried.nats[:first] == pytest.approx(found.nats[:first], rel=1e-5)
    assert abs(carried.nats[first] - found.nats[first]) > 0.01


def test_activations_are_the_state_after_each_token_in_every_reading() -> None:
    tokenizer = char_tokenizer()
    model = build(composed("gru").model, tokenizer.vocabulary_size)
    text = inspected(tokenizer, TEXT)
    ids = torch.from_numpy(text.tokens)
    whole, last = model(ids[None])
    carried = look(model, tokenizer, text, ReadingMode()).activations
    assert carried is not None
    assert torch.allclose(carried, whole[0, 1:].detach(), atol=1e-6)
    assert torch.allclose(carried[-1], last[0][0, 0].detach(), atol=1e-6)
    windows = look(model, tokenizer, text, ReadingMode(5, over_documents=False)).activations
    assert windows is not None
    for place in (1, 3, 5, 6, 300):
        again, _ = model(ids[None, max(0, place - 4) : place + 1])
        assert torch.allclose(windows[place - 1], again[0, -1].detach(), atol=1e-6)


def test_loss_by_position_is_a_mean_over_every_token_once() -> None:
    nats, positions = np.random.default_rng(0).random(250), np.concatenate([np.arange(1, 101), np.arange(1, 151)])
    for means in (loss_along_text(nats), loss_by_document_position(nats, positions)):
        assert means.count.sum() == 250
        assert (means.mean * means.count).sum() == pytest.approx(nats.sum())
        assert (means.first[1:] == means.last[:-1] + 1).all()
    by_position = loss_by_document_position(nats, positions)
    assert (by_position.first[0], by_position.last[-1]) == (1, 150)
    assert by_position.mean[0] == pytest.approx((nats[0] + nats[100]) / 2)
    assert loss_along_text(np.array([1.5])).mean.tolist() == [1.5]


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["char", "byte", "word", "whitespace", "bpe", "unigram"])
def test_the_pieces_of_the_tokens_are_the_text(level: str) -> None:
    tokenizer = fit_tokenizer(compose_train(f"tokenizer={level}").tokenizer, [[TEXT]])
    tokens = tokenizer.encode(TEXT).tolist()
    pieces = token_pieces(tokenizer, tokens)
    assert len(pieces) == len(tokens)
    assert "".join(pieces) == tokenizer.decode(tokens)
    if level == "byte":
        place = TEXT.encode().index("ü".encode())
        assert pieces[place : place + 3] == ["", "ü", "r"]
        assert token_pieces(tokenizer, [0xFF, ord("a"), 0xC3]) == ["\ufffd", "a", "\ufffd"]


def test_features_are_those_of_the_last_character_of_each_token() -> None:
    documents = "Ab “c (d\n", "e) [f]”"
    tokenizer = char_tokenizer("".join(documents))
    text = inspected(tokenizer, *documents)
    features = {name: values[: len(text)].tolist() for name, values in text_features(text).items()}
    characters = [*"Ab “c (d\n", "end", *"e) [f]”", "end"]
    assert len(characters) == len(text)
    inside = {
        name: [character for character, value in zip(characters, values, strict=True) if value]
        for name, values in features.items()
    }
    assert inside["inside quotation marks"] == ["“", "c", " ", "(", "d", "\n", "end", "”", "end"]  # afresh
    assert inside["inside brackets"] == ["(", "d", "\n", "end", "[", "f"]
    assert inside["capital letters"] == ["A"]
    assert inside["inside a word"] == ["A"]
    assert inside["end of a word"] == ["b", "c", "d", "e", "f"]
    assert features["position in the line"] == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert features["position in the document"] == [*range(1, 11), *range(1, 9)]


# --- units ----------------------------------------------------------------------------------------------------------


def model_that_tracks_quotes(tokenizer: CharTokenizer, unit: int) -> RecurrentLanguageModel:
    """An Elman network, one unit of which is 1 from an opening quotation mark to the closing one and else -1."""
    config = composed("rnn", "model.units=16", "model.embedding_dim=null").model
    model = build(config, tokenizer.vocabulary_size)
    opening, closing = tokenizer.encode("“”").tolist()
    cell = model.recurrence
    with torch.no_grad():
        cell.weight_hh_l0[unit] = 0.0
        cell.weight_ih_l0[unit] = 0.0
        cell.weight_hh_l0[unit, unit] = 2.0  # two stable states
        cell.weight_ih_l0[unit, opening] = 6.0
        cell.weight_ih_l0[unit, closing] = -6.0
        cell.bias_ih_l0[unit] = -0.3
        cell.bias_hh_l0[unit] = 0.0
    return model


def test_a_unit_that_tracks_quotes_is_found_and_ranked_first() -> None:
    tokenizer = char_tokenizer()
    found = look(model_that_tracks_quotes(tokenizer, 11), tokenizer, inspected(tokenizer, TEXT), ReadingMode())
    tracked = {one.feature: one for one in found.tracked}
    quotes = tracked["inside quotation marks"]
    unit, correlation = quotes.units[0]
    assert found.unit_names[unit] == "hidden, unit 11"
    assert correlation > 0.97
    assert quotes.chance < 0.6
    assert abs(quotes.units[1][1]) < correlation
    assert quotes.share == pytest.approx(np.mean(text_features(found.text)["inside quotation marks"]))
    assert tracked["position in the line"].share is None


def test_correlations_are_those_of_numpy_and_chance_is_what_random_numbers_reach() -> None:
    generator = np.random.default_rng(0)
    activations = torch.from_numpy(generator.normal(size=(3000, 40)).astype(np.float32))
    binary = (generator.random(3000) < 0.3).astype(np.float32)
    expected = np.corrcoef(activations.numpy().T, binary)[-1, :-1]
    found = correlations(activations, torch.from_numpy(binary)[:, None])
    assert found[0].numpy() == pytest.approx(expected, abs=1e-5)
    (tracked,) = rank_units(activations, {"binary": binary, "constant": np.ones(3000, np.float32)})
    assert abs(tracked.units[0][1]) < 0.08
    assert 0.04 < tracked.chance < 0.12
    assert sorted(shuffled_blocks(1234, generator).tolist()) == list(range(1234))
    assert correlations(torch.ones(10, 1), torch.randn(10, 1)).tolist() == [[0.0]]


# --- gates ----------------------------------------------------------------------------------------------------------


def test_saturation_is_that_of_hand_set_weights() -> None:
    tokenizer = char_tokenizer()
    model = build(composed("lstm", "model.units=2", "model.layers=2").model, tokenizer.vocabulary_size)
    biases = {0: (-5.0, 5.0), 1: (5.0, 0.0)}  # of the input gates and of the forget gates, for each unit
    with torch.no_grad():
        for name, parameter in model.recurrence.named_parameters():
            parameter.zero_()
            if name.startswith("bias_ih"):
                for gate, values in biases.items():
                    parameter[2 * gate : 2 * gate + 2] = torch.tensor(values)
    found = look(model, tokenizer, inspected(tokenizer, TEXT), ReadingMode())
    gates = {use.gate: use for use in found.gates}
    assert list(gates) == ["input", "forget", "output"]
    shares = {(use.gate, side): [one.tolist() for one in getattr(use, side)] for use in found.gates for side in SIDES}
    assert shares["input", "left"] == [[1, 0], [1, 0]]
    assert shares["input", "right"] == [[0, 1], [0, 1]]
    assert shares["forget", "right"] == [[1, 0], [1, 0]]
    assert shares["output", "left"] == shares["output", "right"] == [[0, 0], [0, 0]]
    assert found.keeping_gate == "forget"
    scales = time_scales(gates["forget"].mean[0])
    assert scales.tolist() == pytest.approx([1 + np.exp(5), 2.0], rel=1e-4)


@pytest.mark.parametrize(
    "cell", ["lstm", "gru", "awd_lstm", "mogrifier_lstm", "lstm model.layer_norm=true model.residual=true"]
)
@pytest.mark.parametrize("window", [None, 4])
def test_the_gates_are_those_that_made_the_state(cell: str, window: int | None) -> None:
    tokenizer = char_tokenizer()
    name, *options = cell.split()
    model = build(composed(name, "model.layers=2", *options).model, tokenizer.vocabulary_size)
    layers = model.recurrence.layers if isinstance(model.recurrence, Stacked) else None
    for steps in read_stretch(model, inspected(tokenizer, TEXT).tokens, window):
        gates = step_gates(model, steps)
        for layer in range(2):
            # torch's cells have all layers in one part of the state, stacked ones parts for each layer
            after, before = (
                state[2 * layer :] if layers else [part[layer] for part in state]
                for state in (steps.after, steps.before)
            )
            values = {gate: found[layer] for gate, found in gates.items()}
            assert all(0 <= value.min() <= value.max() <= 1 for value in values.values())
            if cell == "gru":
                candidate = (after[0] - values["update"] * before[0]) / (1 - values["update"])
            else:
                assert torch.allclose(after[0], values["output"] * after[1].tanh(), atol=1e-6)
                candidate = (after[1] - values["forget"] * before[1]) / values["input"]
            assert candidate.abs().max() < 1 + 1e-3  # a tanh


@pytest.mark.parametrize("window", [None, 4])
def test_the_gates_of_minimal_cells_are_those_that_made_the_state(window: int | None) -> None:
    tokenizer = char_tokenizer()
    for cell in ("mingru", "minlstm"):
        model = build(composed(cell, "model.layers=2").model, tokenizer.vocabulary_size)
        layers = cast(Stacked, model.recurrence).layers
        for steps in read_stretch(model, inspected(tokenizer, TEXT).tokens, window):
            gates, read = step_gates(model, steps), input_vectors(model, steps.tokens)
            for layer, (part, before, after) in enumerate(zip(layers, steps.before, steps.after, strict=True)):
                keep, others = gates["keep"][layer], [gates[name][layer] for name in part.gate_names]
                *_, candidate = part.parts(part.inputs(read))
                assert torch.allclose(after, keep * before + (1 - keep) * positive(candidate), atol=1e-5)
                expected = 1 - others[0] if cell == "mingru" else others[0] / (others[0] + others[1])
                assert torch.allclose(keep, expected, atol=1e-5)
                read = after


@every_cell
def test_a_cell_without_gates_says_so(cell: str) -> None:
    model = build(composed(cell).model, 9)
    tally = GateTally()
    for steps in read_stretch(model, np.arange(9), None):
        tally.add(model, steps)
    gates = [use.gate for use in tally.uses()]
    assert (model.recurrence.keeping_gate in gates) == bool(gates)
    lstm = ["input", "forget", "output"]
    known = {
        "lstm": lstm,
        "awd_lstm": lstm,
        "mogrifier_lstm": lstm,
        "gru": ["reset", "update"],
        "mingru": ["update", "keep"],
        "minlstm": ["forget", "input", "keep"],
    }
    assert gates == known.get(cell, [])


# --- gradients ------------------------------------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize("embedding", [4, None])
def test_gradient_norms_agree_with_finite_differences(cell: str, embedding: int | None) -> None:
    config = composed(cell, "model.layers=2", f"model.embedding_dim={'null' if embedding is None else embedding}")
    model = build(config.model, 7).double()
    inputs, targets = torch.tensor([[1, 2, 3, 4], [6, 5, 0, 1]]), torch.tensor([5, 3])
    state = tuple(part.double() + 0.1 for part in model.initial_state(2))
    found = gradient_norms(model, inputs, targets, state)
    vectors = input_vectors(model, inputs).detach()

    def losses(changed: torch.Tensor) -> torch.Tensor:
        hidden, _ = model.recurrence(changed, state)
        return model.nats_and_argmax(hidden[:, -1], targets)[0].detach()

    squares, small = torch.zeros(2, 4, dtype=torch.float64), 1e-5
    for time in range(4):
        for number in range(vectors.shape[2]):
            step = torch.zeros_like(vectors)
            step[:, time, number] = small
            squares[:, time] += ((losses(vectors + step) - losses(vectors - step)) / (2 * small)).square()
    assert torch.allclose(found, squares.sqrt(), rtol=1e-4, atol=1e-9)


def test_gradient_norms_fall_by_the_factor_of_a_leaky_unit() -> None:
    """In a linear chain with weight 0.5 each step back halves the gradient."""
    tokenizer = char_tokenizer()
    model = build(composed("rnn", "model.units=1", "model.embedding_dim=1").model, tokenizer.vocabulary_size)
    with torch.no_grad():
        for parameter in model.recurrence.parameters():
            parameter.zero_()
        model.recurrence.weight_hh_l0.fill_(0.5)
        model.recurrence.weight_ih_l0.fill_(1e-3)  # tanh is linear near zero
    for reading in (ReadingMode(), ReadingMode(8, over_documents=False)):
        found = look(model, tokenizer, inspected(tokenizer, TEXT), reading)
        assert found.gradient is not None
        assert len(found.gradient) == (8 if reading.window else 20)
        assert found.gradient_targets == 64
        assert found.gradient[1:6] / found.gradient[:5] == pytest.approx(0.5, rel=1e-3)


# --- embeddings -----------------------------------------------------------------------------------------------------


def test_nearest_neighbours_are_those_with_the_largest_cosine() -> None:
    angles = torch.tensor([0.0, 0.1, 1.5, 3.1, 0.3])
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [5.0], [2.0], [3.0], [0.1]])
    ((first, cosine), (second, _)), others = nearest_neighbours(embeddings, [0, 3], [0, 1, 2, 3, 4], 2)
    assert (first, second) == (1, 4)
    assert cosine == pytest.approx(np.cos(0.1), abs=1e-5)
    assert [token for token, _ in others] == [2, 4]


def test_frequent_words_leave_out_special_tokens_and_short_words() -> None:
    tokenizer = fit_tokenizer(compose_train("tokenizer=word").tokenizer, [[TEXT]])
    counts = np.bincount(tokenizer.encode(TEXT), minlength=tokenizer.vocabulary_size)
    counts[[tokenizer.end_id, tokenizer.unknown_id]] = 1000
    frequent = frequent_tokens(tokenizer, counts, 30)
    assert len(frequent) == 30
    assert not {tokenizer.end_id, tokenizer.unknown_id} & set(frequent)
    assert list(counts[frequent]) == sorted(counts[frequent], reverse=True)
    words = [tokenizer.token_text(token) for token in frequent_words(tokenizer, frequent, 8)]
    assert len(words) == 8
    assert all(len(word) >= 4 for word in words)
    characters = char_tokenizer()
    assert frequent_words(characters, [5, 6, 7], 2) == [5, 6]
