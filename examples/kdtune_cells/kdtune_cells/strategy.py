"""A search that learns from its results: it climbs from the middle of the search space."""

from collections.abc import Sequence

from pydantic import BaseModel

from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Outcome, Strategy, require_finite


class Climb(Strategy):
    """Tries the neighbours of the best point so far, until both have been tried."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        """Begin with nothing tried; the same seed or another one makes no difference."""
        super().__init__(space, options, seed)
        require_finite(space, "climb")
        self._points = space.points()
        self._accuracies: dict[int, float] = {}

    def expected_trials(self) -> int:
        """Return the greatest number of trials: the whole space."""
        return len(self._points)

    def ask(self) -> list[Suggestion]:
        """Return the best point and its neighbours as far as they have not been tried."""
        best = max(self._accuracies, key=self._accuracies.__getitem__, default=len(self._points) // 2)
        places = [place for place in (best - 1, best, best + 1) if 0 <= place < len(self._points)]
        return [Suggestion(values=self._points[place]) for place in places if place not in self._accuracies]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Record the validation accuracies; a failed trial counts as 0."""
        for one in outcomes:
            self._accuracies[self._points.index(one.suggestion.values)] = one.val_accuracy or 0.0
