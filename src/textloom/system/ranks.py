"""The processes that train one model together, each on a device of its own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """This process among them. Every rank calls each of the methods, at the same place; alone they cost nothing."""

    rank: int = 0
    """Its number; 0 alone reads the command line and writes the run directory."""
    size: int = 1
    """How many there are, on all nodes."""
    local_rank: int = 0
    """Its number among those of its node: which of the node's devices it computes on."""
    local_size: int = 1
    """How many there are on each node."""
    talk: Any = None
    """The process group for small messages between CPUs: they never wait for a GPU."""

    def __deepcopy__(self, memo: Any) -> "Ranks":
        """Itself: a process group has no copy, and averaged weights are kept in a copy of the module."""
        return self

    @property
    def share(self) -> slice:
        """Which rows of each batch are this rank's: every ``size``-th, so that long and short ones are dealt evenly."""
        return slice(self.rank, None, self.size)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sums over all ranks."""
        if self.size > 1:
            values = values.cpu()
            distributed.all_reduce(values, group=self.talk)
        return values

    def gather(self, value: Any) -> list[Any]:
        """What each rank has, in the order of the ranks."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value, group=self.talk)
        return values

    def decided(self, wish: bool) -> bool:
        """What rank 0 wishes: clocks differ, and signals reach one process."""
        if self.size > 1:
            decision = torch.tensor([wish], dtype=torch.uint8)
            distributed.broadcast(decision, src=0, group=self.talk)
            return bool(decision.item())
        return wish


ALONE = Ranks()
