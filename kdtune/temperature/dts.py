"""The dynamic temperature scheduler, DTS (arXiv 2511.13767, 2025), of three of the authors of PLOS ONE 2023, e0285668.

For step i in epoch e of E, counted from 0, with the cross-entropies of teacher and student with the labels of a batch:

    d = CE_teacher - CE_student,  r = d / (d + 1)
    s = 1 if r <= 1,  r if 1 < r <= 2,  ``large`` if r > 2
    target = clamp(tau s (1 + cos(pi e / E)) / 2, ``least`` tau, tau)
    tau_(i+1) = 0.9 tau_i + 0.1 target,  tau_0 = tau

for both networks and the weight tau_i^2. A step uses the tau that the steps before it have led to. The tau carries no
gradient. It stays on the device, so the steps can be captured as a graph.

Errata: r exceeds 1 only where d < -1, that is where the student's cross-entropy exceeds the teacher's by over 1 nat. In
all other steps this is cosine annealing limited from below, with which the temperature ``cosine`` has to be compared.
For d from -1 to 0, r is negative; at d = -1 it is undefined, and s is then 1 here. The authors' code for images does
not limit r, which ``large`` 0 does not either, and that for language models sets s to 1.35 where r > 2.

Hidden tuning: ``tau`` 8 and the lower limit 4 (4 and 2 with logit standardisation), the moving average 0.9, and 1.35.
The authors' code chooses the best epoch by the test images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.from_logits import at_least_float32
from kdtune.temperature.in_graph import InGraph

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """How tau falls.

    Attributes:
        tau: The first tau, which is also the greatest; can be searched.
        least: The lower limit, as a part of ``tau``.
        average: Weight of the tau of the step before in the moving average.
        large: Factor of the target where r > 2; 0 leaves it at r.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"tau": 4, "least": 0.25, "large": 0}]})

    tau: Tau = 8
    least: float = Field(default=0.5, gt=0.0, le=1.0)
    average: float = Field(default=0.9, ge=0.0, lt=1.0)
    large: float = Field(default=1.35, ge=0.0, le=1e6)


class Dts(InGraph):
    """Lowers tau along half a cosine, more slowly where the student lags far behind the teacher."""

    Options: ClassVar[type[BaseModel]] = Options
    needs_labels = True

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Begin with the first tau."""
        import torch

        super().__init__(options, context)
        assert isinstance(options, Options)
        self._options = options
        self._tau = torch.full((), float(options.tau), device=context.device)
        self._annealed = torch.empty((), device=context.device)

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the epoch's point on the cosine."""
        super().begin_epoch(epoch, steps)
        share = min(1.0, epoch / self.context.epochs)
        # The device fills it: a copy from the host would wait for the queued work.
        self._annealed.fill_(float(self._options.tau) * (1 + math.cos(math.pi * share)) / 2)

    def of_logits(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        """Return the present tau, and move it towards the target of this batch."""
        import torch
        import torch.nn.functional as F  # noqa: N812 - the usual name

        tau, options = self._tau.clone(), self._options
        with torch.no_grad():
            of_student = F.cross_entropy(at_least_float32(student_logits), labels)
            of_teacher = F.cross_entropy(at_least_float32(teacher_logits), labels)
            target = self._annealed * _scale(of_teacher - of_student, options.large)
            target = target.clamp(options.least * float(options.tau), float(options.tau))
            self._tau.mul_(options.average).add_((1 - options.average) * target)
        return Temperature.same(tau)

    def kept(self) -> dict[str, torch.Tensor]:
        """Return the present tau."""
        return {"tau": self._tau}


def _scale(difference: torch.Tensor, large: float) -> torch.Tensor:
    """Return the factor s of a difference d of cross-entropies."""
    import torch

    one = torch.ones_like(difference)
    # Infinite logits make the difference infinite or undefined, and then there is no ratio.
    ratio = torch.nan_to_num(difference / (difference + 1), nan=1.0, posinf=1.0, neginf=1.0)
    scale = torch.maximum(ratio, one)
    return torch.where(ratio > 2, one * large, scale) if large else scale
