"""What people do without thinking: tau 4, no search."""

from typing import ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import GREATEST, Point
from kdtune.strategies.base import NoOptions, OneRound


class Options(NoOptions):
    """The tau to use."""

    tau: float | int = Field(default=4, gt=0, le=GREATEST)


class Fixed(OneRound):
    """One trial at a customary tau, which costs as little as the stochastic one."""

    Options: ClassVar[type[BaseModel]] = Options

    def points(self) -> list[Point]:
        """A single point."""
        assert isinstance(self.options, Options)
        return [{"tau": self.options.tau}]
