"""Layer normalization, residual and skip connections, and a learned initial state, with any cell."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train, train_run
from textloom.config import ModelConfig
from textloom.errors import ConfigError, PluginError, RunError
from textloom.export.onnx import export_onnx
from textloom.models.cells import Cell, Stacked
from textloom.models.decoder import ModelDecoder, RecurrentDecoder
from textloom.models.initial_state import LearnedInitialState
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import count, sized
from textloom.runs.checkpoints import load_model
from textloom.training.optimizers import build_optimizer

VOCABULARY, UNITS, LAYERS = 11, 6, 3
BOTH = {"layer_norm": True, "residual": True}
SKIP = {"skip_connections": True}
LEARNED = {"learned_initial_state": True}


def config(cell: str = "lstm", **changes: object) -> ModelConfig:
    found = compose_train(f"model={cell}", f"model.layers={LAYERS}", "model.output_dropout=0").model
    assert isinstance(found, ModelConfig)
    return found.model_copy(update={"units": UNITS, "embedding_dim": 5, **changes})


def build(cell: str = "lstm", **changes: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(config(cell, **changes), VOCABULARY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def tokens() -> torch.Tensor:
    return torch.randint(VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("embedding_dim", [5, UNITS])
@pytest.mark.parametrize("options", [BOTH, {"layer_norm": True}, {"residual": True}], ids=["both", "norm", "residual"])
@pytest.mark.parametrize("cell", ["lstm", "mingru"])
@torch.no_grad()
def test_layers_read_normalized_vectors_and_add_to_what_was_passed_on(
    cell: str, options: dict[str, bool], embedding_dim: int
) -> None:
    model = build(cell, embedding_dim=embedding_dim, **options)
    stack = model.recurrence
    assert isinstance(stack, Stacked)
    assert model.embedding is not None
    stream = read = model.embedding(tokens())
    for number, layer in enumerate(stack.layers):
        assert isinstance(layer, Cell)
        found, _ = layer(read, layer.initial_state(3))
        added = "residual" in options and found.shape == stream.shape
        stream = read = stream + found if added else found
        if "layer_norm" in options:
            norm = stack.norms[number]
            read = F.layer_norm(stream, [UNITS], norm.weight, norm.bias)
    torch.testing.assert_close(model(tokens())[0], read, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "awd_lstm", "mogrifier_lstm"])
@torch.no_grad()
def test_with_skip_connections_the_softmax_reads_the_sum_of_all_layers(cell: str, norm: bool) -> None:
    model = build(cell, layer_norm=norm, **SKIP)
    stack = model.recurrence
    assert isinstance(stack, Stacked)
    assert model.embedding is not None
    read, total = model.embedding(tokens()), torch.zeros(3, 9, UNITS)

    def normalized(vectors: torch.Tensor, number: int) -> torch.Tensor:
        return stack.norms[number](vectors) if norm else vectors

    for number, layer in enumerate(stack.layers):
        assert isinstance(layer, Cell)
        found, _ = layer(read, layer.initial_state(3))
        read, total = normalized(found, number), total + found
    torch.testing.assert_close(model(tokens())[0], normalized(total, LAYERS - 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "cure"),
    [
        (["model=lstm", "model.residual=true"], r"model\.skip_connections=false"),
        (
            ["model=awd_lstm", "model.tied_weights=true", "model.units=20"],
            r"model\.output_projection=true or model\.skip_connections=false",
        ),
    ],
)
def test_skip_connections_that_cannot_be_are_refused_in_one_line(overrides: list[str], cure: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.[^\n]*skip_connections[^\n]*; set {cure}$"):
        compose_train(*overrides, "model.skip_connections=true")


def test_without_the_options_torch_computes_all_layers_in_one_call() -> None:
    assert isinstance(build().recurrence, torch.nn.LSTM)
    assert isinstance(build(**LEARNED).recurrence, torch.nn.LSTM)


@pytest.mark.parametrize("window", [None, 4])
def test_generation_uses_prepared_layers_where_they_compute_the_same(window: int | None) -> None:
    assert isinstance(build().decoder(1, window), RecurrentDecoder)
    assert isinstance(build(**BOTH).decoder(1, window), ModelDecoder)
    assert isinstance(build(**SKIP).decoder(1, window), ModelDecoder)
    assert isinstance(build(**LEARNED).decoder(1, window), ModelDecoder)


@pytest.mark.parametrize("cell", ["lstm", "mingru", "awd_lstm"])
def test_a_budget_counts_norms_and_the_initial_state(cell: str) -> None:
    asked = config(cell, units="auto", parameters=4_000, **BOTH, **LEARNED)
    found = sized(asked, VOCABULARY)
    assert isinstance(found.units, int)
    built = [parameter_count(RecurrentLanguageModel(asked.with_units(n).model_copy(update={"parameters": None}), 11))
             for n in (found.units, found.units + 1)]  # fmt: skip
    assert built[0] == count(asked, found.units, VOCABULARY) <= 4_000 < built[1]


class TestLearnedInitialState:
    def test_a_text_begins_with_it_and_an_untrained_one_is_zero(self) -> None:
        model = RecurrentLanguageModel(config(**LEARNED), VOCABULARY)
        assert all(part.abs().sum() == 0 for part in model.initial_state(4))
        assert model.first_state is not None
        for part in model.first_state.parameters():
            torch.nn.init.normal_(part)
        for part in model.initial_state(4):
            assert part.shape == (LAYERS, 4, UNITS)
            assert torch.equal(part, part[:, :1].expand_as(part))
        hidden, _ = model(tokens())
        torch.testing.assert_close(hidden, model(tokens(), model.initial_state(3))[0])
        assert not torch.allclose(hidden, model(tokens(), model.recurrence.initial_state(3))[0], atol=1e-3)

    @torch.inference_mode()
    def test_generation_begins_with_it_also_where_a_text_takes_the_place_of_another(self) -> None:
        model, read = build(**LEARNED), tokens()
        decoder = model.decoder(3)
        decoder.read(read[:, 0])
        decoder.place(1, None)
        decoder.read(read[:, 1])
        alone = model.logits(model(read[1:2, 1:2])[0][:, -1])
        torch.testing.assert_close(decoder.score()[1:2], alone, rtol=1e-5, atol=1e-5)

    def test_gradients_of_all_rows_reach_it_and_a_carried_state_leaves_it_alone(self) -> None:
        model = build(**LEARNED).train()
        hidden, state = model(tokens())
        model(tokens(), tuple(part.detach() for part in state))[0].sum().backward()
        assert isinstance(model.first_state, LearnedInitialState)
        assert all(part.grad is None for part in model.first_state.parameters())
        hidden.sum().backward()
        assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in model.first_state.parameters())

    def test_weight_decay_leaves_it_alone(self) -> None:
        optimizer = compose_train("optimizer=adamw", "optimizer.weight_decay=0.1").optimizer
        model = build(**LEARNED)
        assert model.first_state is not None
        pulled = {id(one) for group in build_optimizer(optimizer, model, fused=False).param_groups
                  if group["weight_decay"] for one in group["params"]}  # fmt: skip
        assert pulled
        assert not pulled & set(map(id, model.first_state.parameters()))

    def test_a_run_keeps_it_and_onnx_is_refused_in_one_line(self, tmp_path: Path) -> None:
        options = [f"model.{name}=true" for name in (*BOTH, *LEARNED)]
        run = train_run(tmp_path / "run", "trainer.max_steps=8", "batching=documents", "model.layers=2", *options)
        model = load_model(run, "best")[2]
        assert isinstance(model, RecurrentLanguageModel)
        assert model.first_state is not None
        assert all(part.abs().sum() > 0 for part in model.first_state.parameters())
        with pytest.raises(RunError, match=r"model\.onnx: a graph begins with zeros, .*; leave out format=onnx"):
            export_onnx(run, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", [*BOTH, *SKIP, *LEARNED])
def test_a_transformer_refuses_what_it_has_or_cannot_have(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.?.*; set model\.{name}=false$") as caught:
        compose_train("model=transformer", f"model.{name}=true")
    assert "\n" not in str(caught.value)


def test_a_cell_that_fails_as_a_single_layer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.config import CELLS

    class Deep(Cell):
        def __init__(self, config: ModelConfig, input_size: int):
            super().__init__()
            if config.layers == 1:
                raise ValueError("needs two layers")

    monkeypatch.setitem(CELLS._targets, "gru", Deep)
    with pytest.raises(PluginError, match=r"^model\.cell=gru: .*Deep cannot be built: ValueError: needs two layers"):
        RecurrentLanguageModel(config("gru", **BOTH), VOCABULARY)
