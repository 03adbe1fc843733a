"""The loss of SSD, as sums over selected anchors that distillation losses and temperatures see as pairs of logits.

    L = [(1 - alpha) sum_S CE + alpha sum_S D + lambda sum_P smoothL1 + nu sum_P b] / max(1, |P|) + h MSE

P are the anchors with an object. S adds the hardest of the others: for each image the 3 |P| with the greatest
cross-entropy of the student, at tau 1, so that the selection does not depend on the temperature. D is the distillation
term of an anchor, multiplied by the weight of the background where there is no object. b is the teacher-bounded loss of
offsets, and MSE the mean squared difference of all logits from the teacher's, which knows no temperature; lambda, nu, h
and the weight of the background are options, and the last two terms are left out by default. Without objects in
a batch, the rest of the loss is 0.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.tasks.detection.matching import BACKGROUND, Matched
from kdtune.tasks.detection.options import Options

#: Anchors of the background for each anchor with an object.
NEGATIVES = 3


def selected(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return which anchors count: those with an object, and the hardest others; bool, (n, anchors).

    Args:
        logits: Of the student, (n, anchors, classes + 1).
        labels: int64, (n, anchors).
    """
    with torch.no_grad():
        is_object = labels != BACKGROUND
        losses = F.cross_entropy(logits.detach().flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        order = torch.where(is_object, -torch.inf, losses).argsort(dim=1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, _numbers(order))
        negatives = NEGATIVES * is_object.sum(dim=1, keepdim=True)
        return is_object | (rank < negatives)


def objects_of(labels: torch.Tensor) -> torch.Tensor:
    """Return the number of anchors with an object, at least 1, float32, 0-d."""
    return (labels != BACKGROUND).sum().clamp(min=1).float()


def label_loss(logits: torch.Tensor, targets: Matched) -> torch.Tensor:
    """Return the cross-entropy in nats, summed over the selected anchors and divided by the number with an object."""
    counts = selected(logits, targets.labels)
    losses = F.cross_entropy(logits.flatten(0, 1), targets.labels.flatten(), reduction="none").view(counts.shape)
    return torch.where(counts, losses, 0.0).sum() / objects_of(targets.labels)


def pair_weights(logits: torch.Tensor, targets: Matched, background: float = 1.0) -> torch.Tensor:
    """Return weights with which the mean over all anchors is the sum over the selected ones, divided by the objects.

    Args:
        logits: Of the student, (n, anchors, classes + 1).
        targets: Of the same images.
        background: Weight of anchors of the background.

    Returns:
        float32, (n * anchors,).
    """
    labels = targets.labels
    weights = torch.where(labels == BACKGROUND, background, 1.0) * labels.numel() / objects_of(labels)
    return torch.where(selected(logits, labels), weights, 0.0).flatten()


def box_loss(
    offsets: torch.Tensor, teacher_offsets: torch.Tensor | None, targets: Matched, options: Options
) -> torch.Tensor:
    """Return the weighted losses of the offsets of anchors with an object, divided by their number.

    Args:
        offsets: Of the student, (n, anchors, 4).
        teacher_offsets: Of the teacher; None in a training without one.
        targets: Of the same images.
        options: Weights of the parts of the loss.
    """
    is_object = (targets.labels != BACKGROUND).unsqueeze(2)
    smooth = F.smooth_l1_loss(offsets, targets.offsets, reduction="none")
    total = options.box_weight * torch.where(is_object, smooth, 0.0).sum()
    if options.bounded_weight and teacher_offsets is not None:
        total = total + options.bounded_weight * bounded(offsets, teacher_offsets, targets, options.margin).sum()
    return total / objects_of(targets.labels)


def bounded(
    offsets: torch.Tensor, teacher_offsets: torch.Tensor, targets: Matched, margin: float = 0.0
) -> torch.Tensor:
    """Return the squared error of each anchor with an object, unless it is less than the teacher's by a margin.

    Returns:
        (n, anchors); 0 where the student is better than the teacher, and for the background.
    """
    own = (offsets - targets.offsets).square().sum(dim=2)
    teachers = (teacher_offsets - targets.offsets).square().sum(dim=2)
    counts = (targets.labels != BACKGROUND) & (own.detach() + margin > teachers)
    return torch.where(counts, own, 0.0)


def hint(logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of all logits, 0-d; both (n, anchors, classes + 1)."""
    return F.mse_loss(logits, teacher_logits)


def _numbers(order: torch.Tensor) -> torch.Tensor:
    return torch.arange(order.shape[1], device=order.device).expand_as(order)
