"""The row that every distillation table needs: the student without a teacher."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, field_validator

from kdtune.energy.flops import Workload
from kdtune.specs.space import Point
from kdtune.strategies.base import NoOptions, OneRound

#: Stands for the factor that equals the FLOPs of a distillation, until the networks are known.
FLOPS = "flops"

#: A greater factor would be a slip of the keyboard.
LONGEST = 1000


class Options(NoOptions):
    """How long the student is trained.

    Attributes:
        longer: The study's epochs are multiplied by it; ``flops`` for as many as execute the FLOPs of one
            distillation with a live teacher, which is no less than a strategy with a teacher executes.
    """

    longer: float | Literal["flops"] = 1.0

    @field_validator("longer", mode="before")
    @classmethod
    def _factor(cls, value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value != FLOPS and not (number and 1 <= value <= LONGEST):
            raise ValueError(f"has to be a factor from 1 to {LONGEST}, or {FLOPS!r}")
        return value


class NoDistillation(OneRound):
    """One training of the student on the labels alone, with the same recipe and seed."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def settled(cls, options: dict[str, Any], workload: Workload) -> dict[str, Any]:
        """With a number in the place of ``flops``; epochs are whole, so four decimals are more than enough."""
        if options.get("longer") != FLOPS:
            return options
        return {**options, "longer": round(workload.distillation_ratio, 4)}

    def expected_trials(self) -> int:
        """One, however long."""
        return 1

    def points(self) -> list[Point]:
        """A single point that replaces the distillation loss by cross-entropy."""
        assert isinstance(self.options, Options)
        assert self.options.longer != FLOPS, "nobody has settled it"
        return [{"loss": "ce", **({} if self.options.longer == 1 else {"longer": self.options.longer})}]
