"""The recurrent language model: tokens in, hidden states out, a softmax over them."""

import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import ModelConfig
from textloom.models.adaptive_softmax import adaptive_softmax
from textloom.models.building import build_cell
from textloom.models.cell import Cell
from textloom.models.decoder import ModelDecoder, RecurrentDecoder
from textloom.models.dropout import build_dropout, drop_words
from textloom.models.initial_state import LearnedInitialState
from textloom.models.initialization import init_embedding, init_projection, init_softmax
from textloom.models.language_model import Decoder, LanguageModel, distinct_weights
from textloom.models.size import sized
from textloom.models.state import State


class RecurrentLanguageModel(LanguageModel):
    """Input (embedding or one-hot), recurrence (all layers of a cell), output (dense or adaptive softmax).

    With ``config.output_projection`` the outputs are projected to the length of the embedding, so that a softmax can
    share its weights whatever the number of units (Inan et al. 2017, "Tying word vectors and word classifiers", arXiv
    1611.01462, and Press and Wolf 2017, arXiv 1608.05859, tie weights; both need equal lengths).
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int):
        super().__init__()
        config = sized(config, vocabulary_size)
        units = config.softmax_units
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_dim) if config.embedding_dim else None
        self.recurrence: Cell = build_cell(config, config.embedding_dim or vocabulary_size)
        self.first_state = LearnedInitialState(self.recurrence, config.kind) if config.learned_initial_state else None
        self.projection = nn.Linear(config.output_units, units, bias=False) if config.output_projection else None
        self.softmax: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss = (
            nn.Linear(units, vocabulary_size)
            if config.softmax_cutoffs is None
            else adaptive_softmax(units, vocabulary_size, config.softmax_cutoffs)
        )
        self.embedding_dropout = config.embedding_dropout
        self.input_dropout = build_dropout(config.input_dropout, config.locked_dropout)
        # null until training has chosen a value
        self.output_dropout = build_dropout(config.output_dropout or 0.0, config.locked_dropout)
        if self.embedding is None and vocabulary_size <= 4 * units:
            self.register_buffer("one_hot_rows", torch.eye(vocabulary_size), persistent=False)
        self._init_weights(config, units)
        if config.frozen_embedding and self.embedding is not None:
            self.embedding.weight.requires_grad_(False)
        if config.tied_weights and self.embedding is not None and isinstance(self.softmax, nn.Linear):
            self.softmax.weight = self.embedding.weight

    def forward(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """Hidden states of the last layer, projected if the model does so, and the state after the last token.

        ``inputs`` are token ids, (batch, time), the hidden states (batch, time, units); ``state`` is what an earlier
        call returned, None for the initial one.
        """
        hidden, after = self.last_layer(inputs, state)
        return self.output_dropout(hidden), after

    def last_layer(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """``forward`` without the dropout before the softmax."""
        if state is None:
            state = self.initial_state(len(inputs))
        if self.embedding is not None:
            vectors = self.embedding(inputs)  # (batch, time, embedding_dim)
            if self.training and self.embedding_dropout:
                vectors = drop_words(vectors, inputs, self.vocabulary_size, self.embedding_dropout)
            hidden, after = self.recurrence(self.input_dropout(vectors), state)
        elif "one_hot_rows" in self._buffers:
            # a small vocabulary: nn.LSTM over looked-up rows of the identity ran 2 to 3 times faster than looked-up
            # columns of its weights (10 against 24 ms for 60 symbols, 128 units, 64 x 50 tokens on 2 cores)
            vectors = F.embedding(inputs, self.get_buffer("one_hot_rows"))  # (batch, time, vocabulary_size)
            hidden, after = self.recurrence(vectors, state)
        else:
            hidden, after = self.recurrence.forward_one_hot(inputs, self.vocabulary_size, state)
        return self.projected(hidden), after

    def projected(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states of the last layer as the softmax reads them."""
        return hidden if self.projection is None else self.projection(hidden)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of every token, (..., units) -> (..., vocabulary_size); adaptive softmax gives log-probabilities."""
        if isinstance(self.softmax, nn.AdaptiveLogSoftmaxWithLoss):
            flat = self.softmax.log_prob(hidden.reshape(-1, hidden.shape[-1]))
            return flat.view(*hidden.shape[:-1], self.vocabulary_size)
        scores: torch.Tensor = self.softmax(hidden)
        return scores

    def nats_and_argmax(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Per-target negative log-likelihood and argmax: (targets, units), (targets,) -> (targets,) each."""
        if isinstance(self.softmax, nn.AdaptiveLogSoftmaxWithLoss):
            return -self.softmax(hidden, targets).output, self.softmax.predict(hidden)
        return super().nats_and_argmax(hidden, targets)

    def decoder(
        self, texts: int, window: int | None = None, never: int | None = None, state: State | None = None
    ) -> Decoder:
        """Decode this many texts side by side, with the cell's prepared layers if it has them."""
        # prepared layers begin every text with zeros
        layers = self.recurrence.fast_layers(texts * (window or 1)) if self.first_state is None else None
        states = None if state is None else self.recurrence.fast_states(state)
        if layers is None or (state is not None and states is None):
            return ModelDecoder(self, texts, window, never, state)
        decoder = RecurrentDecoder(
            self.embedding, layers, self.softmax,
            projection=self.projection, window=window, never=never, states_of=self.recurrence.fast_states,
        )  # fmt: skip
        if states is not None:
            decoder.restore(states)
        return decoder

    def weights(self) -> dict[str, torch.Tensor]:
        """Every weight, tied ones once."""
        return distinct_weights(self)

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Replace every weight; a tied one may come once. Raises RuntimeError if one is missing or unknown."""
        missing, unknown = self.load_state_dict(weights, strict=False)
        if unknown or set(missing) & set(distinct_weights(self)):
            raise RuntimeError(f"missing: {missing}, unknown: {unknown}")

    def product_matrices(self) -> list[nn.Parameter]:
        """Parameters with two dimensions or more that are used in products: no embedding alone, no initial state."""
        modules = [one for one in self.modules() if not isinstance(one, nn.Embedding | LearnedInitialState)]
        return [matrix for one in modules for matrix in one.parameters(recurse=False) if matrix.dim() > 1]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The matrices of recurrence and projection, but that of a one-hot input, whose columns are an embedding."""
        matrices = [one for one in self.recurrence.parameters() if one.dim() == 2]
        if self.embedding is None:
            matrices = [one for one in matrices if one.shape[1] != self.vocabulary_size]
        return matrices if self.projection is None else [*matrices, *self.projection.parameters()]

    def initial_state(self, batch_size: int) -> State:
        """The state at the beginning of a text: the cell's own, or the learned one."""
        if self.first_state is not None:
            state: State = self.first_state(batch_size)
            return state
        return self.recurrence.initial_state(batch_size)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names that the cell gives."""
        return self.recurrence.state_names or super().state_names

    def _init_weights(self, config: ModelConfig, units: int) -> None:
        """Draw all weights; a one-hot input has norm 1."""
        bound, input_norm = config.embedding_range, 1.0
        if config.tied_weights and bound is None:
            bound = units**-0.5  # the embedding is also the softmax's matrix, so it is drawn like one
        if self.embedding is not None:
            input_norm = init_embedding(self.embedding, bound)
        if self.projection is not None:
            init_projection(self.projection, config.initialization)
        init_softmax(self.softmax, units, config.initialization)
        self.recurrence.init_weights(config.initialization, input_norm)


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
