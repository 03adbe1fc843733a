"""A tau that falls in equal blocks of epochs: the annealing of Annealing-KD (Jafari et al., EACL 2021).

For epoch e of E, counted from 0, and K = ``levels``:

    k = 1 + floor(K e / E),  tau = K / k

so the first block has tau = K, and the last one tau = 1; k/K is the factor of the paper, by which the teacher's logits
are multiplied. Here tau divides the logits of both networks, and the weight is tau^2, as for every temperature. The
method's own loss, ``annealing``, divides the teacher's logits only. Fewer epochs than levels skip some levels.

Hidden tuning: ``levels`` (10 on CIFAR, fewer in the paper's other experiments).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import TAU_RANGE
from kdtune.temperature.base import PolicyContext
from kdtune.temperature.per_epoch import OnePerEpoch


class Options(FrozenModel):
    """The number of levels, which is also the first tau."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"levels": 3}]})

    levels: int = Field(default=10, ge=1, le=int(TAU_RANGE[1]), strict=True)


class Annealed(OnePerEpoch):
    """Uses one tau for all steps of an epoch, and lowers it from block to block."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep the options."""
        super().__init__(options, context)
        assert isinstance(options, Options)
        self._levels = options.levels

    def tau_of(self, epoch: int) -> float:
        """Return the tau of an epoch, counted from 0."""
        level = min(self._levels, 1 + self._levels * epoch // self.context.epochs)
        return self._levels / level
