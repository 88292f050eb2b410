"""The errors that a user can cure. Each message names the thing, what is wrong with it, and the cure."""


class TextloomError(Exception):
    """Base of all errors that the commands report without a stack trace, with exit status 2."""


class ConfigError(TextloomError):
    """A key that does not exist, or a value that a key does not take."""


class PluginError(TextloomError):
    """A plugin that cannot be imported, a name that is registered twice, or a registered class that does not fit."""


class DataError(TextloomError):
    """Text that cannot be read, split or encoded."""


class RunError(TextloomError):
    """A run directory, or a file in it, that is missing, damaged or not ours."""


class TrainingError(TextloomError):
    """A training that cannot continue, for example because its loss is no longer a number."""


class DivergenceError(TrainingError):
    """A loss that is not finite, or far above that of guessing."""

    def __init__(self, step: int, loss: float, learning_rate: float, gradient_norm: float | None):
        self.step = step
        norm = "" if gradient_norm is None else f", gradient norm {gradient_norm:.3g}"
        super().__init__(
            f"the training loss is {loss:.6g} at step {step} (learning rate {learning_rate:.3g}{norm}); "
            "lower optimizer.learning_rate or trainer.gradient_clip_val, or set trainer.on_nan=rollback; "
            "checkpoints written before are good"
        )


class Interrupted(TextloomError):
    """The training was asked to stop, and wrote a checkpoint to resume from if it had made a step."""

    def __init__(self, message: str, signal: int | None = None):
        super().__init__(message)
        self.signal = signal


class Pruned(TextloomError):
    """A trial of a sweep that was ended early, because others were better at the same validation."""


class TrialsFailed(TextloomError):
    """A sweep that finished with failed trials; its table names them."""


class GenerationError(TextloomError):
    """A prompt or a sampling setting that no text can be generated from."""
