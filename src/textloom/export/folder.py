"""Exporting a run as a folder to pass on: weights, tokenizer, evaluation splits, results and model card."""

import re
import shutil
from pathlib import Path, PurePath
from typing import Any

from safetensors.torch import save

from textloom.config import TrainConfig
from textloom.config.keys import keys_of
from textloom.config.section import Mark
from textloom.data.encoding import Splits, load_splits
from textloom.errors import RunError
from textloom.evaluation.evaluate import EVALUATED, evaluate_run
from textloom.generation.generate import default_prompt
from textloom.models.language_model import LanguageModel
from textloom.models.recurrent import parameter_count
from textloom.reproductions.article import LEAKY
from textloom.runs.checkpoints import load_model
from textloom.runs.run import EXPORT_FORMAT, CheckpointName, Run
from textloom.system.files import file_checksum, read_json, write_json, write_text, written_whole
from textloom.tokenizers import Tokenizer

LICENCES = {
    "patents": "Patent abstracts: PatentsView (www.patentsview.org, now USPTO Open Data Portal), CC BY 4.0.",
    "toy": "The toy text comes with textloom: MIT.",
}
ON_HUB = ("hub", "pretrained")
"""Kinds of data and of tokenizers whose path may be an id on the Hugging Face Hub."""
UNKNOWN_LICENCE = "The licence of the training text is not known to textloom; state it here."


def export_run(run: Run, directory: Path, checkpoint: CheckpointName = "best") -> None:
    """Write all that is needed to evaluate and generate to a new or empty directory, ``config.json`` last.

    Raises RunError if the run is damaged, or if the directory is not empty or cannot be written.
    """
    if run.is_export:
        raise RunError(f"{run.directory}: is an export already; copy the folder, or give a run directory")
    _require_empty(directory)
    config, tokenizer, model = load_network(run, checkpoint)
    splits, made = load_splits(run.tokens), read_json(run.provenance_file)
    results = _results(run, checkpoint, model, tokenizer)
    export = Run(directory)
    make_directory(directory)
    make_directory(export.tokens)
    with written_whole(export.weights_file) as file:
        file.write(save({name: weight.contiguous() for name, weight in model.weights().items()}))
    _copy(run.tokenizer_file, export.tokenizer_file)
    for name in EVALUATED:
        if name in splits:
            for kind in ("tokens", "boundaries", "json", *(("windows",) if splits[name].windows is not None else ())):
                _copy(run.tokens / f"{name}.{kind}", export.tokens / f"{name}.{kind}")
    write_json(export.results_file, results)
    write_text(directory / "README.md", model_card(config, checkpoint, splits, results, made))
    content = {
        "format": EXPORT_FORMAT,
        "config": _portable(config, tokenizer, splits),
        "checkpoint": checkpoint,
        "weights_sha256": file_checksum(export.weights_file),
        "tokenizer_sha256": file_checksum(export.tokenizer_file),
        "provenance": made,
    }
    write_json(export.export_file, content)


def load_network(run: Run, checkpoint: CheckpointName) -> tuple[TrainConfig, Tokenizer, LanguageModel]:
    """The same as ``load_model``. Raises RunError for an n-gram model, which is not exported."""
    config, tokenizer, model = load_model(run, checkpoint)
    if config.model.is_ngram:
        raise RunError(f"{run.directory}: an n-gram model has no weights to hand on; copy the run directory as it is")
    return config, tokenizer, model


def _require_empty(directory: Path) -> None:
    try:
        if directory.exists() and any(directory.iterdir()):
            raise RunError(f"{directory}: the directory is not empty; give one that is, or that does not exist yet")
    except OSError as error:
        raise _not_writable(directory, error) from error


def make_directory(directory: Path) -> None:
    """Create the directory and those above it. Raises RunError if it cannot be created."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(directory, error) from error


def _not_writable(directory: Path, error: OSError) -> RunError:
    return RunError(f"{directory}: cannot be written ({error.strerror}); give another directory")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, written_whole(target) as file:
        shutil.copyfileobj(content, file)


def _results(run: Run, checkpoint: CheckpointName, model: LanguageModel, tokenizer: Tokenizer) -> dict[str, float]:
    """Results of the exported weights. Those of the run are of its best checkpoint."""
    results = run.results()
    if run.has_final_results and checkpoint == "best":
        return results
    sizes = {"parameters": parameter_count(model), "vocabulary_size": tokenizer.vocabulary_size}
    return {**results, **evaluate_run(run, checkpoint), **sizes}


def _portable(config: TrainConfig, tokenizer: Tokenizer, splits: Splits) -> dict[str, Any]:
    """The config in plain JSON types, without directories of this machine.

    The id of a data set or a tokenizer on the Hugging Face Hub stays whole. The prompt that the run took from its
    training split is written out, as that split is not exported.
    """
    values = config.model_dump(mode="json", exclude={"resume"})
    for key in keys_of(TrainConfig).values():
        group, _, name = key.name.partition(".")
        if (
            Mark.PATH in key.marks
            and name
            and isinstance(values.get(group), dict)
            and values[group].get(name) is not None
        ):
            if getattr(config, group).kind in ON_HUB and _is_hub_id(values[group][name]):
                continue
            values[group][name] = _without_directories(values[group][name])
    if config.start is not None:
        values["start"] = PurePath(config.start).name
    if config.samples.prompt is None:
        values["samples"]["prompt"] = default_prompt(tokenizer, splits["train"].tokens) or None
    return values


def _is_hub_id(path: str) -> bool:
    """True for ``name`` and ``owner/name``, unless a file or folder has this path."""
    return bool(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path)) and not path.endswith(".json") and not Path(path).exists()


def _without_directories(paths: str | list[str]) -> str | list[str]:
    return PurePath(paths).name if isinstance(paths, str) else [PurePath(path).name for path in paths]


# --- the model card -------------------------------------------------------------------------------------------------


def model_card(
    config: TrainConfig, checkpoint: CheckpointName, splits: Splits, results: dict[str, float], made: dict[str, Any]
) -> str:
    """The README of an export, in Markdown."""
    figures = {name: value for name, value in results.items() if name.partition("/")[0] in EVALUATED}
    versions = {name: version for name, version in made["versions"].items() if version is not None}
    return f"""# {config.name}

A recurrent language model, trained with textloom.

{_table(_model_facts(config, checkpoint, results))}
## Data

{_table(_data_facts(config, splits, made))}
The splits that the scores were computed on are in this folder, as tokens; the training split is not, except for
its vocabulary and the first words of the samples.

## Figures

Every token of the split is scored, in float32. The loss is in nats per token; `bits_per_char` counts characters of the
raw text, and compares models with different tokenizers on the same data.

{_table({name: f"{value:.6g}" for name, value in figures.items()})}
## Use

```sh
textloom generate run=FOLDER prompt="TEXT TO CONTINUE"
textloom evaluate run=FOLDER
```

FOLDER is the directory that this file lies in; `model.safetensors` and `tokenizer.json` are refused where they are not
what was exported.

## Made with

{_table({"python": made["python"], **versions, "commit of textloom": made["git_commit"] or "not known"})}
## Licence

{LICENCES.get(config.data.kind, UNKNOWN_LICENCE)}
"""


def _model_facts(config: TrainConfig, checkpoint: CheckpointName, results: dict[str, float]) -> dict[str, Any]:
    model = config.model
    assert not model.is_ngram  # refused by load_network
    return {
        "cell": model.kind,
        "units": f"{model.units:,}",
        "layers": model.layers,
        "input": "one-hot" if model.embedding_dim is None else f"embedding of {model.embedding_dim:,}",
        "tied weights": "yes" if model.tied_weights else "no",
        "softmax": "dense" if model.softmax_cutoffs is None else f"adaptive, cutoffs {model.softmax_cutoffs}",
        "parameters": f"{int(results['parameters']):,}",
        "tokenizer": f"{config.tokenizer.kind}, {int(results['vocabulary_size']):,} entries",
        "batching": config.batching.kind,
        "checkpoint": checkpoint,
    }


def _data_facts(config: TrainConfig, splits: Splits, made: dict[str, Any]) -> dict[str, Any]:
    paths = getattr(config.data, "path", ())
    files = [PurePath(path).name for path in ([paths] if isinstance(paths, str) else paths)]
    names = ", ".join(f"`{name}`" for name in files)
    return {
        "kind": config.data.kind,
        **({"split": LEAKY} if config.data.leaky else {}),
        **({"files": names} if names else {}),
        **{f"characters, {name}": f"{part.characters:,}" for name, part in splits.items()},
        "characters in all": f"{sum(part.characters for part in splits.values()):,}",
        "fingerprint": f"`{made['data_fingerprint']}`",
    }


def _table(rows: dict[str, Any]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())
