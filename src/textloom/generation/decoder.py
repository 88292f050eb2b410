"""One token in, the scores of the next one out, as fast as that goes: the model's equations, with prepared weights.

At 128 units a step is 80,000 multiplications, which take less time than calling ``nn.LSTM``. So the weights are laid
out once as the products want them, the input product of a small vocabulary becomes a table with a row for each token,
and every buffer stays where it is, so that a GPU can record a whole step and replay it.
"""

from collections.abc import Iterable

import torch
from torch import nn

from textloom.generation.layers import LAYERS
from textloom.models.language_model import NgramLanguageModel
from textloom.models.recurrent import RecurrentLanguageModel

TABLE_ROWS = 1024  # the table of a vocabulary up to this size costs a few milliseconds


class Decoder:
    """Reads one token of each text at a time.

    With a ``window`` the scores are those of reading the last ``window`` tokens again for every token. That is
    ``window`` recurrences, each begun one token after the other: here they go on side by side, as rows of one product.
    All of them read each token; the one that began ``window`` tokens ago gives the scores, then starts over.
    """

    def __init__(self, model: RecurrentLanguageModel, texts: int, window: int | None = None, never: int | None = None):
        """``never`` is a token that is not to be drawn: its score is minus infinity."""
        self.device = model.device
        self._window = window
        self._layers = [
            LAYERS[type(model.recurrence)](model.recurrence, number, texts * (window or 1))
            for number in range(model.recurrence.num_layers)
        ]
        first = self._layers[0]
        self._embedding = None if model.embedding is None else model.embedding.weight.detach()
        self._table: torch.Tensor | None = None
        if self._embedding is None:  # a one-hot vector times a matrix is a row of it
            self._table = first.weight_ih + first.bias_ih  # (vocabulary, gates)
        elif len(self._embedding) <= TABLE_ROWS:
            self._table = torch.addmm(first.bias_ih, self._embedding, first.weight_ih)
        dense = isinstance(model.softmax, nn.Linear)
        self._softmax = _DenseSoftmax(model, never) if dense else _AdaptiveSoftmax(model, never)
        products = [layer.weight_hh for layer in self._layers] + [layer.weight_ih for layer in self._layers[1:]]
        self.multiplications = texts * (_numbers(model.softmax.parameters()) + (window or 1) * _numbers(products))
        """In a step, about."""
        self._read = torch.zeros(1, dtype=torch.long, device=self.device)  # tokens that each text has read

    def read(self, tokens: torch.Tensor) -> None:
        """Every text's token, (texts,), changes its state."""
        first, *others = self._layers
        if self._window is None:
            self._first_product(tokens, out=first.gates)
        else:
            rows = first.gates.view(self._window, len(tokens), -1)
            rows.copy_(self._first_product(tokens))
            for layer in self._layers:
                layer.begin(self._window, self._read % self._window)
            self._read += 1
        first.step()
        lower = first
        for layer in others:
            torch.addmm(layer.bias_ih, lower.hidden, layer.weight_ih, out=layer.gates)
            layer.step()
            lower = layer

    def score(self) -> torch.Tensor:
        """The logits of every text's next token, (texts, vocabulary)."""
        hidden = self._layers[-1].hidden  # (texts, units), or (window * texts, units)
        if self._window is not None:
            oldest = (self._read - self._window).clamp_(min=0) % self._window
            hidden = hidden.view(self._window, -1, hidden.shape[1]).index_select(0, oldest)[0]
        return self._softmax(hidden)

    def _first_product(self, tokens: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The first layer's gates as far as the tokens say: (texts, gates)."""
        if self._table is not None:
            return torch.index_select(self._table, 0, tokens, out=out)
        assert self._embedding is not None
        first = self._layers[0]
        return torch.addmm(first.bias_ih, self._embedding[tokens], first.weight_ih, out=out)


class _DenseSoftmax:
    """(texts, units) -> (texts, vocabulary)."""

    def __init__(self, model: RecurrentLanguageModel, never: int | None):
        assert isinstance(model.softmax, nn.Linear)
        self.weight = model.softmax.weight.detach().t().contiguous()  # (units, vocabulary)
        self.bias = model.softmax.bias.detach().clone()
        if never is not None:
            self.bias[never] = float("-inf")

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, hidden, self.weight)


class _AdaptiveSoftmax:
    """The same, of an adaptive softmax."""

    def __init__(self, model: RecurrentLanguageModel, never: int | None):
        self.model, self.never = model, never

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = self.model.logits(hidden)
        if self.never is not None:
            scores[:, self.never] = float("-inf")
        return scores


def _numbers(weights: Iterable[torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights)


class NgramDecoder:
    """The same for counted n-grams, whose state is the last tokens of each text."""

    multiplications = 0

    def __init__(self, model: NgramLanguageModel, texts: int, never: int | None = None):
        self.device = model.device
        self._model, self._never = model, never
        self._state = model.initial_state(texts)
        self._hidden = self._state[0]

    def read(self, tokens: torch.Tensor) -> None:
        """Every text's token, (texts,), is the last one to look back on."""
        self._hidden, self._state = self._model(tokens[:, None], self._state)

    def score(self) -> torch.Tensor:
        """The logarithms of every text's probabilities, (texts, vocabulary)."""
        scores = self._model.logits(self._hidden[:, -1])
        if self._never is not None:
            scores[:, self._never] = float("-inf")
        return scores
