"""The zero-search baseline: one training whose every batch draws its own tau (PLOS ONE 2023, e0285668)."""

from typing import ClassVar, Literal

from pydantic import BaseModel

from kdtune.specs.search_space import Point
from kdtune.strategies.base import NoOptions, OneRound


class Options(NoOptions):
    """How tau is drawn; the paper's way unless told.

    Attributes:
        draw: What has a tau of its own: each ``batch``, ``epoch`` or ``sample``.
        scale: ``uniform`` draws the values of the space evenly, ``log`` as 1/tau; None as the space says.
    """

    draw: Literal["batch", "epoch", "sample"] = "batch"
    scale: Literal["uniform", "log"] | None = None


class Stochastic(OneRound):
    """One trial under the ``stochastic`` temperature policy, which draws from the same space."""

    Options: ClassVar[type[BaseModel]] = Options

    def points(self) -> list[Point]:
        """A single point that names the policy instead of a tau, and what is not as the paper has it."""
        assert isinstance(self.options, Options)
        point: Point = {"temperature": "stochastic"}
        if self.options.draw != "batch":
            point["draw"] = self.options.draw
        if self.options.scale is not None and self.space["tau"].log != (self.options.scale == "log"):
            point["scale"] = self.options.scale
        return [point]
