"""Advice at the end of a training that learned too little, or that ended while it was still learning."""

from collections.abc import Sequence
from dataclasses import dataclass

from textloom.config import TrainConfig
from textloom.ngram.model import fit_orders
from textloom.runs.run import Run
from textloom.training.preparation import EncodedText
from textloom.training.resume import how_to_train_further

STILL_IMPROVING = 0.005  # share of the loss that the last validation gained over the best one before it
LEAST_GAIN = 0.001  # nats; a smaller one does not show in three digits
SAME_TIME = 0.01  # share of all steps; a validation this close to the last one is not an earlier one


@dataclass(frozen=True)
class TrainingEnd:
    """Facts about the end of a training."""

    loss: float
    """Validation loss of the best checkpoint, nats per target."""
    last_loss: float | None
    """Loss of the last validation; None if there was none in this process."""
    best_before: float | None
    """Lowest loss of earlier validations; None if there was none in this process."""
    limit: str | None
    """The key whose value ended the training, such as ``trainer.max_epochs``; None if it ended by itself."""


def last_and_best_before(losses: Sequence[tuple[int, float]]) -> tuple[float | None, float | None]:
    """The loss of the last validation and the lowest one of earlier validations, from (step, loss) of each.

    The end of a training is validated, which may be a step after another validation: that one is not called earlier.
    """
    if not losses:
        return None, None
    last_step, last_loss = losses[-1]
    earlier = [loss for step, loss in losses if step < (1 - SAME_TIME) * last_step]
    return last_loss, min(earlier, default=None)


def advice(ending: TrainingEnd, config: TrainConfig, text: EncodedText, run: Run) -> str | None:
    """One line that names the key to change, or None if there is nothing to say."""
    unigram = unigram_loss(text)
    if unigram is not None and ending.loss >= unigram:
        rate = config.optimizer.learning_rate
        cure = f"try optimizer.learning_rate={rate / 3:.2g} or {3 * rate:.2g}"
        return (
            f"val/loss {ending.loss:.3f} is no better than {unigram:.3f}, the loss of a model that knows only token "
            f"frequencies: this one has learned nothing else; {how_to_train_further(run) if ending.limit else cure}"
        )
    if ending.limit is None or ending.best_before is None or ending.last_loss is None:
        return None
    if ending.best_before - ending.last_loss < max(STILL_IMPROVING * ending.best_before, LEAST_GAIN):
        return None
    limit = f"{ending.limit}={getattr(config.trainer, ending.limit.removeprefix('trainer.'))}"
    return (
        f"val/loss was still falling, from {ending.best_before:.3f} to {ending.last_loss:.3f} in the last validation, "
        f"when {limit} ended the training; {how_to_train_further(run)}"
    )


def unigram_loss(text: EncodedText) -> float | None:
    """Validation loss of a unigram model of the training split; None if windows of one text are in both splits."""
    splits, tokenizer = text.splits, text.tokenizer
    if splits["val"].windows is not None:
        return None
    unigram = next(fit_orders(splits["train"].tokens, tokenizer.vocabulary_size, tokenizer.end_id, 1))
    nats, _ = unigram.score(splits["val"].tokens)
    return nats / splits["val"].targets
