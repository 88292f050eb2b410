"""Properties of every registered cell."""

from functools import cache

import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train
from textloom.config import CELLS, ModelConfig
from textloom.models.recurrence import positive
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.scanned import ScannedCell
from textloom.models.stacked import Stacked

VOCABULARY, UNITS, TIME = 17, 12, 20
OPTIONS = "model.layer_norm=true model.residual=true model.learned_initial_state=true"
VARIANTS = (
    "mogrifier_lstm model.rank=3", "transformer model.context=5",
    "lstm model.tied_weights=true model.output_projection=true",
    *(f"{cell} {OPTIONS}" for cell in CELLS.names if cell != "transformer"),
    *(f"{cell} model.skip_connections=true" for cell in ("lstm", "minlstm", "awd_lstm")),
    "awd_lstm model.tied_weights=true", "mogrifier_lstm model.capped_input_gate=true",
)  # fmt: skip
"""Cells with keys that change what they compute."""
every_cell = pytest.mark.parametrize("cell", [*CELLS.names, *VARIANTS])


@cache
def shipped(cell: str) -> ModelConfig:
    """The config of a cell as its YAML file has it, with two small layers."""
    name, *overrides = cell.split()
    sizes = [f"model.units={UNITS}", "model.layers=2", "model.output_dropout=0"]
    config = compose_train(f"model={name}", *sizes, *overrides).model
    assert isinstance(config, ModelConfig)
    return config


def build(cell: str, **changes: object) -> RecurrentLanguageModel:
    """Two layers whose biases are drawn too; larger weights would make an Elman network amplify rounding errors."""
    torch.manual_seed(0)
    changes = {"embedding_dim": 5, **changes}
    if changes["embedding_dim"] is None:  # there is nothing to share with the softmax
        changes |= {"tied_weights": False, "output_projection": False}
    config = shipped(cell).model_copy(update=changes)
    model = RecurrentLanguageModel(config, VOCABULARY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def tokens(rows: int = 3) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, TIME), generator=torch.Generator().manual_seed(1))


@every_cell
@torch.no_grad()
def test_no_output_depends_on_a_later_token(cell: str) -> None:
    model, inputs = build(cell), tokens()
    changed = inputs.clone()
    changed[:, 9] = (changed[:, 9] + 1) % VOCABULARY
    before, after = (model(some)[0] for some in (inputs, changed))
    torch.testing.assert_close(before[:, :9], after[:, :9], rtol=0, atol=1e-6)
    assert not torch.allclose(before[:, 9], after[:, 9], atol=1e-3)


@every_cell
@pytest.mark.parametrize("cut", [1, 8, TIME - 1])
@torch.no_grad()
def test_two_halves_with_carried_state_equal_one_pass(cell: str, cut: int) -> None:
    model, inputs = build(cell), tokens()
    whole, last = model(inputs)
    first, state = model(inputs[:, :cut])
    second, state = model(inputs[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@every_cell
@torch.no_grad()
def test_rows_do_not_affect_each_other(cell: str) -> None:
    model, inputs = build(cell), tokens()
    together, _ = model(inputs)
    for row in range(len(inputs)):
        torch.testing.assert_close(model(inputs[row : row + 1])[0][0], together[row], rtol=0, atol=1e-5)


@every_cell
@torch.no_grad()
def test_padding_after_a_row_changes_none_of_its_outputs(cell: str) -> None:
    model, inputs = build(cell), tokens()
    lengths = (TIME, 1, 8)
    for filler in (0, VOCABULARY - 1):
        padded = inputs.clone()
        for row, length in enumerate(lengths):
            padded[row, length:] = filler
        outputs, _ = model(padded)
        for row, length in enumerate(lengths):
            alone, _ = model(inputs[row : row + 1, :length])
            torch.testing.assert_close(outputs[row, :length], alone[0], rtol=0, atol=1e-5)


@every_cell
@torch.no_grad()
def test_bf16_is_close_to_float32_and_keeps_the_type_of_the_state(cell: str) -> None:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(shipped(cell), VOCABULARY).eval()
    exact, _ = model(tokens())
    with torch.autocast("cpu", torch.bfloat16):
        found, state = model(tokens())
        assert model(tokens(), state)[0].isfinite().all()
    largest = exact.abs().max().item()  # of a normalized output about 3
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=0.05 * max(1, largest))


@every_cell
@pytest.mark.parametrize("embedding_dim", [5, None])
def test_gradients_reach_every_parameter(cell: str, embedding_dim: int | None) -> None:
    model = build(cell, embedding_dim=embedding_dim).train()
    F.cross_entropy(model.logits(model(tokens())[0]).flatten(0, 1), tokens().flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@every_cell
@pytest.mark.parametrize("window", [None, 1, 6])
@pytest.mark.parametrize("inputs", [{}, {"embedding_dim": None}, {"embedding_dim": None, "units": 3}])
@torch.inference_mode()
def test_generation_by_step_equals_reading_the_sequence(
    cell: str, inputs: dict[str, object], window: int | None
) -> None:
    model, read = build(cell, **inputs), tokens()
    decoder = model.decoder(len(read), window)
    for time in range(TIME):
        decoder.read(read[:, time])
        context = read[:, max(0, time + 1 - window) if window else 0 : time + 1]
        torch.testing.assert_close(decoder.score(), model.logits(model(context)[0][:, -1]), rtol=1e-5, atol=1e-5)


@every_cell
@pytest.mark.parametrize("units", [UNITS, 3], ids=["lookup", "index"])
@torch.no_grad()
def test_one_hot_input_as_ids_equals_vectors(cell: str, units: int) -> None:
    recurrence = build(cell, embedding_dim=None, units=units).recurrence
    state = recurrence.initial_state(3)
    by_ids, _ = recurrence.forward_one_hot(tokens(), VOCABULARY, state)
    by_vectors, _ = recurrence(F.one_hot(tokens(), VOCABULARY).float(), state)
    torch.testing.assert_close(by_ids, by_vectors, rtol=0, atol=1e-5)


class TestMinimalCells:
    """Feng et al. (2024): the equations of sections 3.1 and 3.2, and what follows from them."""

    @staticmethod
    def layer(cell: str) -> ScannedCell:
        recurrence = build(cell).recurrence
        assert isinstance(recurrence, Stacked)
        (layer, _) = recurrence.layers
        assert isinstance(layer, ScannedCell)
        return layer

    @pytest.mark.parametrize("cell", ["mingru", "minlstm"])
    @torch.no_grad()
    def test_a_sequence_is_the_papers_recurrence(self, cell: str) -> None:
        layer, vectors, hidden = self.layer(cell), torch.randn(3, TIME, 5), torch.rand(3, UNITS)
        outputs, (last,) = layer(vectors, (hidden,))
        for time in range(TIME):
            *gates, candidate = layer.parts(layer.inputs(vectors[:, time]))
            new = torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate))
            if cell == "mingru":
                update = torch.sigmoid(gates[0])
                hidden = (1 - update) * hidden + update * new
            else:
                forget, enter = map(torch.sigmoid, gates)
                hidden = forget / (forget + enter) * hidden + enter / (forget + enter) * new
            torch.testing.assert_close(outputs[:, time], hidden, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(last, hidden, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("cell", ["mingru", "minlstm"])
    def test_saturated_gates_give_finite_states_and_gradients(self, cell: str) -> None:
        layer = self.layer(cell)
        vectors = (1000 * torch.randn(2, 300, 5)).requires_grad_()
        outputs, _ = layer(vectors, layer.initial_state(2))
        outputs.mean().backward()
        assert outputs.isfinite().all()
        assert (outputs >= 0).all()
        assert vectors.grad is not None
        assert vectors.grad.isfinite().all()

    @pytest.mark.parametrize("cell", ["mingru", "minlstm"])
    def test_the_state_is_float32_in_autocast(self, cell: str) -> None:
        layer = self.layer(cell)
        with torch.autocast("cpu", torch.bfloat16):
            outputs, (state,) = layer(torch.randn(2, TIME, 5), layer.initial_state(2))
        assert outputs.dtype == state.dtype == torch.float32

    @torch.no_grad()
    def test_the_size_of_minlstms_state_does_not_depend_on_the_length(self) -> None:
        layer, vectors = self.layer("minlstm"), torch.randn(1, 1, 5).expand(2, 2000, 5)
        outputs, _ = layer(vectors, layer.initial_state(2))
        candidate = positive(layer.inputs(vectors[:, -1]).chunk(3, dim=1)[2])
        assert (outputs[:, -1] <= candidate * (1 + 1e-4)).all()  # a mean of the candidates, never their sum
