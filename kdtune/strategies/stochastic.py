"""The zero-search baseline: one training whose every batch draws its own tau (PLOS ONE 2023, e0285668)."""

from typing import ClassVar

from pydantic import BaseModel

from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneTraining
from kdtune.temperature.stochastic import Options


class Stochastic(OneTraining):
    """One trial under the ``stochastic`` temperature, whose options it has and which draws from the same space."""

    Options: ClassVar[type[BaseModel]] = Options

    def suggestion(self) -> Suggestion:
        """The temperature, and of its options those that differ from the paper's."""
        assert isinstance(self.options, Options)
        given = self.options.model_dump(mode="json", exclude_defaults=True)
        drawn_from = self.options.space or self.space["tau"]
        if drawn_from.log == (self.options.scale == "log"):
            given.pop("scale", None)
        return Suggestion(temperature=Component(name="stochastic", options=given))
