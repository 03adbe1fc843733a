"""Transformed teacher matching, TTM and WTTM (Zheng and Yang, ICLR 2024, arXiv 2402.11148).

Only the teacher is softened. With its outputs p_t = softmax(z_t) and gamma = 1 / tau:

    q = p_t^gamma / sum_c p_t^gamma = softmax(z_t / tau)
    TTM:   L = CE + weight KL(q, softmax(z_s))
    WTTM:  L = CE + weight (sum_c p_t^gamma) KL(q, softmax(z_s)),  for each image

There is no factor tau^2. The teacher's sum is 1 for a certain teacher and grows with the spread of its outputs (up to
classes^(1 - gamma)), so WTTM gives images with smoother outputs more weight.

Tau is the teacher's. A policy that gives the networks different temperatures has no effect on the student's side.

Hidden tuning: gamma (0.1 to 0.2, which is tau 10 to 5) and the weight, both listed for every experiment in appendix A.4
of the paper. The defaults are those of the examples in the authors' code: gamma 0.1 and weight 45 for TTM, VGG13
to VGG8; gamma 0.2 and weight 4 for WTTM, where it is combined with another method. There is no validation part in that
code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from kdtune.methods import base
from kdtune.temperature.base import Temperature

if TYPE_CHECKING:
    import torch


class Options(base.Options):
    """The weights of TTM."""

    weight: base.OptionalWeight = 45
    label_weight: base.OptionalWeight = 1


class WeightedOptions(Options):
    """The weights of WTTM."""

    weight: base.OptionalWeight = 4


class Ttm(base.MethodLoss):
    """KL of the student's plain outputs from the softened ones of the teacher."""

    Options: ClassVar[type[BaseModel]] = Options

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the KL of each pair, (n,)."""
        import torch

        from kdtune.methods.losses import softened_kl

        plain = torch.ones_like(temperature.teacher)
        own = Temperature(student=plain, teacher=temperature.teacher, weight=plain)
        return softened_kl(student_logits, teacher_logits, own)


class Wttm(Ttm):
    """The same, with each pair weighted by the sum of the teacher's powers."""

    Options: ClassVar[type[BaseModel]] = WeightedOptions

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the weighted KL of each pair, (n,)."""
        powers = (teacher_logits.log_softmax(dim=1) / temperature.teacher).exp()
        kl = super().of_pairs(student_logits, teacher_logits, temperature, progress)
        return powers.sum(dim=1) * kl
