"""The pair of temperatures of dynamic temperature knowledge distillation, DTKD (Wei and Bai, arXiv 2404.12711, 2024).

With m_s and m_t the greatest logit of an image in student and teacher, and the reference temperature ``tau``:

    tau_s = 2 tau m_s / (m_s + m_t),  tau_t = 2 tau m_t / (m_s + m_t),  weight = tau_s tau_t

The two always add up to 2 tau. Gradients flow through tau_s and the weight into the student's logits: the formula
detaches nothing.

Erratum: the authors' README says that formulas 4 and 5 of the paper are wrong; the form above is that of their code.

This is the temperature alone, and so a part of DTKD. The whole method has a term at the fixed tau, weights and a ramp
besides, and is the loss of :mod:`kdtune.methods.dtkd`. Under the loss ``hkd`` the published figures of DTKD are
therefore not to be expected.

Guards, which the paper does not have: a greatest logit below 0.000001 gives no ratio, so both networks then use
``tau``; and no temperature is less than ``tau``/20, which needs greatest logits that differ 39-fold.

Hidden tuning: the reference ``tau`` (4).
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

#: The least temperature, as a part of the reference temperature; the greatest is 2 less this part.
LEAST_PART = 0.05

#: A greatest logit up to this gives no ratio.
LEAST_LOGIT = 1e-6


class Options(FrozenModel):
    """The reference temperature, which can be searched."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tau": 4}, {"tau": 8}]})

    tau: Tau = 4


class Dtkd(FromLogits):
    """Softens the network with the larger greatest logit more."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep the reference temperature."""
        super().__init__(options, context)
        assert isinstance(options, Options)
        self._tau = float(options.tau)

    def of_images(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> Temperature:
        """Return a tau per image for each network."""
        return pair_of_temperatures(student_logits, teacher_logits, self._tau)


def pair_of_temperatures(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, tau: float | torch.Tensor
) -> Temperature:
    """Return a tau per image for each network.

    Args:
        student_logits: (n, classes).
        teacher_logits: (n, classes).
        tau: The reference temperature: a number, a 0-d tensor, or (n, 1).
    """
    import torch

    greatest_student = student_logits.amax(dim=1, keepdim=True)
    greatest_teacher = teacher_logits.amax(dim=1, keepdim=True)
    defined = (greatest_student > LEAST_LOGIT) & (greatest_teacher > LEAST_LOGIT)
    # Where the ratio is not defined, both are replaced before the division: its gradient would not be a number.
    one = torch.ones_like(greatest_student)
    greatest_student = torch.where(defined, greatest_student, one)
    greatest_teacher = torch.where(defined, greatest_teacher, one)
    part = 2 * greatest_student / (greatest_student + greatest_teacher)
    part = part.clamp(LEAST_PART, 2 - LEAST_PART)
    student, teacher = tau * part, tau * (2 - part)
    return Temperature(student=student, teacher=teacher, weight=(student * teacher).squeeze(1))
