"""Temperatures in proportion to the spread of the logits, NormKD (Chi, Zheng, Li et al., arXiv 2308.00520, 2023).

With std the sample standard deviation of an image's logits over the classes, and the factor ``tau`` (k in the paper):

    tau_s = tau std(z_s),  tau_t = tau std(z_t),  weight = tau_t^2

The weight is not tau_s tau_t: images of which the teacher is certain, with large logits, weigh more. Gradients flow
through tau_s into the student's logits. Dividing the logits by tau std gives the softened outputs of logit
standardisation at the same ``tau``, because a softmax does not depend on the mean; the two methods differ in the weight
alone (see :mod:`kdtune.methods.standardized`).

The authors' loss is 0.9 of this and 0.1 of the cross-entropy, which is ``hkd`` with alpha 0.9.

Guard: std is the root of the variance plus 1e-14, so that equal logits have a gradient.

Hidden tuning: ``tau`` = 2, the default of the authors' code for CIFAR-100, which has no validation part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.from_logits import FromLogits

if TYPE_CHECKING:
    import torch

#: Standard deviation of equal logits, whose own has no gradient.
LEAST_DEVIATION = 1e-7


class Options(FrozenModel):
    """The temperature of logits whose standard deviation is 1, which can be searched."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"tau": 4}]})

    tau: Tau = 2


class NormKd(FromLogits):
    """Softens each network's outputs for an image in proportion to the spread of its logits."""

    Options: ClassVar[type[BaseModel]] = Options
    weight_is_tau_squared = False

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep the factor."""
        super().__init__(options, context)
        assert isinstance(options, Options)
        self._tau = float(options.tau)

    def of_images(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> Temperature:
        """Return a tau per image for each network."""
        student, teacher = (self._tau * standard_deviation(logits) for logits in (student_logits, teacher_logits))
        return Temperature(student=student, teacher=teacher, weight=teacher.square().squeeze(1))


def standard_deviation(logits: torch.Tensor) -> torch.Tensor:
    """Return the sample standard deviation of each row over the classes, (n, 1), at least 1e-7."""
    return (logits.var(dim=1, keepdim=True) + LEAST_DEVIATION**2).sqrt()
