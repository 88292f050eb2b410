"""Products by oneDNN's copy in blocks are those of the matrix, whatever the number of rows."""

import pytest
import torch

from conftest import compose_train
from textloom.models.product import Product, keeps_blocks, transposed
from textloom.models.recurrent import RecurrentLanguageModel

WEIGHT = torch.randn(1024, 160, generator=torch.Generator().manual_seed(0))  # (outputs, inputs)


@pytest.mark.parametrize("rows", [1, 2, 6, 7, 8, 61, 64])
@torch.no_grad()
def test_a_product_is_that_of_the_matrix(rows: int) -> None:
    vectors, bias, sums = torch.randn(rows, 160), torch.randn(1024), torch.randn(rows, 1024)
    expected = torch.nn.functional.linear(vectors.double(), WEIGHT.double()).float()
    bias[3] = -torch.inf  # a token that is never drawn
    for weight in (transposed(WEIGHT, rows), WEIGHT.t()):
        product, biased = Product(weight, rows), Product(weight, rows, bias)
        torch.testing.assert_close(product(vectors), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(product.add_to(sums.clone(), vectors), sums + expected, rtol=1e-4, atol=1e-4)
        out = torch.empty(rows, 1024)
        assert biased(vectors, out=out) is out
        torch.testing.assert_close(out, expected + bias, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(biased(vectors), out, rtol=0, atol=0)


@pytest.mark.parametrize(("rows", "outputs"), [(7, 1024), (64, 1024), (64, 512)])
def test_equal_rows_have_equal_products(rows: int, outputs: int) -> None:
    """So that a text does not depend on the row that it has."""
    vectors = torch.randn(1, 160).expand(rows, -1).contiguous()
    found = Product(transposed(WEIGHT[:outputs], rows), rows)(vectors)
    assert torch.equal(found, found[:1].expand_as(found))


def test_blocks_are_kept_for_large_products_of_several_rows_alone() -> None:
    assert keeps_blocks(WEIGHT, 8)
    assert not keeps_blocks(WEIGHT.repeat(8, 1), 1)
    assert not keeps_blocks(WEIGHT[:512], 8)
    assert not keeps_blocks(WEIGHT.double(), 8)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mogrifier_lstm"])
@torch.no_grad()
def test_a_large_cell_decodes_what_its_forward_computes(cell: str) -> None:
    torch.manual_seed(0)
    overrides = ["model.units=384", "model.layers=2", "model.embedding_dim=8"]
    model = RecurrentLanguageModel(compose_train(f"model={cell}", *overrides).model, 400).eval()
    ids = torch.randint(400, (6, 5))
    decoder = model.decoder(6)
    for tokens in ids.unbind(1):
        decoder.read(tokens)
    hidden, _ = model(ids)
    torch.testing.assert_close(decoder.score(), model.logits(hidden[:, -1]), rtol=1e-4, atol=1e-4)
    order = torch.tensor([5, 0, 0, 3, 2, 1])
    decoder.select(order)
    decoder.read(ids[order, 0])
    hidden, _ = model(torch.cat([ids, ids[:, :1]], dim=1)[order])
    torch.testing.assert_close(decoder.score(), model.logits(hidden[:, -1]), rtol=1e-4, atol=1e-4)
