"""Strategy ``random``: points of the search space, drawn without replacement if the space is finite."""

import math
import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import Dimension, Point, SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, OneRound, Outcome, require_finite
from kdtune.strategies.gain_rule import GainRule


class Options(GainRule):
    """Number of points to draw, and of those in a round if the search may end early."""

    trials: int = Field(default=10, ge=1, le=MAX_TRIALS)
    round_size: int = Field(default=2, ge=1, le=MAX_TRIALS)


class Random(OneRound):
    """Draws ``trials`` points with the seed of the repeat; in a finite space, each point at most once."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        self._scores: list[float] = []
        self._suggested = 0

    def planned(self) -> list[Suggestion] | None:
        """Return the drawn points, unless outcomes decide how many of them are trained."""
        assert isinstance(self.options, Options)
        return None if self.options.may_end_early else self.suggestions()

    def ask(self) -> list[Suggestion]:
        """Return all drawn points, or the next of them if the search may end early."""
        assert isinstance(self.options, Options)
        if not self.options.may_end_early:
            return super().ask()
        if self.options.ends(self._scores):
            return []
        begin, self._suggested = self._suggested, self._suggested + self.options.round_size
        return self.suggestions()[begin : self._suggested]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Keep the scores."""
        self._scores += [outcome.score for outcome in outcomes if outcome.score is not None]

    def suggestions(self) -> list[Suggestion]:
        """Return the drawn points, in the order of drawing."""
        return [Suggestion(values=point) for point in self._points()]

    def _points(self) -> list[Point]:
        """Return the drawn points, in the order of drawing; all points if the space has no more than ``trials``."""
        assert isinstance(self.options, Options)
        generator = random.Random(f"random search {self.seed}")
        if not self.space.is_finite:
            names = list(self.space)
            return [{name: _draw(self.space[name], generator) for name in names} for _ in range(self.options.trials)]
        # Sorting by exponential variates draws without replacement, with probabilities proportional to the weights
        # (Efraimidis and Spirakis 2006).
        keyed = [(generator.expovariate(self._weight(point)), point) for point in self.space.points()]
        keyed.sort(key=lambda pair: pair[0])
        return [point for _, point in keyed[: self.options.trials]]

    def _weight(self, point: Point) -> float:
        """Return the relative probability of a point."""
        return math.prod(1.0 / value if self.space[name].log else 1.0 for name, value in point.items())


def _draw(dimension: Dimension, generator: random.Random) -> float:
    """Draw one value of a dimension."""
    if dimension.is_finite:
        return generator.choices(dimension.points(), dimension.weights())[0]
    low, high = dimension.bounds
    if dimension.log:
        return math.exp(generator.uniform(math.log(low), math.log(high)))
    return generator.uniform(low, high)


def starting_points(space: SearchSpace, trials: int | None, seed: int, strategy: str) -> list[Suggestion]:
    """Return the points with which a successive halving starts.

    Args:
        space: The search space.
        trials: Number of points to draw; None for all points of the space.
        seed: Seed of the repeat.
        strategy: Name of the strategy, for the message.

    Raises:
        SpecError: All points are wanted and the space is not finite.
    """
    if trials is not None:
        return Random(space, Options(trials=trials), seed).suggestions()
    require_finite(space, f"{strategy} without 'trials'")
    return [Suggestion(values=point) for point in space.points()]
