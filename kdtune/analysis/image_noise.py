"""Noise of a difference of accuracies that is due to the choice of the test images."""

import math
from typing import TYPE_CHECKING

from kdtune.results.folder import StrategyFolder
from kdtune.results.predictions import LABELS, read_predictions

if TYPE_CHECKING:
    import numpy as np


def correct_by_seed(folder: StrategyFolder) -> "dict[str, np.ndarray]":
    """Return for each repeat, by ``seed_N``, whether each test image was classified correctly.

    It is empty for results of releases that did not keep the true classes, and for tasks without classes.
    """
    labels = read_predictions(folder.probabilities).get(LABELS)
    if labels is None:
        return {}
    predicted = read_predictions(folder.predictions)
    return {seed: classes == labels for seed, classes in predicted.items() if classes.shape == labels.shape}


def image_error(first: "dict[str, np.ndarray]", second: "dict[str, np.ndarray]") -> float | None:
    """Return the standard error of the difference of two accuracies over other test images of the same kind.

    The difference of an image is the mean over the seeds that both sides have. The error says how much the mean
    difference would vary with other test images and the same models.

    Args:
        first: From :func:`correct_by_seed`.
        second: Likewise.

    Returns:
        The error as a fraction; None if nothing is known about single images.
    """
    seeds = [seed for seed in first.keys() & second.keys() if first[seed].shape == second[seed].shape]
    if not seeds:
        return None
    differences = sum(first[seed].astype(float) - second[seed] for seed in seeds) / len(seeds)
    images = len(differences)
    return float(differences.std(ddof=1)) / math.sqrt(images) if images > 1 else None
