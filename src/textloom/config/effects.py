"""The effect of a key's value on a training, as a mark on the fields of the schema; see ``trainer.effect_of``."""

from enum import Enum


class Effect(Enum):
    """The effect of a key: of the key that bears the mark and of all keys below it. Without a mark: RESULTS."""

    RESULTS = "other results"
    LENGTH = "other results: the training ends sooner or later, and no step of it changes"
    DATA = "other results: another text, which a comparison recognises by its fingerprint"
    SEED = "other results: another sample of the same configuration"
    PAUSE = "the same results once the training is complete: it ends early, is marked as stopped, and can be resumed"
    PLACE = "the same results, computed or stored elsewhere; a resumed run keeps the value"
    NONE = "the same results"

    @property
    def changes_results(self) -> bool:
        """True if runs that differ in the key are different trainings."""
        return self not in (Effect.PAUSE, Effect.PLACE, Effect.NONE)

    @property
    def makes_rows(self) -> bool:
        """True if runs that differ in the key stand in different rows of a comparison."""
        return self in (Effect.RESULTS, Effect.LENGTH)

    @property
    def may_change_on_resume(self) -> bool:
        """True if a resumed run may have another value."""
        return self in (Effect.LENGTH, Effect.PAUSE, Effect.NONE)
