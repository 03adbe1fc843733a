"""Strategy ``grid``: all points of the search space, in order."""

from pydantic import BaseModel

from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound, require_finite


class Grid(OneRound):
    """Tries every point of the search space, as the literature does for temperatures from 2 to 20."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        require_finite(space, "grid")

    def suggestions(self) -> list[Suggestion]:
        """Return all points; the last dimension varies fastest."""
        return [Suggestion(values=point) for point in self.space.points()]
