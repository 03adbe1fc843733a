"""What people do without thinking: tau 4, no search."""

from typing import ClassVar

from pydantic import BaseModel

from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import TauAsWritten
from kdtune.strategies.base import NoOptions, OneTraining


class Options(NoOptions):
    """The tau to use."""

    tau: TauAsWritten = 4


class Fixed(OneTraining):
    """One trial at a customary tau, which costs as little as the stochastic one."""

    Options: ClassVar[type[BaseModel]] = Options

    def suggestion(self) -> Suggestion:
        """The very suggestion of a grid that has this tau."""
        assert isinstance(self.options, Options)
        return Suggestion(values={"tau": self.options.tau})
