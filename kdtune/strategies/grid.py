"""Grid search: every point of the space, in order."""

from pydantic import BaseModel

from kdtune.specs.search_space import Point, SearchSpace
from kdtune.strategies.base import OneRound, require_finite


class Grid(OneRound):
    """Tries every point; what the literature does, over tau 2 to 20."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        require_finite(space, "grid")

    def points(self) -> list[Point]:
        """The full grid, the last dimension varying fastest."""
        return self.space.points()
