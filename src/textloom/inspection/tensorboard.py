"""An inspection in TensorBoard: curves, histograms of gates, and the embeddings in its projector, with labels.

They go to a folder of their own, which TensorBoard shows as a run beside the others. Its projector reads the files of
all runs at each request and fails for all if it cannot read those of one, so a folder is written once. Labels are one a
line: line ends and tabs in them are replaced by signs.
"""

from pathlib import Path

import numpy as np
import torch

from textloom.errors import RunError
from textloom.inspection.embeddings import frequent_tokens
from textloom.inspection.measure import Inspection
from textloom.inspection.page import in_line
from textloom.inspection.surprise import loss_by_document_position
from textloom.system.heavy_imports import without_tensorflow
from textloom.tokenizers import Tokenizer

with without_tensorflow():
    from torch.utils.tensorboard import SummaryWriter

MOST_POINTS = 10_000
"""Embeddings in the projector, those of the most frequent tokens: it draws so many smoothly."""


def write_events(
    folder: Path, found: Inspection, tokenizer: Tokenizer, embeddings: torch.Tensor | None, counts: np.ndarray
) -> None:
    """Write an event file and, for embeddings (vocabulary, embedding_dim), the files of the projector.

    ``counts`` (vocabulary,) says which tokens are frequent. The step of a curve is a position or a distance.
    """
    with SummaryWriter(str(folder)) as writer:
        means = loss_by_document_position(found.nats, found.text.positions)
        for last, mean in zip(means.last.tolist(), means.mean.tolist(), strict=True):
            writer.add_scalar("inspection/loss_by_position", mean, last)
        if found.gradient is not None:
            for distance, norm in enumerate(found.gradient.tolist(), start=1):
                writer.add_scalar("inspection/gradient_norm", norm, distance)
        for use in found.gates:
            for layer, mean in enumerate(use.mean, start=1):
                writer.add_histogram(f"inspection/{use.gate}_gate/layer_{layer}", mean.numpy(), 0)
        if found.tracked:
            writer.add_text("inspection/tracked", tracked_table(found), 0)
        tokens = [] if embeddings is None else frequent_tokens(tokenizer, counts, MOST_POINTS)
        if embeddings is not None and tokens:
            labels = [[in_line(tokenizer.token_text(token)), str(token), str(counts[token])] for token in tokens]
            writer.add_embedding(embeddings[tokens], labels, tag="embeddings", metadata_header=["token", "id", "count"])


def tracked_table(found: Inspection) -> str:
    """The best unit for each feature, in Markdown."""
    rows = [
        f"| {one.feature} | {found.unit_names[one.units[0][0]]} | {one.units[0][1]:+.3f} | {one.chance:.3f} |"
        for one in found.tracked
        if one.units
    ]
    return "\n".join(["| feature | unit | correlation | by chance |", "|---|---|---|---|", *rows])


def require_empty(folder: Path) -> None:
    """Raises RunError if the folder cannot be written to, or if there is something in it."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"tensorboard={folder}: is a file; give a folder that is empty, or that does not exist yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"tensorboard={folder}: the folder is not empty; give one that is, or that does not exist yet")
