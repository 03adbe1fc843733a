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
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext
from kdtune.temperature.per_epoch import OnePerEpoch


class Options(FrozenModel):
    """The tau of the first epoch, which can be searched, and that of the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tau": 4}, {"tau": 8, "last": 2}]})

    tau: Tau
    last: Tau = 1


class Cosine(OnePerEpoch):
    """Uses one tau for all steps of an epoch, and lowers it from epoch to epoch."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep the options."""
        super().__init__(options, context)
        assert isinstance(options, Options)
        self._first, self._last = float(options.tau), float(options.last)

    def tau_of(self, epoch: int) -> float:
        """Return the tau of an epoch, counted from 0."""
        share = min(1.0, epoch / max(1, self.context.epochs - 1))
        return self._last + (self._first - self._last) * (1 + math.cos(math.pi * share)) / 2
