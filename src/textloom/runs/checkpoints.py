"""Loading the model of a run directory. Checkpoints hold plain types, so that loading one never runs code."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from textloom.config import TrainConfig
from textloom.errors import RunError
from textloom.models.language_model import LanguageModel
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.ngram.language_model import NgramLanguageModel
from textloom.runs.run import CheckpointName, Run
from textloom.system.files import file_checksum
from textloom.tokenizers import Tokenizer, load_tokenizer

MODEL_PREFIX = "model."  # of the names in a checkpoint: the model is an attribute of the LightningModule


def load_model(run: Run, checkpoint: CheckpointName) -> tuple[TrainConfig, Tokenizer, LanguageModel]:
    """The config, the tokenizer and the model of a run or an export; the model on the CPU, in evaluation mode.

    An export has one set of weights, whatever the checkpoint. Raises RunError if a file is missing or damaged.
    """
    config = run.config()
    if run.is_export:
        _check_export(run)
    tokenizer = load_tokenizer(run.tokenizer_file)
    model = _new_model(config, tokenizer)
    path = run.weights_file if run.is_export else run.checkpoint_file(checkpoint)
    weights = load_file(path) if run.is_export else read_checkpoint(path)["state_dict"]
    try:
        model.load_weights({name.removeprefix(MODEL_PREFIX): weight for name, weight in weights.items()})
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise RunError(
            f"{path}: its weights do not fit the run's config and tokenizer.json; restore them, or train the run again"
        ) from error
    return config, tokenizer, model.eval()


def _new_model(config: TrainConfig, tokenizer: Tokenizer) -> LanguageModel:
    if config.model.is_ngram:
        return NgramLanguageModel.empty(tokenizer.vocabulary_size, tokenizer.end_id)
    return RecurrentLanguageModel(config.model, tokenizer.vocabulary_size)


def _check_export(run: Run) -> None:
    exported = run.exported()
    for path, key in ((run.weights_file, "weights_sha256"), (run.tokenizer_file, "tokenizer_sha256")):
        try:
            whole = file_checksum(path) == exported.get(key)
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise RunError(f"{path}: {problem}; restore it, or export the run again") from error
        if not whole:
            raise RunError(f"{path}: damaged: not what was exported; restore it, or export the run again")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file. Raises RunError if it is missing, damaged or of another program.

    A checkpoint is a zip archive: the CRC-32 of every record is verified first, then only plain types are read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such checkpoint; train the run, or set checkpoint=last") from error
    except Exception as error:  # zip, pickle and torch raise errors of their own for damaged files
        raise RunError(
            f"{path}: damaged, or not a checkpoint of textloom; set checkpoint=last or checkpoint=best, "
            "or train the run again"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise RunError(f"{path}: not a checkpoint of textloom; give a run directory that textloom wrote")
    return content
