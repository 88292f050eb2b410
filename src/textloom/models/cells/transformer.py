"""A decoder-only Transformer, the control for recurrent cells: Vaswani et al. (2017), arXiv 1706.03762.

Blocks of causal self-attention and a feed-forward network with GELU, each behind layer normalization, as in GPT-2
(Radford et al. 2019). A token attends to itself and the ``context - 1`` tokens before it (a sliding window, as in
Mistral 7B, arXiv 2310.06825). So the keys and values of that many tokens are all that a later token needs: they are the
state, it has a fixed size, and a text read in pieces gives exactly what one pass gives. Information from further back
arrives through the layers, at most ``layers * (context - 1)`` tokens. Gradients end where a batch begins, as for
recurrent cells: the training of Transformer-XL (Dai et al. 2019, arXiv 1901.02860).

Positions are rotations of queries and keys (RoPE: Su et al. 2021, arXiv 2104.09864), because attention then depends on
distances alone: a learned vector for each position would end with the table, while a carried text has no last position.
"""

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import TransformerConfig
from textloom.models.cell import Cell
from textloom.models.dropout import Dropout, build_dropout
from textloom.models.state import State

LONGEST_WAVELENGTH = 10_000  # of a rotation, over 2 pi
TURN = 1 << 20  # parts of a full turn; a rotation by whole parts is exact for a position of any size


class Transformer(Cell):
    """All layers; the state is (keys, values, tokens read).

    Keys and values are (batch, layers, context - 1, size), the newest last, and keys are rotated already. Places that
    no token has filled yet are left out of attention.
    """

    state_names = ("keys", "values", "tokens_read")

    def __init__(self, config: TransformerConfig, input_size: int):
        super().__init__()
        assert isinstance(config.units, int)
        self.context, self.heads = config.context, config.heads
        self.head_size = 2 * math.ceil(config.units / config.heads / 2)  # even, for rotations of pairs
        size = config.heads * self.head_size
        self.attention_multiplications = 2 * config.layers * config.context * size  # with keys, and with values
        self.inputs = nn.Linear(input_size, config.units, bias=False)
        self.blocks = nn.ModuleList([Block(config, size) for _ in range(config.layers)])
        self.dropout = build_dropout(config.layer_dropout, config.locked_dropout)
        self.norm = nn.LayerNorm(config.units)

    def all_blocks(self) -> "list[Block]":
        """The blocks, from the lowest on."""
        return list(self.blocks)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> State:
        """No tokens: zeros."""
        weight = self.inputs.weight
        shape = (batch_size, len(self.blocks), self.context - 1, self.heads * self.head_size)
        read = torch.zeros(batch_size, dtype=torch.long, device=weight.device)
        return weight.new_zeros(shape), weight.new_zeros(shape), read

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> (batch, time, units), and the state after the last token."""
        return self._attend(self.inputs(vectors), state)

    def forward_one_hot(self, ids: torch.Tensor, size: int, state: State) -> tuple[torch.Tensor, State]:
        """A one-hot vector times a matrix is one of its columns, so the columns are looked up."""
        return self._attend(F.embedding(ids, self.inputs.weight.t()), state)

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw all matrices; what a block adds is scaled by their number, as in GPT-2, for a sum near unit variance."""
        if kind == "keras":
            for weight in (weight for weight in self.parameters() if weight.dim() > 1):
                nn.init.xavier_uniform_(weight)
            return
        nn.init.normal_(self.inputs.weight, std=1 / input_norm)
        for block in self.all_blocks():
            for linear in (block.queries_keys_values, block.attended, block.inner, block.outer):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            for added in (block.attended, block.outer):
                added.weight.detach().div_((2 * len(self.blocks)) ** 0.5)

    def _attend(self, hidden: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """All blocks: (batch, time, units) -> (batch, time, units)."""
        keys, values, read = state
        time = hidden.shape[1]
        mask = self._visible(time, read)
        rotation = self._rotation(time, read)
        all_keys, all_values = [], []
        for number, block in enumerate(self.all_blocks()):
            if number:
                hidden = self.dropout(hidden)
            attended, *after = block.attend(hidden, (keys[:, number], values[:, number]), rotation, mask)
            hidden = block.feed_forward(attended)
            all_keys.append(after[0])
            all_values.append(after[1])
        return self.norm(hidden), (torch.stack(all_keys, dim=1), torch.stack(all_values, dim=1), read + time)

    def _visible(self, time: int, read: torch.Tensor) -> torch.Tensor:
        """True where a token may attend: (batch, 1, time, context - 1 + time), the places of the cache first."""
        cached = self.context - 1
        places = torch.arange(cached + time, device=read.device)
        tokens = torch.arange(time, device=read.device)[:, None]
        in_window = (places >= tokens) & (places <= tokens + cached)  # (time, places)
        filled = places >= cached - read[:, None]  # (batch, places)
        return (in_window & filled[:, None])[:, None]

    def _rotation(self, time: int, read: torch.Tensor) -> torch.Tensor:
        """Cosines and sines of the angles of the new tokens, (2, batch, time, 1, head_size / 2)."""
        pairs = torch.arange(0, self.head_size, 2, device=read.device) / self.head_size
        parts = (TURN / (2 * math.pi) * LONGEST_WAVELENGTH**-pairs).round().long()  # turned from a token to the next
        positions = read[:, None] + torch.arange(time, device=read.device)
        angles = (positions[..., None, None] * parts % TURN) * (2 * math.pi / TURN)
        return torch.stack([angles.cos(), angles.sin()])


class Block(nn.Module):
    """One layer: attention and a feed-forward network, each added to what it reads.

    Dropout acts on what is added. Attention weights have none: the fused attention of a CPU cannot compute it.
    """

    def __init__(self, config: TransformerConfig, size: int):
        super().__init__()
        assert isinstance(config.units, int)
        self.heads = config.heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(config.units), nn.LayerNorm(config.units)
        self.queries_keys_values = nn.Linear(config.units, 3 * size, bias=False)
        self.attended = nn.Linear(size, config.units, bias=False)
        self.inner = nn.Linear(config.units, 4 * config.units, bias=False)
        self.outer = nn.Linear(4 * config.units, config.units, bias=False)
        self.dropout = Dropout(config.block_dropout)

    def attend(
        self, hidden: torch.Tensor, cache: State, rotation: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add attention to (batch, time, units), and update the cache, (batch, context - 1, size) each."""
        size = cache[0].shape[2]
        queries, keys, values = self.queries_keys_values(self.attention_norm(hidden)).split(size, dim=2)
        queries, keys = (_rotated(self._by_head(one), rotation).flatten(2) for one in (queries, keys))
        after = zip(cache, (keys, values), strict=True)
        keys, values = (torch.cat([old, new.to(old.dtype)], dim=1) for old, new in after)
        found = F.scaled_dot_product_attention(
            self._by_head(queries.to(keys.dtype)).transpose(1, 2),  # (batch, heads, time, head_size)
            self._by_head(keys).transpose(1, 2),
            self._by_head(values).transpose(1, 2),
            attn_mask=mask,
        )
        added = self.dropout(self.attended(found.transpose(1, 2).flatten(2)))
        oldest = keys.shape[1] - cache[0].shape[1]
        return hidden + added, keys[:, oldest:], values[:, oldest:]

    def feed_forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Add the feed-forward network, (batch, time, units)."""
        added: torch.Tensor = self.dropout(self.outer(F.gelu(self.inner(self.feed_forward_norm(hidden)))))
        return hidden + added

    def _by_head(self, vectors: torch.Tensor) -> torch.Tensor:
        """(batch, time, size) -> (batch, time, heads, head_size)."""
        return vectors.view(*vectors.shape[:2], self.heads, -1)


def _rotated(vectors: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """(batch, time, heads, head_size), whose halves are the two coordinates of each pair, turned."""
    cosines, sines = rotation
    first, second = vectors.chunk(2, dim=3)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=3)
