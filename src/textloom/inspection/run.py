"""Inspecting a run directory or an export: from its files to a page."""

import logging
import shlex
from pathlib import Path
from typing import cast

import numpy as np

from textloom.config import InspectConfig, TrainConfig
from textloom.data.encoding import TokenSplit, load_splits
from textloom.errors import RunError
from textloom.inspection.measure import Inspection, inspect_network, inspect_ngrams
from textloom.inspection.page import GENERATOR, Subject, render_page
from textloom.inspection.reading import ReadingMode
from textloom.inspection.tensorboard import require_empty, write_events
from textloom.inspection.text import text_of_file, text_of_split
from textloom.models.language_model import LanguageModel
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.system.files import write_text
from textloom.system.progress import stage
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

COUNTED = 1 << 20
"""Tokens of the validation split that are counted to find the frequent ones."""
HEAD = 2000  # bytes of a page in which its generator is named


def inspect_run(run: Run, config: InspectConfig) -> Path:
    """Inspect a run, and write the page. The run itself is not changed, unless a path inside it is given.

    Raises DataError for a text that cannot be read, RunError if the run is damaged or if the file to be written exists
    and is not such a page.
    """
    target = Path(config.to) if config.to else default_target(run)
    refuse_other_file(target)
    events = None if config.tensorboard is None else Path(config.tensorboard)
    if events is not None:
        require_empty(events)
    loaded = load_model(run, config.checkpoint)
    trained, tokenizer, model = loaded
    split = load_splits(run.tokens)["val"]
    found = inspect_loaded(loaded, split, config)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, render_page(found, tokenizer, subject_of(run, trained, tokenizer)))
    if events is not None:
        embedding = getattr(model, "embedding", None)
        if embedding is None:
            log.info("the model has no embedding, so there is nothing for TensorBoard's projector")
        vectors = None if embedding is None else embedding.weight.detach()
        write_events(events, found, tokenizer, vectors, token_counts(split, tokenizer))
        log.info("for TensorBoard: tensorboard --logdir %s", shlex.quote(str(events)))
    return target


def inspect_loaded(
    loaded: tuple[TrainConfig, Tokenizer, LanguageModel], split: TokenSplit, config: InspectConfig
) -> Inspection:
    """Inspect a model on the file that the config names, or on the validation split."""
    trained, tokenizer, model = loaded
    if config.text is None:
        text = text_of_split(split, "the validation split", tokenizer, config.tokens)
    else:
        text = text_of_file(config.text, tokenizer, trained.data.normalization, config.tokens)
    with stage("reading the text", len(text), "tokens"):
        if trained.model.is_ngram:
            return inspect_ngrams(model, text)
        network, counts = cast(RecurrentLanguageModel, model), token_counts(split, tokenizer)
        reading = ReadingMode.of(trained.batching)
        return inspect_network(network, tokenizer, text, reading=reading, distance=config.distance, counts=counts)


def token_counts(split: TokenSplit, tokenizer: Tokenizer) -> np.ndarray:
    """Count each token in the first million of a split, (vocabulary,)."""
    return np.bincount(np.asarray(split.read(1, COUNTED)), minlength=tokenizer.vocabulary_size)


def default_target(run: Run) -> Path:
    """``inspections/NAME_TIME.html``."""
    directory = run.directory.resolve()
    return Path("inspections") / f"{directory.parent.name}_{directory.name}.html"


def refuse_other_file(path: Path) -> None:
    """Raises RunError if a file is there that textloom inspect has not written."""
    if path.is_dir():
        raise RunError(
            f"to={path}: is a directory; give the name of a file, such as to={shlex.quote(str(path))}/page.html"
        )
    if path.exists():
        with path.open("rb") as file:
            head = file.read(HEAD)
        if f'content="{GENERATOR}"'.encode() not in head:
            raise RunError(f"to={path}: exists, and is not a page of {GENERATOR}; give another name")


def subject_of(run: Run, trained: TrainConfig, tokenizer: Tokenizer) -> Subject:
    """The facts about the model for the page."""
    model = trained.model
    facts = [f"tokenizer {trained.tokenizer.kind} with {tokenizer.vocabulary_size:,} entries"]
    if not model.is_ngram:
        layers = f"{model.layers} layer{'s' if model.layers > 1 else ''} of {model.units} units"
        source = "one-hot input" if model.embedding_dim is None else f"embeddings of {model.embedding_dim}"
        facts = [layers, source, *facts]
    no_gates = f"The cell {model.kind} has no gates that keep or replace a state."
    return Subject(str(run.directory), (f"cell {model.kind}", *facts), no_gates)
