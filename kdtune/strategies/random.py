"""Strategy ``random``: points of the search space, drawn without replacement if the space is finite."""

import math
import random
from typing import ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import Dimension, Point
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, NoOptions, OneRound


class Options(NoOptions):
    """Number of points to draw."""

    trials: int = Field(default=10, ge=1, le=MAX_TRIALS)


class Random(OneRound):
    """Draws ``trials`` points with the seed of the repeat; in a finite space, each point at most once."""

    Options: ClassVar[type[BaseModel]] = Options

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
