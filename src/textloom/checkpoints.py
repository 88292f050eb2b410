"""From a run directory back to its model. Checkpoints hold plain types, so that loading one never runs code."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from textloom.config import TrainConfig
from textloom.errors import RunError
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs import CheckpointName, Run
from textloom.tokenizers import Tokenizer, load_tokenizer

MODEL_PREFIX = "model."  # what the LightningModule calls the model inside a checkpoint


def load_model(run: Run, checkpoint: CheckpointName) -> tuple[TrainConfig, Tokenizer, RecurrentLanguageModel]:
    """What the run trained, on the CPU, in evaluation mode. Raises RunError where a file is missing or damaged."""
    config = run.config()
    tokenizer = load_tokenizer(run.tokenizer_file)
    model = RecurrentLanguageModel(config.model, tokenizer.vocabulary_size)
    path = run.checkpoint_file(checkpoint)
    weights = read_checkpoint(path).get("state_dict", {})
    try:
        model.load_state_dict({name.removeprefix(MODEL_PREFIX): weight for name, weight in weights.items()})
    except (RuntimeError, AttributeError) as error:
        raise RunError(f"{path}: its weights do not fit the run's config.yaml and tokenizer.json") from error
    return config, tokenizer, model.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file. Raises RunError where it is missing, damaged or not ours.

    A checkpoint is a zip archive: the CRC-32 of every record is compared first, then plain types alone are read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such checkpoint; train the run, or set checkpoint=last") from error
    except Exception as error:  # zip, pickle and torch each have their own errors for damage
        raise RunError(
            f"{path}: damaged, or not a checkpoint of textloom; set checkpoint=last or checkpoint=best, "
            "or train the run again"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise RunError(f"{path}: not a checkpoint of textloom; give a run directory that textloom wrote")
    return content
