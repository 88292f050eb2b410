"""Dropout of all kinds: where masks act, for how long, and that evaluation has none."""

from typing import Any

import pytest
import torch

from conftest import compose_train, model_config
from textloom.errors import ConfigError
from textloom.models.dropout import Dropout, LockedDropout, build_dropout, draw_mask, drop_words
from textloom.models.recurrent import RecurrentLanguageModel

VOCABULARY, UNITS = 40, 24
CELLS = ("lstm", "gru", "rnn", "mingru", "minlstm")


def build(cell: str = "lstm", **keys: Any) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    values = {
        "cell": cell, "units": UNITS, "layers": 2, "embedding_dim": 16, "tied_weights": False, "input_dropout": 0.0,
        "layer_dropout": 0.0, "output_dropout": 0.0, **({"forget_bias": 1.0} if cell == "minlstm" else {}), **keys,
    }  # fmt: skip
    return RecurrentLanguageModel(model_config(values), VOCABULARY).train()


def ids(rows: int = 6, time: int = 20) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.001, 0.25, 0.5, 0.9, 0.99999])
def test_a_mask_is_zero_as_often_as_asked_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mask = draw_mask(torch.empty(1001, 1003, dtype=dtype), p)  # not a multiple of the numbers drawn at once
    zeros, error = (mask == 0).double().mean().item(), 4 * (p * (1 - p) / mask.numel()) ** 0.5
    assert zeros == pytest.approx(p, abs=error + 1 / (1 << 16))
    assert mask.max().item() == pytest.approx(1 / (1 - p), rel=0.005)
    assert mask.unique().numel() == 2


def test_the_elements_of_a_mask_are_independent() -> None:
    torch.manual_seed(0)
    dropped = (draw_mask(torch.empty(1 << 20), 0.3) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        both = (dropped[distance:] * dropped[:-distance]).mean().item()
        assert both == pytest.approx(0.09, abs=0.0015), distance


def test_dropout_is_that_of_torch_except_for_its_random_numbers() -> None:
    vectors = torch.randn(40, 50, 30, requires_grad=True)
    dropped = Dropout(0.4)(vectors)
    mask = (dropped != 0).float() / 0.6
    torch.testing.assert_close(dropped, vectors * mask)
    dropped.sum().backward()
    torch.testing.assert_close(vectors.grad, mask)
    assert Dropout(0.4).eval()(vectors) is vectors
    assert Dropout(0.0)(vectors) is vectors


def test_a_locked_mask_is_constant_in_time_and_differs_between_rows() -> None:
    torch.manual_seed(0)
    dropped = LockedDropout(0.4)(torch.ones(50, 30, 200))
    mask = dropped[:, 0]
    assert torch.equal(dropped, mask[:, None].expand_as(dropped))
    assert not torch.equal(mask[0], mask[1])
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert (mask == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)


def test_without_the_option_each_time_step_has_its_own_mask() -> None:
    dropped = build_dropout(0.4, locked=False)(torch.ones(5, 30, 20))
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("place", ["input", "layer", "output"])
@pytest.mark.parametrize("cell", CELLS)
def test_each_of_the_three_masks_is_locked_in_every_cell(
    cell: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = LockedDropout.forward

    def recorded(self: LockedDropout, vectors: torch.Tensor) -> torch.Tensor:
        dropped = original(self, vectors)
        if self.p and self.training:
            seen.append(dropped == 0)
        return dropped

    monkeypatch.setattr(LockedDropout, "forward", recorded)
    build(cell, locked_dropout=True, **{f"{place}_dropout": 0.5})(ids())
    (zeros,) = seen
    always = zeros.all(dim=1)  # (rows, features) dropped at every step
    assert always.float().mean().item() == pytest.approx(0.5, abs=0.15)


def test_one_hot_input_has_locked_dropout_between_layers() -> None:
    """With few units the vocabulary is large, and layers are computed by ids."""
    model = build(units=6, embedding_dim=None, layer_dropout=0.5, locked_dropout=True)
    assert not torch.equal(model(ids())[0], model(ids())[0])
    model.eval()
    assert torch.equal(model(ids())[0], model(ids())[0])


def test_a_dropped_word_has_no_embedding_wherever_it_occurs() -> None:
    torch.manual_seed(0)
    vectors, words = torch.ones(8, 100, 3), torch.randint(500, (8, 100))
    dropped = drop_words(vectors, words, 500, 0.3)
    by_word = {word: dropped[words == word] for word in words.unique().tolist()}
    assert all((found == found[0, 0]).all() for found in by_word.values())
    values = torch.stack([found[0, 0] for found in by_word.values()])
    assert values.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (values == 0).float().mean().item() == pytest.approx(0.3, abs=0.06)


def test_embedding_dropout_leaves_the_weights_of_a_tied_softmax_alone() -> None:
    model = build(embedding_dim=UNITS, tied_weights=True, embedding_dropout=0.9)
    before = model.softmax.weight.clone()
    hidden, _ = model(ids())
    assert torch.equal(model.logits(hidden), hidden @ before.t() + model.softmax.bias)


@pytest.mark.parametrize(
    "keys", [{"embedding_dropout": 0.5}, {"locked_dropout": True, "input_dropout": 0.5, "output_dropout": 0.5}]
)
def test_evaluation_has_no_mask(keys: dict[str, Any]) -> None:
    model, plain = build(**keys), build()
    assert not torch.equal(model(ids())[0], model(ids())[0])
    assert torch.equal(model.eval()(ids())[0], plain.eval()(ids())[0])


def test_embedding_dropout_without_an_embedding_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.embedding_dropout needs an embedding; set model\.embedding_dim or"):
        compose_train("model.embedding_dim=null", "model.embedding_dropout=0.1")
