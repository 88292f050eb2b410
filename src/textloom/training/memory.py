"""Turns out-of-memory errors into an error that names the keys to lower."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from textloom.config import TrainConfig, WindowsConfig
from textloom.errors import RunError, TrainingError
from textloom.runs.run import Run
from textloom.system.devices import is_out_of_memory
from textloom.tokenizers import load_tokenizer


@contextmanager
def explained_shortage(config: TrainConfig, run: Run) -> Iterator[None]:
    """Raises TrainingError, which says what to lower, if the GPU or the machine runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        with suppress(RunError):
            config = run.config()  # has numbers for the keys that were left open
        if config.model.is_ngram:
            raise TrainingError(
                f"out of memory with n-grams of up to {config.model.largest_order} tokens; lower model.largest_order"
            ) from error
        batching = config.batching
        time = f"context={batching.context}" if isinstance(batching, WindowsConfig) else f"steps={batching.steps}"
        size = load_tokenizer(run.tokenizer_file).vocabulary_size if run.tokenizer_file.exists() else 0
        raise TrainingError(
            f"out of memory with trainer.batch_size={config.trainer.batch_size}, batching.{time}, model.units="
            f"{config.model.units} and a vocabulary of {size:,}; halve trainer.batch_size first, then batching."
            f"{time.partition('=')[0]}; a large vocabulary shrinks with tokenizer.maximum_size"
        ) from error
