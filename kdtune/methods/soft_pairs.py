"""What distillation losses and temperatures see of a batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # strategies and plans import this module, and have no other need of torch
    import torch


@dataclass(frozen=True)
class SoftPairs:
    """All that distillation losses and temperatures see of a batch: one pair for each image, or for each anchor.

    Attributes:
        student: Logits with gradient, float32, (n, classes), in the order of the images, with equally many for each.
        teacher: Logits without gradient, (n, classes); None in a training without a teacher.
        labels: True classes, int64, (n,).
        weights: Weights of the pairs in the mean of the distillation term, float32, (n,); None weighs all alike.
        further_loss: Part of the loss that no distillation loss sees and that is added to it, such as that of boxes,
            0-d; None for no such part.
    """

    student: "torch.Tensor"
    teacher: "torch.Tensor | None"
    labels: "torch.Tensor"
    weights: "torch.Tensor | None" = None
    further_loss: "torch.Tensor | None" = None
