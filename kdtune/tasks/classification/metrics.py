"""Metrics of classifiers and weights of classes, from predicted and true classes."""

import torch

from kdtune.tasks.task import Metrics


def count_confusions(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return how many images of each class were taken for which.

    Args:
        predictions: Predicted classes, int64, (N,).
        labels: True classes, int64, (N,).
        num_classes: How many classes there are.

    Returns:
        Counts, int64, (num_classes, num_classes): a row for each true class, a column for each predicted one.
    """
    places = labels * num_classes + predictions
    return torch.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def balanced_accuracy(confusion: torch.Tensor) -> float:
    """Return the mean over classes of the share of a class's images that is classified rightly.

    A class without images is left out, as scikit-learn's ``balanced_accuracy_score`` does.

    Args:
        confusion: See :func:`count_confusions`.
    """
    images = confusion.sum(dim=1)
    return float((confusion.diag().double() / images)[images > 0].mean())


def macro_f1(confusion: torch.Tensor) -> float:
    """Return the mean F1 over classes; a class with neither images nor predictions is left out.

    Args:
        confusion: See :func:`count_confusions`.
    """
    together = confusion.sum(dim=1) + confusion.sum(dim=0)
    return float((2 * confusion.diag().double() / together)[together > 0].mean())


def balanced_weights(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return images / (classes x images of the class), so that every class has the same total weight.

    Only classes with images count, as in scikit-learn's ``compute_class_weight``; the others get 1, which nothing uses.

    Args:
        labels: True classes, int64, (N,).
        num_classes: How many classes there are.

    Returns:
        Weights, float32, (num_classes,), on the CPU.
    """
    images = torch.bincount(labels.cpu(), minlength=num_classes).double()
    present = images > 0
    weights = len(labels) / (present.sum() * images)
    return torch.where(present, weights, 1.0).float()


def classification_metrics(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> Metrics:
    """Return the standard metrics, macro-averaged over classes (one against the rest), and two of the paper's own.

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
        Fractions: accuracy, precision, recall, specificity, Cohen's kappa, prevalence, F1, the paper's, and balanced
        accuracy, which is recall but for classes without images: these count as 0 in recall where they are predicted.
    """
    counts = count_confusions(predictions, labels, num_classes)
    confusion = counts.double()
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
    defined = {name: None if value.isnan() else float(value) for name, value in values.items()}
    return {**defined, "balanced_accuracy": balanced_accuracy(counts)}


#: Bins of the expected calibration error, of equal width.
CALIBRATION_BINS = 15


def expected_calibration_error(probabilities: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the expected calibration error of the predicted classes (Guo et al. 2017).

    Images are put into :data:`CALIBRATION_BINS` by the probability of their predicted class. The error is the mean over
    bins of the difference between accuracy and mean probability, weighted by the share of images in the bin.

    Args:
        probabilities: Probabilities of the classes, float, (N, C).
        labels: True classes, int64, (N,).
    """
    confidence, predicted = probabilities.double().max(dim=1)
    # Bins include their upper end, as torchmetrics' do.
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    surplus = confidence - (predicted == labels).double()
    in_bins = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).scatter_add_(0, bins, surplus)
    return float(in_bins.abs().sum() / len(labels))
