"""Starting a training from trained weights: fine-tuning on another text, with the tokenizer of the first run."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from textloom.config import TrainConfig
from textloom.config.checking import check
from textloom.config.keys import kind_of
from textloom.errors import ConfigError, RunError
from textloom.generation.generate import window_of
from textloom.models.language_model import LanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.runs.signature import model_signature
from textloom.system.files import read_json, written_whole
from textloom.tokenizers import save_tokenizer
from textloom.training.resume import changes_in_overrides

log = logging.getLogger(__name__)

MAY_DIFFER = frozenset(
    ["input_dropout", "layer_dropout", "output_dropout", "locked_dropout", "embedding_dropout", "weight_dropout"]
)
"""Keys of ``model`` that change neither the shapes nor the meaning of the weights."""
FACTS = "start"


def start_from(config: TrainConfig, run: Run, overrides: Sequence[str]) -> TrainConfig:
    """The config of a new run with the model and the tokenizer of the run that ``config.start`` names.

    The weights and the tokenizer are copied into the new run, which does not need the first one any more. Of the keys
    of ``model`` only the dropouts can be changed. Raises ConfigError, naming both values, if an override asks
    for another model or tokenizer, RunError if there is no such run.
    """
    if config.start is None or run.start_file.exists():
        return config
    first = find_run(config.start, Path("outputs"), key="start")
    trained, tokenizer, model = load_model(first, "best")
    if trained.model.is_ngram or config.model.is_ngram:
        raise ConfigError(f"start={config.start}: n-grams are counted, and have no weights to start from; leave it out")
    values = trained.model_dump(mode="json")
    model_keys = values["model"]
    for change in changes_in_overrides(overrides):
        group, _, key = change.key.partition(".")
        if group not in ("model", "tokenizer"):
            continue
        before = values[group].get(key) if key else kind_of(values[group])
        if group == "model" and key in MAY_DIFFER:
            model_keys[key] = change.value
        elif before != change.value:
            raise ConfigError(
                f"{change.shown}: the weights of {first.directory} are for {group}{'.' if key else '='}"
                f"{f'{key}={before}' if key else before}; leave it out, or train without start"
            )
    taken = {"model": model_keys, "tokenizer": values["tokenizer"], "start": str(first.directory.absolute())}
    started = check({**config.model_dump(mode="json"), **taken}, TrainConfig)
    save_tokenizer(tokenizer, run.tokenizer_file)
    _copy(model, run, _facts(first, trained, model_signature(model, tokenizer, window_of(trained.batching))))
    log.info("start: model, weights and tokenizer are those of %s", first.directory)
    return started


def _facts(first: Run, trained: TrainConfig, signature: str) -> dict[str, Any]:
    """Facts about the first run, for the provenance of the new one."""
    made = first.exported()["provenance"] if first.is_export else read_json(first.provenance_file)
    return {
        "run": str(first.directory.absolute()),
        "name": trained.name,
        "signature": signature,
        "data_fingerprint": made["data_fingerprint"],
    }


def _copy(model: LanguageModel, run: Run, facts: dict[str, Any]) -> None:
    weights = {name: weight.contiguous() for name, weight in model.weights().items()}
    with written_whole(run.start_file) as file:
        file.write(save(weights, {FACTS: json.dumps(facts)}))


def start_facts(run: Run) -> dict[str, Any]:
    """The recorded facts about the run that this one started from; empty if there is none."""
    if not run.start_file.exists():
        return {}
    with safe_open(run.start_file, "pt") as file:
        return {FACTS: json.loads(file.metadata()[FACTS])}


def load_start(model: LanguageModel, run: Run) -> None:
    """Replace the weights of a new model by those that the run starts from.

    Raises RunError if the copy of them is missing, damaged or of other shapes.
    """
    try:
        with safe_open(run.start_file, "pt") as file:
            model.load_weights({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise RunError(
            f"{run.start_file}: missing, damaged, or weights of another model; train the run again"
        ) from error
