"""One tau for the whole training (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """The tau of every step."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tau": 4}]})

    tau: Tau


class FixedTemperature(TemperaturePolicy):
    """Uses the same tau in every step."""

    Options: ClassVar[type[BaseModel]] = Options
    depends_on_logits = False

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Fix tau."""
        import torch

        assert isinstance(options, Options)
        self._tau = float(options.tau)
        self._temperature = Temperature.same(torch.tensor(self._tau, device=context.device))

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the fixed tau."""
        return self._temperature

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the fixed tau for every step."""
        return Temperature.of_steps(self._temperature.student.expand(len(sizes)))

    def epoch_tau(self) -> float:
        """Return the fixed tau."""
        return self._tau
