"""A trained model as an ONNX graph of one step: token and state in, logits and state out."""

import importlib
import io
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from textloom.errors import RunError, TextloomError
from textloom.export.folder import load_network, make_directory
from textloom.models.language_model import LanguageModel
from textloom.models.state import State, batch_dimensions
from textloom.runs.run import CheckpointName, Run
from textloom.system.files import write_bytes

OPSET = 17
CHECKED_BATCH = 3  # differs from the batch of the trace, so that a graph with a fixed batch size fails


def export_onnx(run: Run, path: Path, checkpoint: CheckpointName = "best") -> None:
    """Write the graph to the new file ``path``, once onnxruntime gives the same results as torch.

    Inputs are ``token`` (batch,) int64, ``hidden`` (layers, batch, units) and, for the LSTM, ``cell``; outputs are
    ``logits`` (batch, vocabulary), ``next_hidden`` and ``next_cell``. Zeros are the state to begin with, the
    tokenizer's end_id the token. Other cells have the parts of their own state. The vocabulary is written beside it, as
    ``NAME.tokenizer.json``.

    Raises TextloomError if onnx is not installed, RunError if the run is damaged, one of the files exists already, or
    the cell has operations that ONNX does not.
    """
    vocabulary = path.with_suffix(".tokenizer.json")
    for file in (path, vocabulary):
        if file.exists():
            raise RunError(f"{file}: exists already; give another name as to=, or remove it")
    runtime = _installed()
    config, _, model = load_network(run, checkpoint)
    if not config.model.is_ngram and config.model.learned_initial_state:
        raise RunError(f"{path}: a graph begins with zeros, not with a learned_initial_state; leave out format=onnx")
    step = SingleStep(model).eval()
    try:
        graph = _graph(step)
    except Exception as error:  # torch's exporter raises many types
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"{path}: the model cannot be written as ONNX ({reason}); leave out format=onnx") from error
    if not _agrees(graph, step, runtime):
        raise RunError(f"{path}: onnxruntime computes other logits than torch; use another version of torch or onnx")
    make_directory(path.parent)
    write_bytes(path, graph)
    write_bytes(vocabulary, run.tokenizer_file.read_bytes())


class SingleStep(nn.Module):
    """The model on one token for each row of the batch."""

    def __init__(self, model: LanguageModel):
        super().__init__()
        self.model = model

    def forward(self, token: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(batch,) and the parts of the state -> logits, (batch, vocabulary), and the parts of the next state."""
        hidden, after = self.model(token[:, None], state)
        return (self.model.logits(hidden[:, -1]), *after)


def _installed() -> ModuleType:
    try:
        importlib.import_module("onnx")  # torch's exporter imports it late, and fails in many lines
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise TextloomError(f"{error.name}: not installed; install it with: pip install 'textloom[onnx]'") from error


def _graph(step: SingleStep) -> bytes:
    state, before = step.model.initial_state(2), step.model.state_names
    after = [f"next_{name}" for name in before]
    axes = [{} if axis is None else {axis: "batch"} for axis in batch_dimensions(step.model.initial_state)]
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # the TorchScript exporter needs onnx alone, and gives nn.LSTM one node; it warns of its age, and of shapes
        # that do not change here: time is always 1, and the batch is checked afterwards
        warnings.simplefilter("ignore")
        torch.onnx.export(
            step,
            (torch.zeros(2, dtype=torch.long), *state),
            content,  # type: ignore[arg-type]  # the TorchScript exporter takes open files too
            input_names=["token", *before],
            output_names=["logits", *after],
            dynamic_axes={
                "token": {0: "batch"},
                "logits": {0: "batch"},
                **dict(zip([*before, *after], 2 * axes, strict=True)),
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return content.getvalue()


@torch.no_grad()
def _agrees(graph: bytes, step: SingleStep, runtime: ModuleType) -> bool:
    """True if a step from a random state gives the same results. The caller's random numbers are not changed."""
    generator = torch.Generator().manual_seed(0)
    token = torch.randint(step.model.vocabulary_size, (CHECKED_BATCH,), generator=generator)
    state: State = tuple(
        torch.rand(part.shape, generator=generator).to(part.dtype) for part in step.model.initial_state(CHECKED_BATCH)
    )
    session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = ("token", *step.model.state_names)
    found = session.run(None, {name: part.numpy() for name, part in zip(names, (token, *state), strict=True)})
    expected = step(token, *state)
    return all(np.allclose(a, b.numpy(), rtol=1e-3, atol=1e-4) for a, b in zip(found, expected, strict=True))
