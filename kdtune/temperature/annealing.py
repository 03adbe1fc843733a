"""A tau that falls in equal blocks of epochs: the annealing of Annealing-KD (Jafari et al., EACL 2021).

For epoch e of E, counted from 0, and K = ``levels``:

    k = 1 + floor(K e / E),  tau = K / k

so the first block has tau = K, and the last one tau = 1; k/K is the factor of the paper, by which the teacher's logits
are multiplied. Here tau divides the logits of both networks, and the weight is tau^2, as for every temperature. The
method's own loss, ``annealing``, divides the teacher's logits only. Fewer epochs than levels skip some levels.

Hidden tuning: ``levels`` (10 on CIFAR, fewer in the paper's other experiments).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import TAU_RANGE
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """The number of levels, which is also the first tau."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"levels": 3}]})

    levels: int = Field(default=10, ge=1, le=int(TAU_RANGE[1]), strict=True)


class Annealed(TemperaturePolicy):
    """Uses one tau for all steps of an epoch, and lowers it from block to block."""

    Options: ClassVar[type[BaseModel]] = Options
    depends_on_logits = False

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Prepare for the number of epochs."""
        assert isinstance(options, Options)
        self._levels = options.levels
        self._epochs, self._device = context.epochs, context.device

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the epoch's tau."""
        import torch

        level = min(self._levels, 1 + self._levels * epoch // self._epochs)
        self._tau = self._levels / level
        # The device fills it: a copy from the host would wait for the queued work.
        self._temperature = Temperature.same(torch.full((), self._tau, device=self._device))

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the epoch's tau."""
        return self._temperature

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the epoch's tau for every step."""
        return Temperature.of_steps(self._temperature.student.expand(len(sizes)))

    def epoch_tau(self) -> float:
        """Return the epoch's tau."""
        return self._tau
