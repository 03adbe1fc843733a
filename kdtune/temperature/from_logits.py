"""What the temperatures have in common that give every image a tau computed from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kdtune.temperature.base import Temperature
from kdtune.temperature.in_graph import InGraph

if TYPE_CHECKING:
    import torch


class FromLogits(InGraph):
    """Base class: tau depends on the logits of the step alone, so that nothing is kept from step to step."""

    depends_on_context: ClassVar[bool] = False

    def of_logits(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        """Return one tau per image, computed in float32 at least."""
        return self.of_images(at_least_float32(student_logits), at_least_float32(teacher_logits))

    def of_images(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> Temperature:
        """Return the temperature of a batch; both logits have the shape (batch, classes)."""
        raise NotImplementedError

    def kept(self) -> dict[str, torch.Tensor]:
        """Return nothing."""
        return {}


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """Return logits of a lower precision in float32, and others as they are."""
    import torch

    return logits.to(torch.promote_types(logits.dtype, torch.float32))
