"""How good a network is on images that it was not trained on."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from kdtune.data.batches import ImageSet
from kdtune.distill.numerics import Arithmetic

#: Images a forward pass: no gradients are kept, so it may be larger than a training batch.
BATCH_SIZE = 512


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
def evaluate(model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic | None = None) -> Evaluation:
    """Evaluate a classifier, its normalisation layers in inference mode; the mode is restored afterwards.

    Args:
        model: From images to logits.
        images: To be classified.
        arithmetic: Precision and memory layout; None for float32, contiguous.
    """
    arithmetic = arithmetic or Arithmetic(images.labels.device)
    was_training = model.training
    model.eval()
    predictions, losses = [], []
    for batch, labels in images.in_order(BATCH_SIZE):
        logits = arithmetic.logits(model, batch)
        predictions.append(logits.argmax(dim=1))
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
    model.train(was_training)
    predicted = torch.cat(predictions)
    return Evaluation(
        accuracy=float((predicted == images.labels).double().mean()),
        loss=float(torch.stack(losses).double().sum() / len(images)),
        predictions=predicted.cpu(),
    )


def classification_metrics(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> dict[str, float]:
    """The standard metrics, macro-averaged over classes, one class against the rest.

    Args:
        predictions: Predicted classes, int64, (N,).
        labels: True classes, int64, (N,).
        num_classes: How many classes there are.

    Returns:
        Fractions: accuracy, precision, recall, specificity, Cohen's kappa, prevalence and F1.
    """
    from torchmetrics.functional import classification as metrics

    macro: dict[str, Any] = {"num_classes": num_classes, "average": "macro"}
    confusion = metrics.multiclass_confusion_matrix(predictions, labels, num_classes=num_classes)
    values = {
        "accuracy": metrics.multiclass_accuracy(predictions, labels, num_classes=num_classes, average="micro"),
        "precision": metrics.multiclass_precision(predictions, labels, **macro),
        "recall": metrics.multiclass_recall(predictions, labels, **macro),
        "specificity": metrics.multiclass_specificity(predictions, labels, **macro),
        "kappa": metrics.multiclass_cohen_kappa(predictions, labels, num_classes=num_classes),
        "prevalence": (confusion.sum(dim=1) / confusion.sum()).mean(),
        "f1": metrics.multiclass_f1_score(predictions, labels, **macro),
    }
    return {name: float(value) for name, value in values.items()}
