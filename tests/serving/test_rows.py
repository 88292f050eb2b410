"""What a row draws depends neither on its number nor on the rows beside it, for every cell."""

import pytest
import torch

from conftest import model_config, own_keys
from textloom.config import CELLS
from textloom.generation.reading import Reading
from textloom.generation.sampling import Sampling
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.serving.rows import Drawing, Drawn, Rows
from textloom.serving.threads import rows_computed_alike

VOCABULARY, ROWS, END, UNKNOWN = 20, 6, 0, 1
DRAWING = Drawing(Sampling(0.9, top_k=15), seed=3, logprobs=2)


def built(cell: str, units: int = 12, **keys: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    values = {
        **own_keys(cell), "cell": cell, "units": units, "layers": 2, "embedding_dim": units, "tied_weights": False,
        "input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0, **keys,
    }  # fmt: skip
    return RecurrentLanguageModel(model_config(values), VOCABULARY).eval()


def reading(model: RecurrentLanguageModel, tokens: int) -> Reading:
    ids = torch.randint(2, VOCABULARY, (tokens,), generator=torch.Generator().manual_seed(tokens)).tolist()
    return Reading.beginning(END).further(model, ids)


def drawn(rows: Rows, number: int, turns: list[int]) -> Drawn:
    """All that a row gets in turns of these numbers of steps."""
    parts = [rows.step(steps)[number] for steps in turns]
    return Drawn(*([item for part in parts for item in getattr(part, name)] for name in vars(parts[0])))


@pytest.mark.parametrize("cell", CELLS.names)
@torch.inference_mode()
def test_a_text_is_the_same_in_any_row_beside_any_others(cell: str) -> None:
    model = built(cell)
    for tokens in (3, 300):
        alone = Rows(model, ROWS, None, UNKNOWN, END)
        alone.enter(0, reading(model, tokens), DRAWING)
        expected = drawn(alone, 0, [150])  # of which up to 44 read the tokens after the last block
        among = Rows(model, ROWS, None, UNKNOWN, END)
        for number in range(4):
            among.enter(number, reading(model, 7 * number), Drawing(Sampling(1.2, top_p=0.8), seed=number))
        among.step(5)  # the row was used before
        among.leave(2)
        among.enter(5, reading(model, 40), Drawing(Sampling(0.0), seed=1, logprobs=5))
        among.enter(2, reading(model, tokens), DRAWING)
        assert drawn(among, 2, [1, 2, 57, 90]) == expected
        assert not {UNKNOWN} & {*expected.tokens}


@pytest.mark.parametrize("units", [50, 512])
@torch.inference_mode()
def test_as_many_threads_are_used_as_compute_all_rows_alike(units: int) -> None:
    """Three threads share 64 rows of 512 units so that a share ends within a row; two do not."""
    model, found = built("lstm", units, layers=1), []
    torch.set_num_threads(3)
    for number in (0, 63):
        rows = Rows(model, 64, None, UNKNOWN, END)
        with rows_computed_alike(rows.decoder, 64, VOCABULARY):
            assert 1 <= torch.get_num_threads() <= 3
            rows.enter(number, reading(model, 3), DRAWING)
            rows.enter(number - 1 if number else 5, reading(model, 9), Drawing(Sampling(), seed=7))
            found.append(drawn(rows, number, [8]))
        assert torch.get_num_threads() == 3
    assert found[0] == found[1]


@torch.inference_mode()
def test_a_document_that_begins_has_a_token() -> None:
    model = built("lstm")
    model.softmax.bias.data[END] = 50.0
    rows = Rows(model, ROWS, None, UNKNOWN, END)
    rows.enter(0, Reading.beginning(END), Drawing(Sampling(), seed=1, begins=True))
    rows.enter(1, Reading.beginning(END), Drawing(Sampling(), seed=1))
    found = rows.step(2)
    assert found[0].tokens[0] != END
    assert found[0].tokens[1] == END
    assert found[1].tokens == [END, END]
