"""Strategy ``asha``: successive halving with synchronous rungs, so that it is reproducible whatever ran when.

All points train for a part of the epochs, the best of them for a larger part, and so on; only the last rung trains to
the end. A trial that goes on continues from its checkpoint. The rungs are those of ASHA (Li et al. 2020), with the
synchronous promotion of successive halving (Jamieson and Talwalkar 2016).
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, NoOptions, Outcome, Strategy
from kdtune.strategies.random import starting_points


class Options(NoOptions):
    """How many points start, and how they are reduced.

    Attributes:
        trials: Number of points of the first rung, drawn without replacement; None for all points of the search space.
        reduction: One of so many trials goes on, and each rung trains so many times as long as the one before it.
        rungs: Number of rungs, of which the last one trains to the end.
    """

    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    reduction: int = Field(default=3, ge=2, le=100)
    rungs: int = Field(default=3, ge=1, le=20)


class Asha(Strategy):
    """Trains all points briefly, and only the best of them to the end."""

    Options: ClassVar[type[BaseModel]] = Options
    has_rungs = True

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        self._waiting = starting_points(space, options.trials, seed, "asha")
        self._points = len(self._waiting)
        self._rungs = self._rungs_left = options.rungs
        self._reduction = options.reduction

    def expected_trials(self) -> int:
        """Return the number of points of the first rung."""
        return self._points

    def expected_epochs(self, epochs: int) -> int:
        """Return the sum of the epochs of all rungs; each trial goes on from the rung before."""
        total, trials, reached = 0, self._points, 0
        for left in reversed(range(self._rungs)):
            until = max(1, round(self._until(left) * epochs))
            total += trials * max(0, until - reached)
            trials, reached = self._kept(trials), max(reached, until)
        return total

    def _until(self, rungs_left: int) -> float:
        """Return the part of the epochs to which a rung trains, if so many rungs follow."""
        return float(self._reduction**-rungs_left)

    def _kept(self, trials: int) -> int:
        """Return the number of trials of a rung that go on."""
        return max(1, trials // self._reduction)

    def ask(self) -> list[Suggestion]:
        """Return the trials of the next rung."""
        if not self._rungs_left or not self._waiting:
            return []
        self._rungs_left -= 1
        until = self._until(self._rungs_left)
        return [suggestion.model_copy(update={"until": until}) for suggestion in self._waiting]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Keep the best trials of the rung, at least one; ties are broken by the loss and then by the order."""
        ended = [one for one in outcomes if one.score is not None and one.val_loss is not None]
        ranked = sorted(ended, key=lambda one: (-(one.score or 0.0), one.val_loss or 0.0))
        kept = {id(one) for one in ranked[: self._kept(len(outcomes))]}
        self._waiting = [one.suggestion for one in outcomes if id(one) in kept]
