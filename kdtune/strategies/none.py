"""The row that every distillation table needs: the student without a teacher."""

from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, field_validator

from kdtune.catalog.builtin import WITHOUT_TEACHER
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions, OneTraining
from kdtune.strategies.equal_cost import DistillationCost, EqualCost

#: Stands for the factor at which something equals that of a distillation, until that is known.
Equal = Literal["flops", "energy"]

#: A greater factor would be a slip of the keyboard.
LONGEST = 1000


class Options(NoOptions):
    """How long the student is trained.

    Attributes:
        longer: The study's epochs are multiplied by it; ``flops`` for as many as execute the FLOPs of one
            distillation with a live teacher, which is no less than a strategy with a teacher executes; ``energy`` for
            as many as are expected to be charged the training energy of one distillation as the study runs it, with
            what ``stochastic`` is charged for the teacher's kept answers. That is told by steps which are timed before
            the first trial, and kept for the study; see :func:`kdtune.forecast.distillation_cost.energy_multiple`.
    """

    longer: float | Equal = 1.0

    @field_validator("longer", mode="before")
    @classmethod
    def _factor(cls, value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value not in get_args(Equal) and not (number and 1 <= value <= LONGEST):
            raise ValueError(f"has to be a factor from 1 to {LONGEST}, 'flops' or 'energy'")
        return value


class NoDistillation(OneTraining, EqualCost):
    """One training of the student on the labels alone, with the same recipe and seed."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def settled(cls, options: dict[str, Any], cost: DistillationCost) -> dict[str, Any]:
        """With a number in the place of ``flops`` or ``energy``, where it is known.

        Epochs are whole, so four decimals are more than enough. By energy a distillation may come out cheaper, since
        timings waver; the student is trained no shorter for that.
        """
        factor = {"flops": cost.flops, "energy": cost.energy}.get(str(options.get("longer")))
        if factor is None:
            return options
        return {**options, "longer": round(min(max(1.0, factor), LONGEST), 4)}

    @classmethod
    def waits_for_energy(cls, options: dict[str, Any]) -> bool:
        """Whether it is to be as long as the energy of a distillation lasts."""
        return options.get("longer") == "energy"

    def suggestion(self) -> Suggestion:
        """A training under cross-entropy instead of the distillation loss."""
        assert isinstance(self.options, Options)
        assert isinstance(self.options.longer, float), "the factor is not settled"
        return Suggestion(method=Component(name=WITHOUT_TEACHER), longer=self.options.longer)
