"""The configs of recurrent language models, and the registry of their cells."""

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.section import Fraction, PathText, Positive, Section, as_whole
from textloom.registry import Registry, kind_alias

MASKS_OF_BATCHES = {"locked_dropout", "embedding_dropout", "weight_dropout"}
"""Keys about dropout that give the rows of a batch no masks of their own."""


class ModelConfig(Section):
    """A recurrent language model: input, recurrent layers, dense or adaptive softmax.

    Each cell has a config class of its own, with ``kind`` and the keys that only this cell has.
    """

    model_config = kind_alias("cell")
    is_ngram: ClassVar[Literal[False]] = False
    kind: str
    """Cell of the recurrent layers."""
    units: Positive | Literal["auto"] | None
    """Recurrent units in each layer; null chooses by the length of the text, auto by model.parameters."""
    parameters: Annotated[Positive, BeforeValidator(as_whole)] | None = None
    """Largest number of trainable parameters, for units=auto; null if units are given."""
    layers: Positive
    """Recurrent layers, each reading the hidden states of the one below."""
    embedding_dim: Positive | None
    """Length of the embedding vectors; null for one-hot input."""
    tied_weights: bool
    """Share the weights of embedding and softmax; embedding_dim must equal units, and units=auto sets it so.

    With output_projection it may have any length."""
    output_projection: bool = False
    """A matrix takes the hidden states to vectors of embedding_dim numbers, which the softmax reads."""
    softmax_cutoffs: list[Positive] | None = None
    """Ids at which the clusters of an adaptive softmax begin, faster above 100,000 words; null for a dense softmax."""
    input_dropout: Fraction
    """Dropout probability of the embedding's elements."""
    layer_dropout: Fraction
    """Dropout probability between two recurrent layers."""
    output_dropout: Fraction | None
    """Dropout probability before the softmax; null chooses by the length of the text."""
    locked_dropout: bool = False
    """Draw the masks of these three dropouts once for each row of a batch, instead of at each time step."""
    embedding_dropout: Fraction = 0.0
    """Probability that a word of the vocabulary has no embedding in a batch, wherever it occurs."""
    embedding_path: PathText | None = None
    """A file of GloVe or word2vec vectors that the embedding begins with; null for random ones."""
    frozen_embedding: bool = False
    """Keep the vectors of embedding_path as they are."""
    layer_norm: bool = False
    """Layer normalization of the outputs of each layer, as read by the next one and by the softmax."""
    residual: bool = False
    """Each layer adds its hidden states to its inputs; the first one too if embedding_dim equals units."""
    skip_connections: bool = False
    """The softmax reads the sum of the hidden states of all layers, instead of those of the last one."""
    learned_initial_state: bool = False
    """Train the initial state of a text; else it is zero."""
    embedding_range: Annotated[float, Field(gt=0)] | None = 0.1
    """Initial embeddings are uniform between minus and plus this; null for a normal distribution of unit variance."""
    initialization: Literal["scaled", "keras"] = "keras"
    """Initial weights: scaled to the size of each layer's inputs, or those of Keras (Glorot)."""

    @property
    def output_units(self) -> int:
        """Length of the hidden states of the last layer; ``units`` must be a number."""
        assert isinstance(self.units, int)
        return self.units

    @property
    def softmax_units(self) -> int:
        """Length of the vectors that the softmax reads."""
        if self.output_projection:
            assert self.embedding_dim is not None
            return self.embedding_dim
        return self.output_units

    @property
    def has_masks_of_rows(self) -> bool:
        """True if dropout draws masks for each row of a batch; an ``output_dropout`` that is not chosen yet counts."""
        names = (name for name in type(self).model_fields if name.endswith("dropout") and name not in MASKS_OF_BATCHES)
        return any(getattr(self, name) != 0 for name in names)

    def with_units(self, units: int) -> Self:
        """The same model with so many units; tied weights without a projection have an embedding as long."""
        changes: dict[str, int] = {"units": units}
        if self.tied_weights and not self.output_projection:
            changes["embedding_dim"] = units
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _tied_weights_fit(self) -> Self:
        fits = self.output_projection or self.embedding_dim == self.units or not isinstance(self.units, int)
        if self.tied_weights and not fits:
            raise ValueError(
                f"tied_weights needs embedding_dim equal to units={self.units}; set model.embedding_dim={self.units}, "
                "model.output_projection=true or model.tied_weights=false"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.units == "auto" and self.parameters is None:
            raise ValueError("units=auto needs a budget; give it as model.parameters=1e6, or set model.units=128")
        if self.softmax_cutoffs is not None:
            if not self.softmax_cutoffs or any(a >= b for a, b in pairwise(self.softmax_cutoffs)):
                raise ValueError(
                    "softmax_cutoffs must be rising ids; write model.softmax_cutoffs=[20000,100000], or null for none"
                )
            for name in ("tied_weights", "output_projection"):
                if getattr(self, name):
                    raise ValueError(f"softmax_cutoffs and {name} exclude each other; set model.{name}=false")
        if self.frozen_embedding and (self.embedding_path is None or self.tied_weights):
            raise ValueError(
                "frozen_embedding keeps pretrained vectors, and tied weights are trained; set "
                "model.embedding_path=FILE and model.tied_weights=false, or model.frozen_embedding=false"
            )
        for name in ("input_dropout", "embedding_dropout", "embedding_path", "output_projection"):
            if getattr(self, name) and self.embedding_dim is None:
                raise ValueError(f"{name} needs an embedding; set model.embedding_dim or leave model.{name} out")
        if self.skip_connections and self.residual:
            raise ValueError(
                "residual gives the softmax the sum of all layers, as skip_connections does; "
                "set model.skip_connections=false"
            )
        if self.layer_dropout and self.layers == 1:
            raise ValueError("layer_dropout acts between layers; set model.layers=2 or model.layer_dropout=0")
        return self


CELLS = Registry[ModelConfig]("cell", "textloom.cells", key="cell", package="textloom.models.cells")
"""The cells, each with a config class and a ``textloom.models.cells.Cell``.

Those of textloom are added by name, because PyTorch takes long to import; any other module in the package registers
its own.
"""


class LSTMConfig(ModelConfig):
    """Long short-term memory."""

    kind: Literal["lstm"]
    """Cell of the recurrent layers."""
    forget_bias: float = 1.0
    """Initial bias of the forget gate; above 0 the cell keeps its content from the start."""


class AWDLSTMConfig(LSTMConfig):
    """Long short-term memory with DropConnect, and a last layer of another size if weights are tied."""

    kind: Literal["awd_lstm"]  # type: ignore[assignment]
    tied_weights: bool
    """Share the weights of embedding and softmax; without output_projection the last layer has embedding_dim units."""
    weight_dropout: Fraction
    """Probability that a weight between the hidden states of two time steps is zero in a batch (DropConnect)."""

    @property
    def output_units(self) -> int:
        """Units of the last layer."""
        return self.embedding_dim if self._last_as_embedding and self.embedding_dim else super().output_units

    @property
    def _last_as_embedding(self) -> bool:
        return self.tied_weights and not self.output_projection

    def with_units(self, units: int) -> Self:
        """The same model with so many units in all layers but the last, whose size is that of a tied embedding."""
        return self.model_copy(update={"units": units})

    @model_validator(mode="after")
    def _tied_weights_fit(self) -> Self:
        if self.tied_weights and self.embedding_dim is None:
            raise ValueError("tied_weights needs an embedding; set model.embedding_dim or model.tied_weights=false")
        if self._last_as_embedding and self.layers == 1 and self.units != self.embedding_dim:
            raise ValueError(
                "tied_weights gives the last layer embedding_dim units, and layers=1 leaves none with model.units; "
                f"set model.layers=2, model.units={self.embedding_dim} or model.output_projection=true"
            )
        if self._last_as_embedding and self.skip_connections and self.units != self.embedding_dim:
            raise ValueError(
                "tied_weights gives the last layer embedding_dim units, and skip_connections adds layers of one size; "
                "set model.output_projection=true or model.skip_connections=false"
            )
        return self


class _WithoutForgetBias(ModelConfig):
    """A cell whose runs by former versions have the LSTM's ``forget_bias``, which had no effect."""

    @model_validator(mode="before")
    @classmethod
    def _drop_forget_bias(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if key != "forget_bias"}
        return values


class GRUConfig(_WithoutForgetBias):
    """Gated recurrent unit."""

    kind: Literal["gru"]


class RNNConfig(_WithoutForgetBias):
    """Elman network: tanh units without gates."""

    kind: Literal["rnn"]


class MinGRUConfig(ModelConfig):
    """Minimal gated recurrent unit: its gate reads the input alone."""

    kind: Literal["mingru"]


class MinLSTMConfig(ModelConfig):
    """Minimal long short-term memory: its gates read the input alone."""

    kind: Literal["minlstm"]
    forget_bias: float
    """Initial bias of the forget gate; above 0 the cell keeps its content from the start."""


class MogrifierLSTMConfig(ModelConfig):
    """Mogrifier LSTM: the input and the hidden state gate each other before each step."""

    kind: Literal["mogrifier_lstm"]
    forget_bias: float
    """Initial bias of the forget gate; above 0 the cell keeps its content from the start."""
    rounds: Annotated[Positive, Field(le=100)]
    """Number of rounds; in turns the hidden state gates the input, and the input the hidden state."""
    rank: Positive | None
    """Rank of the matrices of the rounds, each a product of two small ones; null for full matrices."""
    state_dropout: Fraction
    """Dropout probability of the recurrent state, with one mask for all steps of a batch."""
    capped_input_gate: bool = False
    """The input gate is at most 1 - the forget gate, so that the content of the cell stays between -1 and 1."""


class TransformerConfig(ModelConfig):
    """Decoder-only Transformer, the control for recurrent cells: its state is a cache of keys and values."""

    kind: Literal["transformer"]
    heads: Positive
    """Attention heads of each layer; each has units / heads numbers, rounded up to an even one."""
    context: Annotated[int, Field(ge=2)]
    """Tokens that a token attends to in each layer, itself included; the state holds one less."""
    block_dropout: Fraction
    """Dropout probability of the outputs of attention and feed-forward network in each layer."""

    @model_validator(mode="after")
    def _has_them_already(self) -> Self:
        for name in ("layer_norm", "residual", "skip_connections"):
            if getattr(self, name):
                raise ValueError(f"{name} is part of every transformer; set model.{name}=false")
        if self.learned_initial_state:
            raise ValueError("a transformer begins with an empty cache; set model.learned_initial_state=false")
        return self


CELLS.add(LSTMConfig, "textloom.models.cells.lstm:LSTM")
CELLS.add(GRUConfig, "textloom.models.cells.gru:GRU")
CELLS.add(RNNConfig, "textloom.models.cells.rnn:RNN")
CELLS.add(MinGRUConfig, "textloom.models.cells.mingru:MinGRU")
CELLS.add(MinLSTMConfig, "textloom.models.cells.minlstm:MinLSTM")
CELLS.add(MogrifierLSTMConfig, "textloom.models.cells.mogrifier_lstm:MogrifierLSTM")
CELLS.add(AWDLSTMConfig, "textloom.models.cells.awd_lstm:AWDLSTM")
CELLS.add(TransformerConfig, "textloom.models.cells.transformer:Transformer")
