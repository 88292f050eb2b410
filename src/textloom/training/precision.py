"""The number format of training: the fastest on this machine, measured if it is not known.

On CPUs with bf16 instructions oneDNN has a fused bf16 LSTM; GRU and RNN are made of single operations, and gain or lose
speed with their size. Forward and backward pass against float32, on one core of an AMD EPYC with avx512_bf16:

    units         16    32    64   128   256   512
    LSTM        1.00  1.08  1.63  1.67  1.82  1.64    32 rows of 64 tokens
    GRU         0.66  0.69  0.90  1.26  1.69  2.33
    RNN         0.50  0.51  0.79  1.07  1.60  2.22
    RNN         0.76  1.16  1.53  2.10  2.76          256 rows of 50 tokens

The softmax of a large vocabulary takes most of a step and gains more than the cell. Other processors lose where this
one gains, and oneDNN can be configured not to use the instructions, so ``auto`` measures the cell and the softmax at
their sizes.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from textloom.config import ModelConfig, TrainConfig, WindowsConfig
from textloom.config.paths import cache_directory
from textloom.errors import ConfigError, RunError
from textloom.models.cells import Cell, build_cell
from textloom.system.files import read_json, write_json

MINIMUM_GAIN = 1.2  # bf16 has to be this many times as fast as float32, which is more precise
TURNS = 4
SECONDS = 1.0  # of CPU time, after which no further turn is begun
LARGEST_UNITS, LARGEST_LAYERS, LARGEST_ROWS, LARGEST_STEPS = 1024, 2, 256, 32  # limits of the measurement
LARGEST_VOCABULARY = 4096
SMALL_BATCH = 512  # tokens; of so few rows more than LARGEST_STEPS are measured, up to this size
ROWS = 32  # of the measurement if trainer.batch_size=auto
DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def choose_precision(config: TrainConfig, device: torch.device, vocabulary_size: int) -> tuple[str, str]:
    """Lightning's name for the number format of training, and the reason; ``model.units`` must be a number.

    Raises ConfigError if the device cannot compute what is configured.
    """
    if config.trainer.precision != "auto":
        check_precision(config, device)
        return config.trainer.precision, "as configured"
    if config.model.is_ngram:
        return "32-true", "n-grams are counted"
    if device.type == "cuda":
        return _on_gpu(config.model)
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return _on_cpu(Shape.of(config, config.model, vocabulary_size))
    return "32-true", "no bf16 in this hardware"


def check_precision(config: TrainConfig, device: torch.device) -> None:
    """Raises ConfigError if the device cannot compute ``trainer.precision``: a small step is tried."""
    precision = config.trainer.precision
    if precision == "16-mixed" and device.type == "cpu":
        raise ConfigError("trainer.precision=16-mixed: a CPU does not train in it; set trainer.precision=auto")
    if not config.model.is_ngram and precision in DTYPES:
        try:
            _try_step(config.model, device, DTYPES[precision])
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0].partition(". ")[0]
            raise ConfigError(
                f"trainer.precision={precision}: this machine cannot compute {config.model.kind} layers in it "
                f"({reason}); set trainer.precision=auto"
            ) from error


def _try_step(model: ModelConfig, device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """The number format of the hidden states under autocast. Raises RuntimeError if the cell cannot compute in it."""
    shape = Shape(_small(model, 16, 1), rows=2, steps=2, targets=2, vocabulary=2, inputs=16)
    hidden = _hidden(_cell(shape).to(device), shape, dtype)
    hidden.float().mean().backward()  # type: ignore[no-untyped-call]
    return hidden.dtype


def _on_gpu(model: ModelConfig) -> tuple[str, str]:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return "32-true", "no bf16 in this hardware"
    try:
        layers = _try_step(model, torch.device("cuda"), torch.bfloat16)
    except RuntimeError:
        return "32-true", f"bf16 {model.kind} layers cannot be computed here"
    # on a GPU autocast to any type casts the inputs of torch's LSTM, GRU and RNN to float16
    other = f"; torch computes {model.kind} layers in float16 there" if layers == torch.float16 else ""
    return "bf16-mixed", f"the GPU multiplies bf16{other}"


@dataclass(frozen=True)
class Shape:
    """The measured computation: layers of a cell and the product of the softmax, on a batch."""

    model: ModelConfig
    rows: int
    steps: int
    targets: int
    """Of each row: the last steps."""
    vocabulary: int
    inputs: int
    """Length of the vectors that the first layer reads."""

    @classmethod
    def of(cls, config: TrainConfig, model: ModelConfig, vocabulary_size: int) -> "Shape":
        """The shape of the run, within limits that keep the measurement short."""
        assert isinstance(model.units, int)
        batching = config.batching
        one_target = isinstance(batching, WindowsConfig) and batching.targets == "last"
        rows = config.trainer.batch_size if isinstance(config.trainer.batch_size, int) else ROWS
        steps = batching.context if isinstance(batching, WindowsConfig) else batching.steps
        steps = min(steps, max(LARGEST_STEPS, SMALL_BATCH // rows))
        return cls(
            _small(model, min(model.units, LARGEST_UNITS), min(model.layers, LARGEST_LAYERS)),
            rows=min(rows, LARGEST_ROWS),
            steps=steps,
            targets=1 if one_target else steps,
            vocabulary=min([vocabulary_size, LARGEST_VOCABULARY, *(model.softmax_cutoffs or [])]),
            inputs=min(model.embedding_dim or vocabulary_size, LARGEST_UNITS),
        )

    def facts(self) -> dict[str, Any]:
        """The inputs of the measurement: the sizes, and the keys that only this cell has."""
        model = self.model.model_dump(mode="json")
        own = {key: value for key, value in model.items() if key not in ModelConfig.model_fields}
        sizes = {name: getattr(self, name) for name in ("rows", "steps", "targets", "vocabulary", "inputs")}
        return {"cell": self.model.kind, "units": self.model.units, "layers": self.model.layers, **sizes, **own}


def _on_cpu(shape: Shape) -> tuple[str, str]:
    try:
        gain = _known_gain(shape)
    except RuntimeError:
        return "32-true", f"bf16 {shape.model.kind} layers cannot be computed here"
    precision = "bf16-mixed" if gain >= MINIMUM_GAIN else "32-true"
    sizes = f"{shape.model.units} units, a vocabulary of {shape.vocabulary:,}, {shape.rows} rows"
    measured = f"measured on {sizes}, threads: {torch.get_num_threads()}"
    limit = f"; used from {MINIMUM_GAIN} times on" if 1 <= gain < MINIMUM_GAIN else ""
    return precision, f"bf16 is {gain:.2f} times as fast as float32 for {shape.model.kind} here, {measured}{limit}"


def _known_gain(shape: Shape) -> float:
    """The speed of bf16 relative to float32, measured once on a machine, so that a command always chooses the same."""
    machine = [_cpu_capabilities(), torch.__version__, torch.get_num_threads()]
    limits = [os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
    key = hashlib.sha256(json.dumps([machine, limits, shape.facts()], default=str).encode()).hexdigest()[:32]
    file = cache_directory() / "precision" / f"{key}.json"
    with suppress(RunError, KeyError):  # not measured yet, or a damaged file
        return float(read_json(file)["gain"])
    gain = measured_gain(shape)
    with suppress(RunError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"gain": gain, **shape.facts()})
    return gain


def measured_gain(shape: Shape) -> float:
    """Speed of a forward and backward pass in bf16, relative to float32: the best of several turns in each.

    Measures the CPU time of this thread, which other processes hardly disturb, and uses no random numbers.
    """
    cell, softmax = _cell(shape), _softmax(shape)
    best = {None: float("inf"), torch.bfloat16: float("inf")}
    for dtype in best:
        _seconds(cell, softmax, shape, dtype)  # the first one builds kernels and starts threads
    began = time.thread_time()
    for turn in range(TURNS):
        if turn and time.thread_time() - began > SECONDS:
            break
        for dtype in best:
            best[dtype] = min(best[dtype], _seconds(cell, softmax, shape, dtype))
    return best[None] / best[torch.bfloat16]


def _small(model: ModelConfig, units: int, layers: int) -> ModelConfig:
    """The cell with so many layers, without dropout."""
    return model.model_copy(update={"units": units, "layers": layers, "layer_dropout": 0.0})


def _cell(shape: Shape) -> Cell:
    with torch.random.fork_rng(devices=[]):
        return build_cell(shape.model, shape.inputs)


def _softmax(shape: Shape) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(shape.model.output_units, shape.vocabulary)


def _seconds(cell: Cell, softmax: nn.Linear, shape: Shape, dtype: torch.dtype | None) -> float:
    with torch.random.fork_rng(devices=[]):  # a cell may draw masks for its weights
        began = time.thread_time()
        hidden = _hidden(cell, shape, dtype)[:, -shape.targets :]
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = softmax(hidden)
        logits.mean(dtype=torch.float32).backward()
        return time.thread_time() - began


def _hidden(cell: Cell, shape: Shape, dtype: torch.dtype | None) -> torch.Tensor:
    """(rows, steps, units) of inputs of ones, (rows, steps, inputs)."""
    state = cell.initial_state(shape.rows)
    inputs = torch.ones(shape.rows, shape.steps, shape.inputs, device=state[0].device)
    with torch.autocast(inputs.device.type, dtype, enabled=dtype is not None):
        hidden: torch.Tensor = cell(inputs, state)[0]
    return hidden


def _cpu_multiplies_bf16() -> bool:
    """True if the processor is known to have bf16 instructions."""
    capabilities = _cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _cpu_capabilities() -> dict[str, Any]:
    """The instructions of the processor; empty for versions of torch that cannot tell."""
    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
