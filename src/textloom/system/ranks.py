"""Communication between the processes that train one model, each on its own device."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """This process among the others. All ranks call the same methods in the same order; a single rank does nothing."""

    rank: int = 0
    """The number of this process; only rank 0 reads the command line and writes the run directory."""
    size: int = 1
    """The number of processes on all nodes."""
    local_rank: int = 0
    """The number of this process on its node, and of the device that it computes on."""
    local_size: int = 1
    """The number of processes on each node."""
    group: Any = None
    """The process group for small messages between CPUs: they never wait for a GPU."""

    def __deepcopy__(self, memo: Any) -> "Ranks":
        """The object itself: a process group cannot be copied, and weight averaging copies the module that holds it."""
        return self

    @property
    def share(self) -> slice:
        """The rows of each batch that this rank computes: every ``size``-th, so that long rows are spread evenly."""
        return slice(self.rank, None, self.size)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum values over all ranks."""
        if self.size > 1:
            values = values.cpu()
            distributed.all_reduce(values, group=self.group)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value, group=self.group)
        return values

    def decide(self, mine: bool) -> bool:
        """The decision of rank 0 for all ranks: clocks differ, and signals reach one process."""
        if self.size > 1:
            decision = torch.tensor([mine], dtype=torch.uint8)
            distributed.broadcast(decision, src=0, group=self.group)
            return bool(decision.item())
        return mine


ALONE = Ranks()
