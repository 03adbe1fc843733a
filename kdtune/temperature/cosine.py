"""A tau that falls along half a cosine, the control of dynamic temperatures that fall during the training.

For epoch e of E, counted from 0:

    tau_e = last + (tau - last) (1 + cos(pi e / (E - 1))) / 2

so the first epoch has ``tau`` and the last epoch has ``last``; a training of one epoch has ``tau``. The curve is that
of cosine annealing (Loshchilov and Hutter, ICLR 2017, equation 5). DTS (arXiv 2511.13767) multiplies such a curve by a
factor that is 1 unless the student's cross-entropy exceeds the teacher's by more than 1 nat, so this temperature is
what DTS has to be compared with. DTS uses e / E, which never reaches the end of the curve, and limits tau from below.

Hidden tuning: ``tau`` and ``last``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """The tau of the first epoch, which can be searched, and that of the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tau": 4}, {"tau": 8, "last": 2}]})

    tau: Tau
    last: Tau = 1


class Cosine(TemperaturePolicy):
    """Uses one tau for all steps of an epoch, and lowers it from epoch to epoch."""

    Options: ClassVar[type[BaseModel]] = Options
    depends_on_logits = False

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Prepare for the training's number of epochs."""
        assert isinstance(options, Options)
        self._first, self._last = float(options.tau), float(options.last)
        self._epochs, self._device = context.epochs, context.device

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the epoch's tau."""
        import torch

        share = min(1.0, epoch / max(1, self._epochs - 1))
        self._tau = self._last + (self._first - self._last) * (1 + math.cos(math.pi * share)) / 2
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
