"""Distillation at several temperatures at once (Jin, Wang and Lin, "Multi-Level Logit Distillation", CVPR 2023).

    L = alpha mean over f of (f tau)^2 KL(softmax(z_t / (f tau)), softmax(z_s / (f tau))) + (1 - alpha) CE

The factors f are 0.5, 0.75, 1, 1.25 and 1.5, so that tau = 4 gives the published set {2, 3, 4, 5, 6}. With the set in
proportion to tau, it can be searched like any tau.

This is the instance level of that method without its other parts: its classes' and batches' correlations, its second
augmentation and its mask of confident images. Its code adds the terms of the temperatures up; the mean is used here, so
that ``alpha`` keeps its meaning.

Hidden tuning: the set. It is that of the authors' code for CIFAR-100, which has no validation part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, Field

from kdtune.methods import base
from kdtune.temperature.base import Temperature

if TYPE_CHECKING:
    import torch


class Options(base.Options):
    """The temperatures.

    Attributes:
        factors: The temperatures, as multiples of tau.
    """

    factors: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(0.5, 0.75, 1.0, 1.25, 1.5), min_length=1, max_length=100
    )


class MultiTemperature(base.MethodLoss):
    """Mean of tau^2 KL over several multiples of tau."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel) -> None:
        """Keep the factors."""
        super().__init__(options)
        assert isinstance(options, Options)
        self._factors = options.factors

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the mean over the temperatures of tau^2 KL of each pair, (n,)."""
        from kdtune.methods.losses import softened_kl

        total = student_logits.new_zeros(len(student_logits))
        for factor in self._factors:
            own = Temperature(
                student=factor * temperature.student,
                teacher=factor * temperature.teacher,
                weight=factor**2 * temperature.weight,
            )
            total = total + own.weight * softened_kl(student_logits, teacher_logits, own)
        return total / len(self._factors)
