"""The paper's distillation losses (PLOS ONE 2023, e0285668, equations 1 and 2), and cross-entropy.

Every loss has the same arguments, for n pairs of logits: one pair for each image of a batch, or for each anchor.

    student_logits: (n, classes), with gradient.
    teacher_logits: (n, classes), without gradient.
    labels: int64, (n,).
    temperature: Temperature of this step.
    alpha: Weight of the distillation term; 1 - alpha is the weight of the loss with the labels.

It returns a 0-d tensor, the mean over the pairs. Three keyword arguments are optional. A loss without the first two
serves classification with unweighted classes only.

    label_loss: Function without arguments that computes the loss with the labels, weighted as the study says; None
        stands for the mean cross-entropy.
    pair_weights: Weights of the pairs in the distillation term, float32, (n,); None weighs all alike.
    progress: Share of the training's epochs that have begun, above 0 and up to 1, float32, 0-d.

A loss with options of its own is a class; see :mod:`kdtune.methods.base`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.temperature.base import Temperature

#: Computes the loss with the labels.
LabelLoss = Callable[[], torch.Tensor]


def softened_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature) -> torch.Tensor:
    """Return KL(teacher, student) of the softened outputs in nats, summed over classes: (batch,).

    The paper prints it with the opposite sign. This is the divergence, which is never negative.
    """
    student = F.log_softmax(student_logits / temperature.student, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature.teacher, dim=1)
    return (teacher.exp() * (teacher - student)).sum(dim=1)


def _with_labels(
    distillation: torch.Tensor,
    student_logits: torch.Tensor,
    labels: torch.Tensor,
    alpha: float,
    label_loss: LabelLoss | None,
) -> torch.Tensor:
    # If the labels have no weight, their loss is not computed.
    if alpha == 1.0:
        return distillation
    return alpha * distillation + (1.0 - alpha) * of_labels(student_logits, labels, label_loss)


def of_labels(student_logits: torch.Tensor, labels: torch.Tensor, label_loss: LabelLoss | None) -> torch.Tensor:
    """Return the loss with the labels, 0-d."""
    return label_loss() if label_loss else F.cross_entropy(student_logits, labels)


def weighted_mean(distillation: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of values for each pair, (n,) or (n, classes), with the pairs weighted."""
    if weights is None:
        return distillation.mean()
    return (weights.view(-1, *[1] * (distillation.dim() - 1)) * distillation).mean()


def hkd(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
    label_loss: LabelLoss | None = None,
    pair_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Hinton's distillation: alpha tau^2 KL(teacher, student) + (1 - alpha) CE (equations 1 and 2)."""
    kl = softened_kl(student_logits, teacher_logits, temperature)
    return _with_labels(weighted_mean(temperature.weight * kl, pair_weights), student_logits, labels, alpha, label_loss)


def cmc(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
    label_loss: LabelLoss | None = None,
    pair_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over batch and classes of the squared difference of the logits, each divided by tau.

    This is the paper's modified form; tau = 1 gives the original. A fixed tau only scales this loss, by 1 / tau^2.
    """
    difference = student_logits / temperature.student - teacher_logits / temperature.teacher
    return _with_labels(weighted_mean(difference.square(), pair_weights), student_logits, labels, alpha, label_loss)


def dml(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    alpha: float,
    label_loss: LabelLoss | None = None,
    pair_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """KL(teacher, student) of the softened outputs without the weight tau^2; tau = 1 gives the original form."""
    kl = softened_kl(student_logits, teacher_logits, temperature)
    return _with_labels(weighted_mean(kl, pair_weights), student_logits, labels, alpha, label_loss)


def ce(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor | None,
    labels: torch.Tensor,
    temperature: Temperature | None,
    alpha: float,
    label_loss: LabelLoss | None = None,
    pair_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Loss with the labels, of classifiers the cross-entropy in nats. The other arguments are not used."""
    return of_labels(student_logits, labels, label_loss)
