"""Strategy ``none``: the student without a teacher, the baseline of every distillation."""

from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, field_validator

from kdtune.catalog.builtin import WITHOUT_TEACHER
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions, OneTraining
from kdtune.strategies.equal_cost import DistillationCost, EqualCost

#: Stands for the factor at which this cost equals that of a distillation, until the factor is known.
Equal = Literal["flops", "energy"]

#: Upper limit that catches typing errors.
LONGEST = 1000


class Options(NoOptions):
    """How long the student is trained.

    Attributes:
        longer: Factor of the study's epochs. ``flops`` trains for as many FLOPs as one distillation with a live
            teacher, which is an upper limit for all strategies with a teacher. ``energy`` trains for the expected
            training energy of one distillation in this study, including the charge of ``stochastic`` for stored
            teacher logits. It is derived from steps that are timed before the first trial, and is then fixed for the
            study; see :func:`kdtune.forecast.distillation_cost.energy_multiple`.
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
    """One training of the student on the labels alone, with the same recipe and seeds."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def settled(cls, options: dict[str, Any], cost: DistillationCost) -> dict[str, Any]:
        """Return the options with ``flops`` or ``energy`` replaced by a number, if it is known.

        Four decimals suffice, because the number of epochs is an integer. The factor is at least 1, even if noise in
        the timings makes a distillation appear cheaper than the training of the student alone.
        """
        factor = {"flops": cost.flops, "energy": cost.energy}.get(str(options.get("longer")))
        if factor is None:
            return options
        return {**options, "longer": round(min(max(1.0, factor), LONGEST), 4)}

    @classmethod
    def waits_for_energy(cls, options: dict[str, Any]) -> bool:
        """Return whether the number of epochs depends on the energy of a distillation."""
        return options.get("longer") == "energy"

    def suggestion(self) -> Suggestion:
        """Return a training with cross-entropy instead of the distillation loss."""
        assert isinstance(self.options, Options)
        assert isinstance(self.options.longer, float), "the factor is not settled"
        return Suggestion(method=Component(name=WITHOUT_TEACHER), longer=self.options.longer)
