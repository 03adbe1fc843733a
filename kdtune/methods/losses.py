"""The paper's distillation losses (PLOS ONE 2023, e0285668, equations 1 and 2), and cross-entropy.

Every loss has the same arguments:

    student_logits: (batch, classes), with gradient.
    teacher_logits: (batch, classes), without gradient.
    labels: int64, (batch,).
    temperature: Temperature of this step.
    alpha: Weight of the distillation term; 1 - alpha is the weight of the cross-entropy with the labels.

It returns a 0-d tensor, the mean over the batch.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.temperature.base import Temperature


def softened_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature) -> torch.Tensor:
    """Return KL(teacher, student) of the softened outputs in nats, summed over classes: (batch,).

    The paper prints it with the opposite sign. This is the divergence, which is never negative.
    """
    student = F.log_softmax(student_logits / temperature.student, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature.teacher, dim=1)
    return (teacher.exp() * (teacher - student)).sum(dim=1)


def _with_labels(
    distillation: torch.Tensor, student_logits: torch.Tensor, labels: torch.Tensor, alpha: float
) -> torch.Tensor:
    # If the labels have no weight, their cross-entropy is not computed.
    if alpha == 1.0:
        return distillation
    return alpha * distillation + (1.0 - alpha) * F.cross_entropy(student_logits, labels)


def hkd(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
) -> torch.Tensor:
    """Hinton's distillation: alpha tau^2 KL(teacher, student) + (1 - alpha) CE (equations 1 and 2)."""
    kl = softened_kl(student_logits, teacher_logits, temperature)
    return _with_labels((temperature.weight * kl).mean(), student_logits, labels, alpha)


def cmc(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
) -> torch.Tensor:
    """Mean over batch and classes of the squared difference of the logits, each divided by tau.

    This is the paper's modified form; tau = 1 gives the original. A fixed tau only scales this loss, by 1 / tau^2.
    """
    difference = student_logits / temperature.student - teacher_logits / temperature.teacher
    return _with_labels(difference.square().mean(), student_logits, labels, alpha)


def dml(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
) -> torch.Tensor:
    """KL(teacher, student) of the softened outputs without the weight tau^2; tau = 1 gives the original form."""
    kl = softened_kl(student_logits, teacher_logits, temperature)
    return _with_labels(kl.mean(), student_logits, labels, alpha)


def ce(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor | None,
    labels: torch.Tensor,
    temperature: Temperature | None,
    alpha: float,
) -> torch.Tensor:
    """Cross-entropy with the labels in nats. Teacher, temperature and alpha are not used."""
    return F.cross_entropy(student_logits, labels)
