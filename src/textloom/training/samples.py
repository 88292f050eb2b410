"""Texts generated at each validation, into TensorBoard and ``samples.txt``."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from textloom.config import SamplesConfig
from textloom.generation.generate import generate
from textloom.generation.sampling import Sampling
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers import Tokenizer

TAG = "samples"


class SampleWriter(pl.Callback):
    """Goes on from the prompt at each temperature, with random numbers of its own: training's are not disturbed."""

    def __init__(self, config: SamplesConfig, tokenizer: Tokenizer, prompt: str, window: int | None, file: Path):
        self.config = config
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.window = window
        self.file = file

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one text for each temperature."""
        texts = write_samples(pl_module.model, self.tokenizer, self.prompt, self.config, self.window)
        with self.file.open("a", encoding="utf-8") as file:
            for temperature, text in texts.items():
                file.write(f"--- step {trainer.global_step}, temperature {temperature} ---\n{text}\n\n")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                shown = "\n\n".join(f"**temperature {t}**\n\n{_as_code(text)}" for t, text in texts.items())
                logger.experiment.add_text(TAG, shown, trainer.global_step)


def write_samples(
    model: RecurrentLanguageModel, tokenizer: Tokenizer, prompt: str, config: SamplesConfig, window: int | None
) -> dict[float, str]:
    """A text for each temperature; the same weights give the same texts."""
    return {
        temperature: generate(model, tokenizer, prompt, config.length, Sampling(temperature), window, seed=0)
        for temperature in config.temperatures
    }


def _as_code(text: str) -> str:
    """Indented, so that TensorBoard's markdown shows it letter for letter."""
    return "\n".join(f"    {line}" for line in text.splitlines())
