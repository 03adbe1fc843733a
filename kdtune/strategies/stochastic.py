"""Strategy ``stochastic``: one training that draws a random tau for each batch (PLOS ONE 2023, e0285668)."""

from typing import ClassVar

from pydantic import BaseModel

from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneTraining
from kdtune.temperature.stochastic import Options


class Stochastic(OneTraining):
    """One trial with the ``stochastic`` temperature, whose options it accepts."""

    Options: ClassVar[type[BaseModel]] = Options

    def suggestion(self) -> Suggestion:
        """Return the temperature with those options that differ from the paper."""
        assert isinstance(self.options, Options)
        given = self.options.model_dump(mode="json", exclude_defaults=True)
        drawn_from = self.options.space or self.space["tau"]
        if drawn_from.log == (self.options.scale == "log"):
            given.pop("scale", None)
        return Suggestion(temperature=Component(name="stochastic", options=given))
