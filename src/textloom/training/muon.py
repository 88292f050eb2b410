"""torch's Muon and AdamW as one optimizer, so that a training has one state and one schedule."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer
from torch.optim.optimizer import ParamsT

LIKE_ADAMW = "match_rms_adamw"  # Liu et al. 2025, arXiv 2502.16982: steps as large as AdamW's, for one learning rate


class MuonWithAdamW(Optimizer):
    """Muon for the groups with ``hidden=True``, AdamW for the others.

    Groups and state are those of this optimizer; the two inner ones are given their share of them before each step.
    """

    def __init__(self, params: ParamsT, lr: float, momentum: float, betas: tuple[float, float], fused: bool):
        groups: list[dict[str, Any]] = [dict(group) for group in params]  # type: ignore[arg-type]
        self._inner: dict[bool, Optimizer] = {}
        hidden = [group for group in groups if group["hidden"]]
        others = [group for group in groups if not group["hidden"]]
        if hidden:
            self._inner[True] = torch.optim.Muon(hidden, lr=lr, momentum=momentum, adjust_lr_fn=LIKE_ADAMW)
        if others:
            self._inner[False] = AdamW(others, lr=lr, betas=betas, fused=fused)
        super().__init__([group for inner in self._inner.values() for group in inner.param_groups], {"lr": lr})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step both optimizers."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for hidden, inner in self._inner.items():
            inner.state = self.state  # keyed by parameter: neither sees the other's
            inner.param_groups = [group for group in self.param_groups if group["hidden"] == hidden]
            inner.step()
        return loss
