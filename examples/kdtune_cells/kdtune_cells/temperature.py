"""A temperature for each image: the surer the teacher, the higher tau. Torch is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """The tau of an image about which the teacher is quite unsure, and of one about which it is certain."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"unsure": 2, "sure": 8}]})

    unsure: Tau = 2
    sure: Tau = 8


class Confidence(TemperaturePolicy):
    """Moves tau from ``unsure`` to ``sure`` with the greatest probability that the teacher gives to a class."""

    Options = Options

    def __init__(self, options: Options, context: PolicyContext) -> None:
        """Take the options; there is nothing to draw, and nothing to save in a checkpoint."""
        self._options = options

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return one tau per image; both logits have the shape (batch, classes)."""
        confidence = teacher_logits.float().softmax(dim=1).amax(dim=1, keepdim=True)
        return Temperature.same(self._options.unsure + confidence * (self._options.sure - self._options.unsure))
