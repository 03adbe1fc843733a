"""The learned temperature of curriculum temperature knowledge distillation, CTKD (Li et al., AAAI 2023, global form).

    tau = ``start`` + ``range`` sigmoid(theta),  theta = 1 at first, so tau starts at 15.62

for both networks and the weight tau^2, through which gradients flow as well. Theta is trained by the student's
optimiser with its learning rate, momentum and weight decay. Its gradient is multiplied by

    (1 + cos(pi min(e, ``ramp``) / ``ramp``)) / 2 - 1

in epoch e, counted from 1: from 0 to -1 over the epochs of the ramp, and -1 afterwards. So theta ascends, and tau makes
the loss harder. Theta and the factor stay on the device, so the steps can be captured as a graph.

Notes on the source: the whole loss is 0.1 CE + 0.9 tau^2 KL, which is the loss ``hkd`` at ``alpha`` 0.9; under another
alpha or loss the published figures are not to be expected. The paper counts epochs from 0 in its equation 9, the
authors' code from 1, as above. The form with a tau for each image, which needs a network of its own, is not here.

Hidden tuning: ``start`` 1, ``range`` 20, ``ramp`` 10 epochs of 240, and theta's first value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.in_graph import InGraph

if TYPE_CHECKING:
    import torch

#: The first value of theta.
THETA = 1.0


class Options(FrozenModel):
    """The range of the learned tau, and how fast its ascent begins.

    Attributes:
        start: The lower limit of tau.
        range: The upper limit less the lower one.
        ramp: Epochs until the gradient of theta is fully reversed; 0 reverses it from the first epoch.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"start": 2, "range": 8, "ramp": 0}]})

    start: Tau = 1
    range: Tau = 20
    ramp: int = Field(default=10, ge=0, strict=True)


class Ctkd(InGraph):
    """Learns one tau for all images, against the student."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Begin with the first theta."""
        import torch

        super().__init__(options, context)
        assert isinstance(options, Options)
        self._options = options
        self._theta = torch.nn.Parameter(torch.full((), THETA, device=context.device))
        self._factor = torch.empty((), device=context.device)

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the epoch's factor of the gradient."""
        super().begin_epoch(epoch, steps)
        ramp = self._options.ramp
        share = min(epoch + 1, ramp) / ramp if ramp else 1.0
        # The device fills it: a copy from the host would wait for the queued work.
        self._factor.fill_((1 + math.cos(math.pi * share)) / 2 - 1)

    def of_logits(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        """Return the present tau, whose gradient reaches theta reversed."""
        value = self._theta.detach()
        theta = value + self._factor * (self._theta - value)  # equals theta; only its gradient has the factor
        return Temperature.same(float(self._options.start) + float(self._options.range) * theta.sigmoid())

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """Return theta."""
        return [self._theta]

    def kept(self) -> dict[str, torch.Tensor]:
        """Return theta."""
        return {"theta": self._theta}
