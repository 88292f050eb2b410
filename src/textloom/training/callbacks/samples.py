"""Texts generated at each validation, written to TensorBoard and ``samples.txt``."""

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from textloom.config import SamplesConfig, TrainConfig
from textloom.evaluation.memorization import Memorization, TrainingText
from textloom.generation.generate import default_prompt, generate_texts, window_of
from textloom.generation.prompts import read_prompt
from textloom.generation.reading import CONTEXT
from textloom.generation.sampling import Sampling
from textloom.models.language_model import LanguageModel
from textloom.runs.run import Run
from textloom.system.progress import stage
from textloom.system.streams import visible
from textloom.tokenizers import Tokenizer
from textloom.training.module import TrainingModule
from textloom.training.preparation import EncodedText

TAG = "samples"
MEMORIZATION_TAG = "samples/memorization"
COMPARED = 2_000_000  # tokens of the training text, which are searched in about a second


@dataclass(frozen=True)
class Sampler:
    """Continues one prompt at each temperature; the same weights give the same texts.

    An empty ``prompt`` begins new documents.
    """

    config: SamplesConfig
    tokenizer: Tokenizer
    prompt: str
    window: int | None
    file: Path

    def write(self, model: LanguageModel, label: str) -> dict[float, str]:
        """Append a text for each temperature to the file, and return them."""
        # a seed of its own: the random numbers of the training stay as they are
        temperatures = self.config.temperatures
        samplings = [Sampling(temperature) for temperature in temperatures]
        with stage("writing samples", self.config.length, "tokens"):
            written = generate_texts(
                model, self.tokenizer, self.prompt or None, self.config.length, samplings, self.window, seed=0
            )
        texts = dict(zip(temperatures, written, strict=True))
        with self.file.open("a", encoding="utf-8", errors="replace", newline="") as file:
            for temperature, text in texts.items():
                # the length says where the text ends, whatever it contains
                file.write(f"--- {label}, {len(text)} characters, temperature {temperature} ---\n{text}\n\n")
        return texts

    def show(self, logger: TensorBoardLogger, texts: dict[float, str], step: int) -> None:
        """Write the texts to TensorBoard's text tab."""
        shown = "\n\n".join(f"**temperature {t}**\n\n{_preformatted(text)}" for t, text in texts.items())
        logger.experiment.add_text(TAG, shown, step)

    def memorization(self, texts: dict[float, str], training: np.ndarray) -> dict[float, Memorization]:
        """The memorization of each text by temperature, compared with the beginning of the training text."""
        source = TrainingText(training[:COMPARED], self.tokenizer)
        prompt = self.tokenizer.encode(self.prompt).tolist()[-CONTEXT:]
        written = {temperature: text.removeprefix(self.prompt) for temperature, text in texts.items()}
        return {
            temperature: source.compare(self.tokenizer.encode(text).tolist(), prompt)
            for temperature, text in written.items()
        }

    def show_memorization(self, logger: TensorBoardLogger, found: dict[float, Memorization], step: int) -> None:
        """Write to TensorBoard how much of each text is copied."""
        titles = "temperature | longest copy, tokens | copied | new n-grams | distinct n-grams | n | n-gram perplexity"
        rows = [f"| {titles} |", "|---|---|---|---|---|---|---|"]
        for temperature, one in found.items():
            shares = ["" if share is None else f"{share:.1%}" for share in (one.new_ngrams, one.distinct)]
            perplexity = "" if one.ngram_perplexity is None else f"{one.ngram_perplexity:.3g}"
            copied = f"`{visible(one.copied)!r}`".replace("|", "\\|")
            cells = [str(temperature), str(one.longest_copy), copied, *shares, str(one.n), perplexity]
            rows.append(f"| {' | '.join(cells)} |")
        logger.experiment.add_text(MEMORIZATION_TAG, "\n".join(rows), step)


def build_sampler(config: TrainConfig, text: EncodedText, run: Run) -> Sampler:
    """The writer of the run's samples; without a prompt of the user they continue the first words of the text."""
    given = config.samples.prompt
    prompt = default_prompt(text.tokenizer, text.splits["train"].tokens) if given is None else given
    prompt = read_prompt(prompt, text.tokenizer, config.data.normalization, "samples.prompt" if given else None)
    return Sampler(config.samples, text.tokenizer, prompt, window_of(config.batching), run.samples_file)


class SampleCallback(pl.Callback):
    """Writes samples after each validation."""

    def __init__(self, sampler: Sampler):
        self.sampler = sampler

    def state_dict(self) -> dict[str, Any]:
        """The size of the file at this step."""
        return {"bytes": self.sampler.file.stat().st_size if self.sampler.file.exists() else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Truncate the file to its size at the checkpoint; later texts will be written again."""
        if self.sampler.file.exists():
            os.truncate(self.sampler.file, min(state_dict["bytes"], self.sampler.file.stat().st_size))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the texts to the file and to TensorBoard."""
        assert isinstance(pl_module, TrainingModule)
        texts = self.sampler.write(pl_module.model, f"step {trainer.global_step}")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self.sampler.show(logger, texts, trainer.global_step)


def _preformatted(text: str) -> str:
    """HTML that TensorBoard's Markdown does not change.

    Tabs and lines of spaces are written as entities, because Markdown would change them.
    """
    lines = [line if line.strip(" ") else "&#32;" * len(line) for line in escape(visible(text)).split("\n")]
    content = "\n".join(lines).replace("\t", "&#9;")
    return f"<pre><code>{content}</code></pre>"
