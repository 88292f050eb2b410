"""Hardware efficiency of a training: model FLOP/s, their share of the matrix-product peak, peak memory."""

import functools
import time
from dataclasses import dataclass

import numpy as np
import torch

from textloom.config import ModelConfig
from textloom.models.adaptive_softmax import multiplications
from textloom.models.size import recurrent_multiplications
from textloom.system.memory import peak_resident_bytes

SECONDS_TO_MEASURE = 0.1
SIDE = {"cuda": 8192}  # of the matrices whose product measures the peak
SIDE_ELSEWHERE = 1024


def flops_per_target(
    config: ModelConfig, vocabulary_size: int, steps_per_target: float, targets: np.ndarray | None = None
) -> float:
    """Floating-point operations that the model needs to train on one target.

        6 * (steps_per_target * weights of the recurrence  +  units * vocabulary)

    where those of an LSTM, for example, are 4 * units * (inputs + units) in each layer.

    A multiplication and an addition for each weight that a token meets in a matrix product, and twice as many in the
    backward pass, as Kaplan et al. (2020, arXiv 2001.08361, section 2.1) count; look-ups, the one-hot input's too, and
    element-wise operations count nothing, nor does what an implementation recomputes or pads (model FLOPs: Chowdhery
    et al. 2022, arXiv 2204.02311, appendix B). The clusters of an adaptive softmax count by
    the share of ``targets`` in them, (tokens,) ids of a sample; a dense softmax needs no ``targets``.
    """
    recurrence = recurrent_multiplications(config)
    softmax, *clusters = map(float, multiplications(config.softmax_units, vocabulary_size, config.softmax_cutoffs))
    if config.softmax_cutoffs is not None:
        assert targets is not None
        reached = np.histogram(targets, [*config.softmax_cutoffs, vocabulary_size])[0] / len(targets)
        softmax += float(reached @ clusters)
    return 6.0 * (steps_per_target * recurrence + softmax)


@dataclass(frozen=True)
class Efficiency:
    """Computes efficiency figures from targets per second."""

    flops_per_target: float
    device: torch.device
    precision: str
    devices: int
    """Ranks that train together."""

    def figures(self, targets_per_second: float) -> dict[str, float]:
        """The figures under their names in TensorBoard and results.json; memory is that of rank 0."""
        speed = targets_per_second * self.flops_per_target
        peak = self.devices * peak_flops_per_second(self.device.type, self.precision, torch.get_num_threads())
        return {
            "train/targets_per_second": targets_per_second,
            "train/model_flops_per_second": speed,
            "train/flop_utilisation": speed / peak,
            "train/peak_memory_bytes": float(peak_memory(self.device)),
        }


@functools.cache
def peak_flops_per_second(device: str, precision: str, threads: int) -> float:
    """FLOP/s of a large matrix product in the number format of the training: the best of several, measured once."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision, torch.float32)
    side = SIDE.get(device, SIDE_ELSEWHERE)
    left = torch.linspace(-1, 1, side * side, device=device).reshape(side, side).to(dtype)  # uses no random numbers
    right = left.t().contiguous()
    took: list[float] = []
    deadline = time.perf_counter() + SECONDS_TO_MEASURE
    with torch.no_grad():
        torch.mm(left, right)  # warm-up
        while not took or time.perf_counter() < deadline:
            _wait(device)
            began = time.perf_counter()
            torch.mm(left, right)
            _wait(device)
            took.append(time.perf_counter() - began)
    return float(2 * side**3 / min(took))


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of tensors on a GPU, or the resident memory of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
