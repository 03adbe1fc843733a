"""The zero-search baseline: one training whose every batch draws its own tau (PLOS ONE 2023, e0285668)."""

from typing import ClassVar, Literal

from pydantic import BaseModel

from kdtune.specs.suggestion import Component, Suggestion
from kdtune.strategies.base import NoOptions, OneTraining


class Options(NoOptions):
    """How tau is drawn, as the ``stochastic`` temperature has it; as in the paper unless given.

    Attributes:
        draw: What has a tau of its own: each ``batch``, ``epoch`` or ``sample``.
        scale: ``uniform`` draws the values of the space evenly, ``log`` as 1/tau; None as the space says.
    """

    draw: Literal["batch", "epoch", "sample"] = "batch"
    scale: Literal["uniform", "log"] | None = None


class Stochastic(OneTraining):
    """One trial under the ``stochastic`` temperature, which draws from the same space."""

    Options: ClassVar[type[BaseModel]] = Options

    def suggestion(self) -> Suggestion:
        """The temperature, and of its options those that differ from the paper's."""
        assert isinstance(self.options, Options)
        options = self.options.model_dump(exclude_defaults=True)
        if self.space["tau"].log == (self.options.scale == "log"):
            options.pop("scale", None)
        return Suggestion(temperature=Component(name="stochastic", options=options))
