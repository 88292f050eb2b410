"""The errors that a user can cure. Each message names the thing, what is wrong with it, and the cure."""


class TextloomError(Exception):
    """Base of all errors that the commands report without a stack trace, with exit status 2."""


class ConfigError(TextloomError):
    """A key that does not exist, or a value that a key does not take."""


class DataError(TextloomError):
    """Text that cannot be read, split or encoded."""


class RunError(TextloomError):
    """A run directory, or a file in it, that is missing, damaged or not ours."""


class TrainingError(TextloomError):
    """A training that cannot go on, for example because its loss is no longer a number."""


class GenerationError(TextloomError):
    """A prompt or a sampling setting that no text can be generated from."""
