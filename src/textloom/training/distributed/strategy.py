"""Training one model in several processes, with the gradient of the mean loss over all targets of the whole batch."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from textloom.batching.batch import Batch
from textloom.models.state import batch_dimensions
from textloom.system.ranks import ALONE, Ranks
from textloom.training.module import TrainingModule


class RankModule(TrainingModule):
    """Trains on one rank's share of each batch. Its checkpoints are those of one process with the whole batch."""

    ranks: Ranks = ALONE

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Mean nats per target of the share, weighted so that the ranks' mean gradient is that of the whole batch."""
        if len(batch.targets) == 0:  # the last batch of a split may not reach all ranks, but all take the step
            self.state = None if batch.starts else self.state
            self.step_length.add(batch)
            self.meter.add(self.global_step, torch.zeros((), device=self.device), 0)
            return _zero_of(self.parameters())
        weight = len(batch.targets) * self.ranks.size / batch.targets_of_all_ranks
        loss = super().training_step(batch, batch_index) * weight
        if isinstance(self.model.softmax, nn.AdaptiveLogSoftmaxWithLoss):
            # a cluster may have no target here, but the ranks wait for the gradient of every weight
            loss = loss + _zero_of(self.model.softmax.parameters())
        if self.model.first_state is not None:  # a batch that continues a text does not use it either
            loss = loss + _zero_of(self.model.first_state.parameters())
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add the share to the sums."""
        if len(batch.targets):
            super().validation_step(batch, batch_index)

    def on_validation_epoch_end(self) -> None:
        """Compute the score from the sums over all ranks."""
        tally = self.tally
        mine = torch.tensor([float(tally.nats), float(tally.correct), float(tally.targets)], dtype=torch.float64)
        nats, correct, targets = self.ranks.sum(mine).tolist()
        tally.nats, tally.correct, tally.targets = nats, int(correct), int(targets)
        super().on_validation_epoch_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the carried state of all rows, in their order."""
        super().on_save_checkpoint(checkpoint)
        parts = None if self.state is None else [part.cpu() for part in self.state]
        checkpoint["recurrent_state"] = _interleaved(
            self.ranks.gather(parts), batch_dimensions(self.model.initial_state), self.objective.passes
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the carried state of this rank's rows."""
        super().on_load_checkpoint(checkpoint)
        if self.state is not None:
            pairs = zip(self.state, batch_dimensions(self.model.initial_state), strict=True)
            self.state = tuple(
                part if axis is None else self._of_this_rank(part.movedim(axis, 0)).movedim(0, axis).contiguous()
                for part, axis in pairs
            )

    def _of_this_rank(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of this rank in each pass, from those of all ranks, (passes * rows, ...)."""
        return rows.reshape(self.objective.passes, -1, *rows.shape[1:])[:, self.ranks.share].flatten(0, 1)


def _zero_of(parameters: Iterable[torch.nn.Parameter]) -> torch.Tensor:
    """Zero, with a gradient for each of the parameters."""
    return 0 * torch.stack([parameter.sum() for parameter in parameters]).sum()


def _interleaved(
    shares: list[list[torch.Tensor] | None], axes: Sequence[int | None], passes: int
) -> list[torch.Tensor] | None:
    """The states of all rows from those of each rank: rank r has rows r, r + ranks, r + 2 * ranks, ... of each pass."""
    held = [share for share in shares if share is not None]
    if not held:
        return None
    whole = []
    for axis, parts in zip(axes, zip(*held, strict=True), strict=True):
        if axis is None:
            whole.append(parts[0])
            continue
        # each (rows of the rank, passes, ...)
        moved = [part.movedim(axis, 0) for part in parts]
        rows_first = [part.reshape(passes, -1, *part.shape[1:]).transpose(0, 1) for part in moved]
        together = parts[0].new_empty(sum(map(len, rows_first)), *rows_first[0].shape[1:])
        for rank, rows in enumerate(rows_first):  # ranks without rows come last
            together[rank :: len(shares)] = rows
        whole.append(together.transpose(0, 1).flatten(0, 1).movedim(0, axis).contiguous())
    return whole


class RankEnvironment(LightningEnvironment):
    """Gives Lightning the ranks, which it would otherwise read from environment variables."""

    def __init__(self, ranks: Ranks):
        super().__init__()
        self.ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        """True: all processes run already, and have joined the process group."""
        return True

    def local_rank(self) -> int:
        """Index of this process's device on its node."""
        return self.ranks.local_rank

    def node_rank(self) -> int:
        """Index of this node."""
        return self.ranks.rank // self.ranks.local_size


def build_strategy(ranks: Ranks) -> str | DDPStrategy:
    """Lightning's strategy: one device, or DDP, which averages gradients (Li et al. 2020, arXiv 2006.15704)."""
    if ranks.size == 1:
        return "auto"
    # buffers do not change in training and need not be broadcast
    return DDPStrategy(
        cluster_environment=RankEnvironment(ranks), broadcast_buffers=False, gradient_as_bucket_view=True
    )
