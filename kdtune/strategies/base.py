"""Base classes of strategies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from kdtune.errors import Fault, SpecError
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import HAS_RUN


@dataclass(frozen=True)
class Outcome:
    """Outcome of the training of one suggestion.

    Attributes:
        suggestion: The suggestion.
        val_accuracy: Fraction of validation images classified correctly after the last epoch; None if it failed or its
            task has no accuracy.
        val_loss: Mean cross-entropy (nats) on the validation images after the last epoch; None if it failed.
        score: What the strategy is to maximise: the study's objective on the validation images, with the opposite sign
            where lower values are better; the accuracy unless given. None if the training failed.
    """

    suggestion: Suggestion
    val_accuracy: float | None
    val_loss: float | None
    score: float | None = None

    def __post_init__(self) -> None:
        """Take the accuracy for the score where none is given."""
        if self.score is None:
            object.__setattr__(self, "score", self.val_accuracy)

    @property
    def succeeded(self) -> bool:
        """Whether the training reached its last epoch."""
        return self.score is not None


#: Upper limit that catches typing errors.
MAX_TRIALS = 100_000


class NoOptions(FrozenModel):
    """Options of a strategy without options; base class of the options of others."""


class Strategy:
    """Decides the trainings of one repeat.

    The runner calls :meth:`ask` for a round of suggestions, runs all of them, and passes the outcomes to :meth:`tell`
    in the order of the suggestions. It repeats this until :meth:`ask` returns an empty round. The suggestions therefore
    never depend on which trials ran at the same time or which finished first.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions

    #: Whether :meth:`report` may stop a trial early and is therefore called after every epoch.
    judges_epochs: bool = False

    #: Whether suggestions may train for a part of the epochs and be suggested again to go on.
    has_rungs: bool = False

    #: Whether :meth:`choice` chooses the model, so that every model is kept until then.
    chooses: bool = False

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        """Prepare one repeat.

        Args:
            space: The search space.
            options: An instance of the class's ``Options``.
            seed: Seed of the repeat, for a private random generator.
        """
        self.space = space
        self.options = options
        self.seed = seed

    def __str__(self) -> str:
        return f"strategy {type(self).__name__}"

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """Return the model that validates the options; ``Options`` unless the model depends on the options.

        Args:
            given: The options of the study, not validated yet.
        """
        return cls.Options

    @classmethod
    def from_table(cls, space: SearchSpace, given: Mapping[str, Any], seed: int) -> Self:
        """Return the strategy of one repeat, from options that were validated when the study was loaded."""
        return cls(space, cls.options_model(given).model_validate(given, context=HAS_RUN), seed)

    @classmethod
    def restarted(cls, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return name and options of the strategy that a control restarts; None for any other strategy."""
        return None

    def expected_trials(self) -> int:
        """Return the largest number of trials that the strategy may need, for plans and remaining times."""
        raise NotImplementedError

    def expected_epochs(self, epochs: int) -> int:
        """Return the largest number of epochs that all trials together may need, for plans.

        Args:
            epochs: Epochs of a whole training.
        """
        return self.expected_trials() * epochs

    def ask(self) -> list[Suggestion]:
        """Return the next round of suggestions; an empty round ends the strategy."""
        raise NotImplementedError

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive the outcomes of the latest round, in the order of its suggestions."""

    def choice(self) -> Suggestion | None:
        """Return the suggestion whose model is chosen, after the last round; None for the best one by validation.

        It is called only if the strategy sets :attr:`chooses`.
        """
        return None

    def planned(self) -> list[Suggestion] | None:
        """Return all suggestions if they do not depend on outcomes; otherwise None."""
        return None

    def export(self, folder: Path) -> None:
        """Write files for other tools to the strategy's results folder; none by default."""

    def report(self, suggestion: Suggestion, epoch: int, score: float) -> bool:
        """Return whether a running trial should continue after an epoch (counted from 1).

        It is called only if the strategy sets :attr:`judges_epochs`. The score is that of :class:`Outcome` at this
        epoch.
        """
        return True


class OneRound(Strategy):
    """A strategy whose suggestions do not depend on outcomes."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        self._asked = False

    def suggestions(self) -> list[Suggestion]:
        """Return all suggestions, in order."""
        raise NotImplementedError

    def planned(self) -> list[Suggestion] | None:
        """Return all suggestions."""
        return self.suggestions()

    def expected_trials(self) -> int:
        """Return the number of suggestions."""
        return self._count

    @cached_property
    def _count(self) -> int:
        """Number of suggestions. A study asks for it after every trial, and making them takes time for each trial."""
        return len(self.suggestions())

    def ask(self) -> list[Suggestion]:
        """Return all suggestions in the first round, and then an empty round."""
        if self._asked:
            return []
        self._asked = True
        return self.suggestions()


class OneTraining(OneRound):
    """A strategy of a single training, without a search."""

    def suggestion(self) -> Suggestion:
        """Return the suggestion of the training."""
        raise NotImplementedError

    def suggestions(self) -> list[Suggestion]:
        """Return the only suggestion."""
        return [self.suggestion()]

    def expected_trials(self) -> int:
        """Return 1."""
        return 1


def require_finite(space: SearchSpace, strategy: str) -> None:
    """Refuse a search space that cannot be enumerated.

    Raises:
        SpecError: A dimension is an interval without a step.
    """
    faults = [
        Fault(f"strategy {strategy}", f"search_space.{name}", "has no 'step' or 'values', so it cannot be enumerated")
        for name in space
        if not space[name].is_finite
    ]
    if faults:
        raise SpecError(faults)
