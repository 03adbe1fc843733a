"""A tau for each image from its greatest logit (Matsuyama, Anjum et al., arXiv 2503.09030, 2025).

With standardised logits z~ (see :mod:`kdtune.methods.standardized`) and the greatest magnitude m of an image's logits:

    m = max over the classes of max(|z~_s|, |z~_t|),  without a gradient
    tau_i = (1 + sqrt(3)) / 2 m
    L = 0.1 CE + mean of (9 tau_i^2 KL(softmax(z~_t / tau_i), softmax(z~_s / tau_i)))

The factor (1 + sqrt(3)) / 2 = 1.36603 is ``tau`` here, rounded to 1.366, so that it can be searched like any tau.

Discrepancy: the abstract of the paper says that the method refers only to the maximum logit of the teacher. The
authors' code, from which the formulas above are taken, uses the magnitudes of both networks' logits, and only where
the logits are standardised.

Hidden tuning: the weight 9, which the example of the authors' code takes from logit standardisation. That code has no
validation part, and chooses the best epoch by test images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdtune.methods.standardized import Standardized

if TYPE_CHECKING:
    import torch

    from kdtune.temperature.base import Temperature


class MaxLogit(Standardized):
    """KL of the softened outputs of standardised logits, at a tau for each image."""

    def softness(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature
    ) -> Temperature:
        """Return the temperatures of each pair, which ``temperature`` multiplies."""
        import torch

        from kdtune.temperature.base import Temperature

        whole = super().softness(student_logits, teacher_logits, temperature)
        with torch.no_grad():
            greatest = torch.maximum(_greatest_standardised(student_logits), _greatest_standardised(teacher_logits))
        return Temperature(
            student=whole.student * greatest,
            teacher=whole.teacher * greatest,
            weight=whole.weight * greatest.square().squeeze(1),
        )


def _greatest_standardised(logits: torch.Tensor) -> torch.Tensor:
    """Return the greatest magnitude of each row's standardised logits, (n, 1), above 0."""
    from kdtune.temperature.normkd import standard_deviation

    centred = logits - logits.mean(dim=1, keepdim=True)
    return (centred / standard_deviation(logits)).abs().amax(dim=1, keepdim=True).clamp(min=LEAST)


#: The greatest magnitude of logits that are all equal, which would otherwise be 0. That of others is at least 0.7.
LEAST = 0.7
