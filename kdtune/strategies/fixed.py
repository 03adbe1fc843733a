"""Strategy ``fixed``: one training at a common temperature, without a search."""

from typing import ClassVar

from pydantic import BaseModel

from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import TauAsWritten
from kdtune.strategies.base import NoOptions, OneTraining


class Options(NoOptions):
    """Options of ``fixed``: the temperature."""

    tau: TauAsWritten = 4


class Fixed(OneTraining):
    """One trial at a common temperature."""

    Options: ClassVar[type[BaseModel]] = Options

    def suggestion(self) -> Suggestion:
        """Return the same suggestion that a grid with this temperature makes."""
        assert isinstance(self.options, Options)
        return Suggestion(values={"tau": self.options.tau})
