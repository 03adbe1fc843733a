"""The protocol that every strategy follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """What became of one suggestion.

    Attributes:
        suggestion: What was tried.
        val_accuracy: Fraction of validation images classified rightly after the last epoch; None if it failed
            or its task has no accuracy.
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


#: More trials of one strategy would be a slip of the keyboard.
MAX_TRIALS = 100_000


class NoOptions(FrozenModel):
    """The options of a strategy that has none."""


class Strategy:
    """Decides the trainings of one repeat.

    The runner calls :meth:`ask` for a round of suggestions, runs them all, and hands the outcomes to
    :meth:`tell` in the order of the suggestions, whatever order they finished in; then it asks again, until a
    round comes back empty. So what a strategy proposes never depends on what ran beside what.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions

    #: Whether :meth:`report` may stop a trial early, so that it has to be asked after every epoch.
    judges_epochs: ClassVar[bool] = False

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        """Prepare one repeat.

        Args:
            space: What may be tried.
            options: An instance of the class's ``Options``.
            seed: The repeat's seed; a strategy draws from a generator of its own.
        """
        self.space = space
        self.options = options
        self.seed = seed

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """The model that validates options which a study gives: ``Options``, unless it depends on one of them.

        Args:
            given: The options, not validated yet.
        """
        return cls.Options

    @classmethod
    def from_table(cls, space: SearchSpace, given: Mapping[str, Any], seed: int) -> Self:
        """One repeat's strategy with options as a study has them, which were validated when it was loaded."""
        return cls(space, cls.options_model(given).model_validate(given, context=HAS_RUN), seed)

    def expected_trials(self) -> int:
        """How many trials there will be, at most: for the time that is left, and for plans."""
        raise NotImplementedError

    def ask(self) -> list[Suggestion]:
        """The next round of suggestions; empty when the strategy is done."""
        raise NotImplementedError

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of the round that was asked for last, in the order of its suggestions."""

    def export(self, folder: Path) -> None:
        """Leave in the strategy's results folder what other tools can read; nothing by default."""

    def report(self, suggestion: Suggestion, epoch: int, score: float) -> bool:
        """Judge a running trial after an epoch (counted from 1): go on (True) or stop it early (False).

        Asked only of strategies that set :attr:`judges_epochs`. The score is that of :class:`Outcome` at this epoch.
        """
        return True


class OneRound(Strategy):
    """A strategy whose suggestions are known from the start."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        self._asked = False

    def suggestions(self) -> list[Suggestion]:
        """All suggestions, in order."""
        raise NotImplementedError

    def expected_trials(self) -> int:
        """As many as there are suggestions."""
        return len(self.suggestions())

    def ask(self) -> list[Suggestion]:
        """All suggestions the first time, nothing afterwards."""
        if self._asked:
            return []
        self._asked = True
        return self.suggestions()


class OneTraining(OneRound):
    """A strategy that searches nothing: one training."""

    def suggestion(self) -> Suggestion:
        """The training."""
        raise NotImplementedError

    def suggestions(self) -> list[Suggestion]:
        """A single one."""
        return [self.suggestion()]

    def expected_trials(self) -> int:
        """One."""
        return 1


def require_finite(space: SearchSpace, strategy: str) -> None:
    """Refuse a space that cannot be enumerated.

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
