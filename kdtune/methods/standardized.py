"""Logit standardisation (Sun, Ren, Li, Wang and Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024).

For the logits z of each network and image, with mean and sample standard deviation over the classes:

    z~ = (z - mean(z)) / std(z)
    L = 0.1 CE + 9 tau^2 KL(softmax(z~_t / tau), softmax(z~_s / tau)),  tau = 2

Gradients flow through mean and std into the student's logits. A softmax does not depend on the mean, so each network
is softened by tau std(z); this is NormKD with another weight (see :mod:`kdtune.temperature.normkd`).

Tau stays open: every strategy and policy that decides it can be used with this loss. It is in units of the standard
deviation.

Guard: the paper divides by std + 1e-7; here std is the root of the variance plus 1e-14, because the root of the
variance of equal logits has no gradient. The two differ by less than 1e-7.

Hidden tuning: tau and the weight 9, picked per pair of networks. The names of the authors' log files give tau 2 for
ResNet32x4 to ResNet8x4, 3 for VGG13 to MobileNetV2, and tau 3 with weight 1 for ResNet50 to MobileNetV2. There is no
validation part in their code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from kdtune.methods import base
from kdtune.temperature.base import Temperature

if TYPE_CHECKING:
    import torch


class Options(base.Options):
    """The authors' weights of both terms."""

    weight: base.OptionalWeight = 9
    label_weight: base.OptionalWeight = 0.1


class Standardized(base.MethodLoss):
    """KL of the softened outputs of standardised logits, times tau^2."""

    Options: ClassVar[type[BaseModel]] = Options

    def softness(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature
    ) -> Temperature:
        """Return tau times the standard deviation of each network's logits, and the weight tau^2."""
        from kdtune.temperature.normkd import standard_deviation

        return Temperature(
            student=temperature.student * standard_deviation(student_logits),
            teacher=temperature.teacher * standard_deviation(teacher_logits),
            weight=temperature.weight,
        )

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return tau^2 KL of each pair, (n,)."""
        from kdtune.methods.losses import softened_kl

        own = self.softness(student_logits, teacher_logits, temperature)
        return own.weight * softened_kl(student_logits, teacher_logits, own)
