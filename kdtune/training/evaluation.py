"""How good a network is on images that it was not trained on."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from kdtune.data.batches import ImageSet
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.numerics import Arithmetic

#: Images a forward pass: no gradients are kept, so it may be larger than a training batch.
BATCH_SIZE = 512

#: By name, None where a metric is not defined.
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """Results on one set of images.

    Attributes:
        accuracy: Fraction classified rightly.
        loss: Mean cross-entropy with the labels, in nats, unsoftened, so that it compares across losses and taus.
        predictions: Predicted class of each image in order, int64, (N,), on the CPU.
    """

    accuracy: float
    loss: float
    predictions: torch.Tensor


@torch.no_grad()
def evaluate(
    model: torch.nn.Module,
    images: ImageSet,
    arithmetic: Arithmetic | None = None,
    captured: CapturedLogits | None = None,
) -> Evaluation:
    """Evaluate a classifier, its normalisation layers in inference mode; the mode is restored afterwards.

    Args:
        model: From images to logits.
        images: To be classified.
        arithmetic: Precision and memory layout; None for float32, contiguous.
        captured: Gives the network's logits for the images, from graphs for :data:`BATCH_SIZE`; None computes them.
    """
    arithmetic = arithmetic or Arithmetic(images.labels.device)
    was_training = model.training
    model.eval()
    predictions, losses = [], []
    for logits, labels in _logits(model, images, arithmetic, captured):
        predictions.append(logits.argmax(dim=1))
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
    model.train(was_training)
    predicted = torch.cat(predictions)
    return Evaluation(
        accuracy=float((predicted == images.labels).double().mean()),
        loss=float(torch.stack(losses).double().sum() / len(images)),
        predictions=predicted.cpu(),
    )


def _logits(
    model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic, captured: CapturedLogits | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and labels of one batch after the other."""
    if captured is not None:
        yield from zip(captured.of_all().split(BATCH_SIZE), images.labels.split(BATCH_SIZE), strict=True)
        return
    for batch, labels in images.in_order(BATCH_SIZE):
        yield arithmetic.logits(model, batch), labels


def confusion_matrix(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """How many images of each class were taken for which.

    Args:
        predictions: Predicted classes, int64, (N,).
        labels: True classes, int64, (N,).
        num_classes: How many classes there are.

    Returns:
        Counts, int64, (num_classes, num_classes): a row for each true class, a column for each predicted one.
    """
    return torch.bincount(labels * num_classes + predictions, minlength=num_classes**2).view(num_classes, num_classes)


def classification_metrics(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> Metrics:
    """The standard metrics, macro-averaged over classes, one class against the rest; and two of the paper's own.

    What is not defined: a class that has images and is never predicted has a precision and an F1 of 0; one that has
    neither images nor predictions is left out of these means. Where all images are of one class its specificity is 0,
    and kappa, if all are predicted rightly, None. Prevalence is 1 / classes whatever the images are.

    Table 5 of PLOS ONE 2023, e0285668, is of CIFAR-10, whose test set is balanced. Its accuracy, precision, recall
    and F1 are these. Cohen's kappa is (accuracy - 0.1) / 0.9 on any such set: 0.942, 0.907 and 0.909, of which 0.94,
    0.90 and 0.91 are printed, and no way of rounding gives the second beside the third. Its specificity of 0.95, 0.92
    and 0.92 and its prevalence of 0.09 are not the standard ones, 0.99 and 0.10; the released notebook computes no
    specificity and prints a prevalence of 0.1. What reproduces the table and is least far from the names is given
    beside the standard metrics (on a balanced set recall in place of specificity would do so too):

    ``paper_specificity``: Of the images of all other classes, the share that was given its own class; mean over
        classes.
    ``paper_prevalence``: The share of all images that was rightly given a class, mean over classes; elsewhere called
        the detection rate, it is accuracy / classes.

    Args:
        predictions: Predicted classes, int64, (N,).
        labels: True classes, int64, (N,).
        num_classes: How many classes there are, at least 2.

    Returns:
        Fractions: accuracy, precision, recall, specificity, Cohen's kappa, prevalence, F1, and the paper's.
    """
    confusion = confusion_matrix(predictions, labels, num_classes).double()
    right, images, predicted, total = confusion.diag(), confusion.sum(dim=1), confusion.sum(dim=0), confusion.sum()
    occurs = images + predicted > 0

    def macro(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        return torch.where(whole > 0, part / whole, 0.0)[occurs].mean()

    by_chance = (images * predicted).sum() / total**2
    of_others = ((right.sum() - right) / (total - images))[images < total]
    values = {
        "accuracy": right.sum() / total,
        "precision": macro(right, predicted),
        "recall": macro(right, images),
        "specificity": macro(total - images - predicted + right, total - images),
        "kappa": (right.sum() / total - by_chance) / (1 - by_chance),
        "prevalence": (images / total).mean(),
        "f1": macro(2 * right, images + predicted),
        "paper_specificity": of_others.mean(),
        "paper_prevalence": (right / total).mean(),
    }
    return {name: None if value.isnan() else float(value) for name, value in values.items()}
