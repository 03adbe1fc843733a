"""A symmetric loss: the Jensen-Shannon divergence of the softened outputs."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.temperature.base import Temperature


def jensen_shannon(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
) -> torch.Tensor:
    """Return alpha tau^2 JS(teacher, student) + (1 - alpha) CE in nats, the mean over the batch.

    Args:
        student_logits: (batch, classes), with gradient.
        teacher_logits: (batch, classes), without gradient.
        labels: int64, (batch,).
        temperature: Temperature of this step.
        alpha: Weight of the distillation term.
    """
    student = F.log_softmax(student_logits / temperature.student, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature.teacher, dim=1)
    mean = torch.logaddexp(student, teacher) - math.log(2)
    divergence = sum((one.exp() * (one - mean)).sum(dim=1) for one in (student, teacher)) / 2
    return alpha * (temperature.weight * divergence).mean() + (1 - alpha) * F.cross_entropy(student_logits, labels)
