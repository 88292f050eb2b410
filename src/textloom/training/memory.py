"""Running out of memory, said in the words of the config."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from textloom.config import TrainConfig, WindowsConfig
from textloom.errors import RunError, TrainingError
from textloom.runs.run import Run
from textloom.tokenizers import load_tokenizer

CPU_ALLOCATOR = "DefaultCPUAllocator"  # what torch's allocator for main memory calls itself in its message


def is_shortage(error: Exception) -> bool:
    """Whether a GPU or the machine is out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or CPU_ALLOCATOR in str(error)


@contextmanager
def explained_shortage(config: TrainConfig, run: Run) -> Iterator[None]:
    """Turns a shortage of GPU or main memory into a TrainingError that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
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
