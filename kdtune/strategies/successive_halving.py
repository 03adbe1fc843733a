"""Strategy ``successive-halving``: halving on repeated trainings, so that a point wins by its mean and not by luck.

All points are trained once; the best of them several times with other initial weights and orders of the images, the
best of these more often, and so on (Jamieson and Talwalkar 2016, with restarts as the resource). Points are compared by
the mean of their trainings; one with a failed training loses to those without. ``asha`` does the same with epochs as
the resource.
"""

import statistics
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
        reduction: One of so many points goes on, and each rung has so many times as many trainings of a point.
        rungs: Number of rungs.
    """

    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    reduction: int = Field(default=3, ge=2, le=100)
    rungs: int = Field(default=3, ge=1, le=6)


class SuccessiveHalving(Strategy):
    """Trains all points once, and the best of them more often."""

    Options: ClassVar[type[BaseModel]] = Options
    chooses = True

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        self._points = starting_points(space, options.trials, seed, "successive-halving")
        self._reduction, self._rungs = options.reduction, options.rungs
        self._rung = 0
        self._outcomes: list[list[Outcome]] = [[] for _ in self._points]
        #: Numbers of the points that are still trained.
        self._left = list(range(len(self._points)))

    def expected_trials(self) -> int:
        """Return the number of trainings of all rungs."""
        points, total = len(self._points), 0
        for rung in range(self._rungs):
            total += points * len(self._restarts(rung))
            points = self._kept(points)
        return total

    def _restarts(self, rung: int) -> range:
        """Return the numbers of the restarts that a rung adds to each of its points."""
        return range(self._reduction ** (rung - 1) if rung else 0, self._reduction**rung)

    def _kept(self, points: int) -> int:
        """Return the number of points of a rung that go on."""
        return max(1, points // self._reduction)

    def ask(self) -> list[Suggestion]:
        """Return the trainings that the next rung adds."""
        if self._rung == self._rungs:
            return []
        points = [self._points[number] for number in self._left]
        restarts = self._restarts(self._rung)
        return [point.model_copy(update={"restart": restart}) for point in points for restart in restarts]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Keep the best points of the rung by the mean score of all their trainings; ties are broken by the order."""
        each = len(self._restarts(self._rung))
        for place, number in enumerate(self._left):
            own = outcomes[place * each : (place + 1) * each]
            self._outcomes[number] += [one for one in own if one.score is not None]
        self._rung += 1
        if self._rung < self._rungs:
            ranked = sorted(self._left, key=self._rank, reverse=True)
            kept = ranked[: self._kept(len(self._left))]
            self._left = [number for number in self._left if number in kept]

    def _rank(self, number: int) -> tuple[int, float]:
        """Return what points are compared by: the number of finished trainings, then their mean."""
        scores = [one.score for one in self._outcomes[number] if one.score is not None]
        return len(scores), statistics.fmean(scores) if scores else 0.0

    def choice(self) -> Suggestion | None:
        """Return the best training of the point with the best mean among those that were trained most often."""
        number = max(self._left, key=self._rank)

        def quality(one: Outcome) -> tuple[float, float]:
            return one.score or 0.0, -(one.val_loss or 0.0)

        best = max(self._outcomes[number], key=quality, default=None)
        return best.suggestion if best else None
