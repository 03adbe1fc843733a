"""What the temperatures have in common that give every image a tau computed from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel


class FromLogits(TemperaturePolicy):
    """Base class: keeps the mean tau of every step on the device until the epoch has ended.

    Such a policy has no state that outlives an epoch: what it computes depends on the logits of the step alone.
    """

    depends_on_logits = True

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Begin without a recorded step."""
        self._means: list[torch.Tensor] = []

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Forget the steps of the epoch before."""
        self._means = []

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return one tau per image, computed in float32 at least."""
        temperature = self.of_images(at_least_float32(student_logits), at_least_float32(teacher_logits))
        self._means.append(temperature.student.detach().mean())
        return temperature

    def of_images(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> Temperature:
        """Return the temperature of a batch; both logits have the shape (batch, classes)."""
        raise NotImplementedError

    def epoch_tau(self) -> float | None:
        """Return the mean over the steps of the student's mean tau; None before the first step."""
        import torch

        return float(torch.stack(self._means).mean()) if self._means else None


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """Return logits of a lower precision in float32, and others as they are."""
    import torch

    return logits.to(torch.promote_types(logits.dtype, torch.float32))
