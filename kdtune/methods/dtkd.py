"""The whole loss of dynamic temperature knowledge distillation, DTKD (Wei and Bai, arXiv 2404.12711, 2024).

    L = min(e / 20, 1) [3 mean(tau_s tau_t KL_i) + tau^2 KL at tau] + CE,  tau = 4

tau_s and tau_t are the pair of temperatures of image i (see :mod:`kdtune.temperature.dtkd`, with its guards), KL_i is
the divergence of the outputs softened by them, and e is the epoch, counted from 1.

The ramp is in proportion here: the authors train 240 epochs, so it takes 20/240 of the epochs of any study. In a study
of 12 epochs or fewer there is none.

Erratum: the authors' README says that formulas 4 and 5 of the paper are wrong; the form above is that of their code.

Hidden tuning: the weights 3, 1 and 1, tau and the ramp. They are those of the authors' code for CIFAR-100, which has no
validation part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from kdtune.methods import base
from kdtune.temperature.base import Temperature

if TYPE_CHECKING:
    import torch


class Options(base.Options):
    """The weights of the three terms, and the ramp of the first two.

    Attributes:
        weight: Weight of both terms of distillation together.
        label_weight: Weight of the loss with the labels.
        dynamic_weight: Weight of the term with a pair of temperatures for each image.
        fixed_weight: Weight of the term at tau.
        ramp: Share of the epochs during which the terms of distillation grow to their full weight.
    """

    weight: base.OptionalWeight = 1
    label_weight: base.OptionalWeight = 1
    dynamic_weight: base.Weight = 3
    fixed_weight: base.Weight = 1
    ramp: float = Field(default=20 / 240, ge=0, le=1)


class DynamicTemperature(base.MethodLoss):
    """Two terms of distillation, at temperatures of each image and at tau, which grow during the first epochs."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel) -> None:
        """Keep the options."""
        super().__init__(options)
        assert isinstance(options, Options)
        self._options = options

    def softness(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature
    ) -> Temperature:
        """Return the pair of temperatures of each image, float64."""
        from kdtune.temperature.dtkd import pair_of_temperatures

        # If a policy gives the networks different temperatures, the reference is the teacher's.
        return pair_of_temperatures(student_logits.double(), teacher_logits.double(), temperature.teacher)

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the sum of both terms of each pair, (n,)."""
        from kdtune.methods.losses import softened_kl

        precision = student_logits.dtype
        # The weight's gradient is multiplied by the divergence, which float32 rounds too coarsely for tau above 100.
        student_logits, teacher_logits = student_logits.double(), teacher_logits.double()
        own = self.softness(student_logits, teacher_logits, temperature)
        dynamic = own.weight * softened_kl(student_logits, teacher_logits, own)
        fixed = temperature.weight * softened_kl(student_logits, teacher_logits, temperature)
        both = (self._options.dynamic_weight * dynamic + self._options.fixed_weight * fixed).to(precision)
        if progress is None or not self._options.ramp:
            return both
        return (progress / self._options.ramp).clamp(max=1) * both
