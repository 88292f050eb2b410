"""AWD-LSTM (Merity et al. 2018): DropConnect on the recurrent weights, and a last layer as long as a tied embedding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import compose_train, model_config, train_run
from textloom.config import ModelConfig
from textloom.errors import ConfigError
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.export.onnx import export_onnx
from textloom.models.cells.awd_lstm import AWDLSTM, WeightDroppedLSTM
from textloom.models.dropout import drop_weights
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import count, sized
from textloom.runs.run import Run

VOCABULARY, UNITS, EMBEDDING = 30, 20, 8


def config(**keys: Any) -> ModelConfig:
    values = {
        "cell": "awd_lstm", "units": UNITS, "layers": 3, "embedding_dim": EMBEDDING, "tied_weights": True,
        "input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.5, **keys,
    }  # fmt: skip
    return model_config(values)


def build(**keys: Any) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(config(**keys), VOCABULARY)


def layers(model: RecurrentLanguageModel) -> list[WeightDroppedLSTM]:
    assert isinstance(model.recurrence, AWDLSTM)
    return [layer for layer in model.recurrence.layers if isinstance(layer, WeightDroppedLSTM)]


def ids(rows: int = 3, time: int = 9) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(1))


def test_in_training_a_share_of_the_recurrent_weights_is_zero_and_the_others_are_scaled() -> None:
    layer = layers(build(units=200, weight_dropout=0.3))[0].train()
    weight_ih, weight_hh, *biases = layer.layer_weights(0)
    dropped = weight_hh == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(weight_hh, torch.where(dropped, 0.0, layer.weight_hh_l0 / 0.7))
    assert weight_ih is layer.weight_ih_l0
    assert [id(bias) for bias in biases] == [id(layer.bias_ih_l0), id(layer.bias_hh_l0)]


def test_the_layer_is_torchs_lstm_with_one_mask_for_all_time_steps() -> None:
    layer, vectors = layers(build())[0].train(), torch.randn(2, 12, EMBEDDING)
    torch.manual_seed(3)
    found, _ = layer(vectors, layer.initial_state(2))
    torch.manual_seed(3)
    mask = drop_weights(torch.ones_like(layer.weight_hh_l0), 0.5)
    reference = nn.LSTM(EMBEDDING, UNITS, batch_first=True)
    reference.load_state_dict({**layer.state_dict(), "weight_hh_l0": layer.weight_hh_l0.detach() * mask})
    torch.testing.assert_close(found, reference(vectors)[0])


def test_gradients_reach_the_weights_that_were_not_dropped_and_are_zero_for_the_others() -> None:
    layer, vectors = layers(build())[0].train(), torch.randn(2, 12, EMBEDDING)
    torch.manual_seed(3)
    layer(vectors, layer.initial_state(2))[0].square().sum().backward()
    torch.manual_seed(3)
    kept = drop_weights(torch.ones_like(layer.weight_hh_l0), 0.5) > 0
    assert layer.weight_hh_l0.grad is not None
    assert torch.equal(layer.weight_hh_l0.grad != 0, kept)


def test_each_batch_has_a_mask_of_its_own_and_evaluation_none() -> None:
    model = build().train()
    assert not torch.equal(model(ids())[0], model(ids())[0])
    without = build(weight_dropout=0.0).eval()
    assert torch.equal(model.eval()(ids())[0], without(ids())[0])


def test_one_hot_input_by_ids_has_the_same_masks() -> None:
    """With few units the vocabulary is large, and the lowest layer is computed by ids."""
    model = build(units=5, embedding_dim=None, tied_weights=False).train()
    recurrence, state = model.recurrence, model.initial_state(3)
    torch.manual_seed(3)
    by_ids, _ = recurrence.forward_one_hot(ids(), VOCABULARY, state)
    torch.manual_seed(3)
    by_vectors, _ = recurrence(F.one_hot(ids(), VOCABULARY).float(), state)
    torch.testing.assert_close(by_ids, by_vectors)


class TestTiedWeights:
    """The embedding is smaller than the state: the last layer has its size."""

    def test_the_last_layer_has_as_many_units_as_the_embedding(self) -> None:
        model = build()
        assert [layer.hidden_size for layer in layers(model)] == [UNITS, UNITS, EMBEDDING]
        assert model.embedding is not None
        assert model.softmax.weight is model.embedding.weight
        assert model(ids())[0].shape == (3, 9, EMBEDDING)

    def test_the_papers_models_have_24_and_33_million_parameters(self) -> None:
        """On Penn Treebank and WikiText-2: tables 1 and 2."""
        paper = config(units=1150, embedding_dim=400)
        assert [count(paper, 1150, size) // 1_000_000 for size in (10_000, 33_278)] == [24, 33]

    def test_a_budget_of_parameters_chooses_the_units_and_keeps_the_embedding(self) -> None:
        found = sized(config(units="auto", parameters=20_000), VOCABULARY)
        assert found.embedding_dim == EMBEDDING
        assert isinstance(found.units, int)
        assert parameter_count(RecurrentLanguageModel(found, VOCABULARY)) <= 20_000
        assert count(found, found.units + 1, VOCABULARY) > 20_000

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (
                ["model.layers=1", "model.layer_dropout=0"],
                r"model.tied_weights gives the last layer .*model.layers=2, .* or model.output_projection=true",
            ),
            (["model.embedding_dim=null", "model.input_dropout=0"], r"model.tied_weights needs an embedding; set "),
        ],
    )
    def test_sizes_that_do_not_fit_are_one_line(self, overrides: list[str], message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            compose_train("model=awd_lstm", "model.units=8", "model.tied_weights=true", *overrides)
        assert len(str(caught.value).splitlines()) == 1


def test_a_run_is_evaluated_and_exported_with_the_figures_of_its_training(tmp_path: Path) -> None:
    run = train_run(
        tmp_path / "run", "model=awd_lstm", "model.tied_weights=true", "model.embedding_dim=6",
        "trainer.max_steps=5",
    )  # fmt: skip
    figures = run.results()
    assert all(figures[name] == value for name, value in evaluate_run(run).items())
    export_run(run, tmp_path / "exported")
    assert evaluate_run(Run(tmp_path / "exported")) == evaluate_run(run)
    export_onnx(run, tmp_path / "model.onnx")  # compared with torch's logits before it is written
    assert (tmp_path / "model.onnx").exists()
