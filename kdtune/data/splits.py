"""Seeded, stratified choices among the training images: what is held out for validation, and a smaller set."""

import numpy as np

from kdtune.data.split_sizes import held_out_images, split_problems
from kdtune.errors import UsageError
from kdtune.specs.seeds import derive_seed


def stratified_split(labels: np.ndarray, held_out: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split indices so that every class keeps its share, to one image.

    Args:
        labels: Class of each image, int64, (N,).
        held_out: How many images to hold out: a number (int) or a fraction of N (float).
        seed: Decides which; nothing else does.

    Returns:
        The indices that stay and those held out, both sorted ascending.

    Raises:
        UsageError: One of the two parts would be empty.
    """
    for key, problem in split_problems(len(labels), held_out).items():
        raise UsageError(f"{key}: {problem}")
    count = held_out_images(len(labels), held_out)
    held = _stratified(labels, count, np.random.default_rng(derive_seed(seed, "split")))
    stay = np.setdiff1d(np.arange(len(labels)), held)
    return stay, held


def stratified_subset(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of a subset in which every class has its share, to one image; a larger one holds all of it.

    Args:
        labels: Class of each image, int64, (N,).
        count: Size of the subset, 1 to N.
        seed: Decides which; nothing else does.

    Returns:
        The indices, sorted ascending.

    Raises:
        UsageError: There are not so many images.
    """
    if count > len(labels):
        raise UsageError(f"data.train_limit: {count} asked for, but there are {len(labels)} training images")
    return _stratified(labels, count, np.random.default_rng(derive_seed(seed, "train_limit")))


def _stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """So many indices, sorted, drawn class by class; in how far a class's share is a fraction, largest first."""
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact).astype(int)
    # Largest remainder; a stable sort gives ties to the lower class.
    for index in np.argsort(quota - exact, kind="stable")[: count - quota.sum()]:
        quota[index] += 1
    return np.sort(
        np.concatenate(
            [
                generator.permutation(np.flatnonzero(labels == label))[:taken]
                for label, taken in zip(classes, quota, strict=True)
            ]
        )
    )
