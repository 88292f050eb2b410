"""Decoding one token at a time, with the cell's prepared layers if it has them, else with the model.

At 128 units a step is 80,000 multiplications, which take less time than a call of ``nn.LSTM``. So the weights are laid
out once in the order in which they are multiplied, the input product of a small vocabulary becomes a table with a row
for each token, and all buffers are preallocated and updated in place, so that a whole step can be recorded as a CUDA
graph.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from textloom.models.cell import FastLayer
from textloom.models.language_model import Decoder, LanguageModel
from textloom.models.product import Product
from textloom.models.state import State, batch_dimensions, detach, expanded

TABLE_ROWS = 1024  # the table of a vocabulary up to this size costs a few milliseconds


class RecurrentDecoder:
    """Decodes with the prepared layers of a cell.

    With a ``window`` the scores are those of reading the last ``window`` tokens again for every token. That is
    ``window`` recurrences, each begun one token after the other: here they run side by side, as rows of one product.
    All of them read each token; the one that began ``window`` tokens ago gives the scores, then starts again.
    """

    recordable = True

    def __init__(
        self,
        embedding: nn.Embedding | None,
        layers: Sequence[FastLayer],
        softmax: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss,
        *,
        projection: nn.Linear | None = None,
        window: int | None = None,
        never: int | None = None,
        states_of: Callable[[State], Sequence[State] | None] | None = None,
    ):
        """Prepare a decoder of layers for ``texts * (window or 1)`` rows; the token ``never`` gets probability zero.

        ``states_of`` splits a state of the model into those of the layers, for ``place``.
        """
        self._states_of = states_of
        first, *others = self._layers = layers
        self.device = first.hidden.device
        self._window = window
        self._embedding = None if embedding is None else embedding.weight.detach()
        self._table: torch.Tensor | None = None
        if self._embedding is None:  # a one-hot vector times a matrix is a row of it
            self._table = (first.weight_ih + first.bias_ih).contiguous()  # (vocabulary, gates)
        elif len(self._embedding) <= TABLE_ROWS:
            self._table = torch.addmm(first.bias_ih, self._embedding, first.weight_ih.contiguous())
        rows = len(first.hidden)
        texts = rows // (window or 1)
        self._inputs = [Product(layer.weight_ih, rows, layer.bias_ih) for layer in others]
        if self._table is None:
            self._first_input = Product(first.weight_ih, texts, first.bias_ih)
        self._softmax = (
            _dense_softmax(softmax, never, texts)
            if isinstance(softmax, nn.Linear)
            else _AdaptiveSoftmax(softmax, never)
        )
        self._projection = None if projection is None else Product(projection.weight.detach().t(), texts)
        products = [layer.weight_hh for layer in layers] + [layer.weight_ih for layer in others]
        outputs = [*softmax.parameters(), *([] if projection is None else projection.parameters())]
        self.multiplications = texts * (_numbers(outputs) + (window or 1) * _numbers(products))
        self._read = torch.zeros(1, dtype=torch.long, device=self.device)  # tokens that each text has read

    def read(self, tokens: torch.Tensor) -> None:
        """Update every text's state with its token, (texts,)."""
        first, *others = self._layers
        if self._window is None:
            self._first_product(tokens, out=first.gates)
        else:
            rows = first.gates.view(self._window, len(tokens), -1)
            rows.copy_(self._first_product(tokens))
            for layer in self._layers:
                layer.restart(self._window, self._read % self._window)
            self._read += 1
        first.step()
        lower = first
        for layer, product in zip(others, self._inputs, strict=True):
            product(lower.hidden, out=layer.gates)
            layer.step()
            lower = layer

    def score(self) -> torch.Tensor:
        """The logits of every text's next token, (texts, vocabulary)."""
        hidden = self._layers[-1].hidden  # (texts, units), or (window * texts, units)
        if self._window is not None:
            oldest = (self._read - self._window).clamp_(min=0) % self._window
            hidden = hidden.view(self._window, -1, hidden.shape[1]).index_select(0, oldest)[0]
        return self._softmax(hidden if self._projection is None else self._projection(hidden))

    def restore(self, states: Sequence[State]) -> None:
        """Set the state of every text to this one: for each layer its parts, (1, units). Not with a window."""
        for layer, parts in zip(self._layers, states, strict=True):
            for mine, part in zip(layer.states, parts, strict=True):
                mine.copy_(part)

    def place(self, row: int, state: State | None) -> None:
        """Set the state of one text to that of a model that read one text; None: to the beginning of a text."""
        if state is None:
            for layer in self._layers:
                for part in layer.states:
                    part.view(self._window or 1, -1, part.shape[1])[:, row] = 0.0
            return
        states = None if self._states_of is None else self._states_of(state)
        assert self._window is None
        assert states is not None
        for layer, parts in zip(self._layers, states, strict=True):
            for mine, part in zip(layer.states, parts, strict=True):
                mine[row] = part[0]

    def copy_row(self, source: Decoder, row: int | slice) -> None:
        """Set the state of some texts to that of a decoder of one text. Not with a window."""
        assert isinstance(source, RecurrentDecoder)
        for mine, its in zip(self._layers, source._layers, strict=True):
            for state, other in zip(mine.states, its.states, strict=True):
                state[row] = other[0]

    def select(self, rows: torch.Tensor) -> None:
        """Give text k the state of text ``rows[k]``, for all texts."""
        if self._window is not None:
            rows = (len(rows) * torch.arange(self._window, device=self.device)[:, None] + rows).view(-1)
        for layer in self._layers:
            layer.select(rows)

    def _first_product(self, tokens: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The product of the tokens with the first layer's input weights, (texts, gates)."""
        if self._table is not None:
            return torch.index_select(self._table, 0, tokens, out=out)
        assert self._embedding is not None
        return self._first_input(self._embedding[tokens], out=out)


class ModelDecoder:
    """Decodes by calling the model, for cells without prepared layers and for n-grams.

    A window is read again for every token that is scored.
    """

    recordable = False  # a cell may wait for the GPU

    def __init__(
        self,
        model: LanguageModel,
        texts: int,
        window: int | None = None,
        never: int | None = None,
        state: State | None = None,
    ):
        self.device = model.device
        self.multiplications = texts * (window or 1) * _numbers(model.parameters())
        self._model, self._window, self._never = model, window, never
        self._dimensions = batch_dimensions(model.initial_state)
        self._state = detach(model.initial_state(texts)) if state is None else expanded(state, self._dimensions, texts)
        self._hidden = torch.empty(0)  # (texts, 1, units), after the last token
        self._ids = torch.empty(texts, 0, dtype=torch.long, device=self.device)  # the last ones, at most a window

    def read(self, tokens: torch.Tensor) -> None:
        """Update every text's state, or its window, with its token, (texts,)."""
        if self._window is None:
            self._hidden, self._state = self._model(tokens[:, None], self._state)
        else:
            self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)[:, -self._window :]

    def place(self, row: int, state: State | None) -> None:
        """Set the state of one text to that of a model that read one text; None: to the beginning of a text."""
        assert self._window is None
        self._set(row, self._model.initial_state(1) if state is None else state)

    def copy_row(self, source: Decoder, row: int | slice) -> None:
        """Set the state of some texts to that of a decoder of one text. Not with a window."""
        assert isinstance(source, ModelDecoder)
        self._set(row, source._state)

    def _set(self, row: int | slice, state: State) -> None:
        copies = [part.clone() for part in self._state]
        for mine, its, dimension in zip(copies, state, self._dimensions, strict=True):
            if dimension is not None:
                mine.movedim(dimension, 0)[row] = its.movedim(dimension, 0)[0]
        self._state = tuple(copies)

    def select(self, rows: torch.Tensor) -> None:
        """Give text k the state of text ``rows[k]``, for all texts."""
        pairs = zip(self._state, self._dimensions, strict=True)
        self._state = tuple(part if d is None else part.index_select(d, rows) for part, d in pairs)
        self._ids = self._ids.index_select(0, rows)

    def score(self) -> torch.Tensor:
        """The logits of every text's next token, (texts, vocabulary)."""
        hidden = self._hidden if self._window is None else self._model(self._ids)[0]
        scores = self._model.logits(hidden[:, -1])
        if self._never is not None:
            scores[:, self._never] = float("-inf")
        return scores


def _dense_softmax(softmax: nn.Linear, never: int | None, texts: int) -> Product:
    """(texts, units) -> (texts, vocabulary)."""
    bias = softmax.bias.detach().clone()
    if never is not None:
        bias[never] = float("-inf")
    return Product(softmax.weight.detach().t(), texts, bias)


class _AdaptiveSoftmax:
    """(texts, units) -> (texts, vocabulary) for an adaptive softmax, as log-probabilities."""

    def __init__(self, softmax: nn.AdaptiveLogSoftmaxWithLoss, never: int | None):
        self.softmax, self.never = softmax, never

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = self.softmax.log_prob(hidden)
        if self.never is not None:
            scores[:, self.never] = float("-inf")
        return scores


def _numbers(weights: Iterable[torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights)
