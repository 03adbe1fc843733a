"""Seeded, stratified selections of training images: the validation part, and subsets."""

import numpy as np

from kdtune.errors import UsageError
from kdtune.specs.seeds import derive_seed
from kdtune.specs.split_sizes import held_out_images, split_problems


def stratified_split(labels: np.ndarray, held_out: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split indices so that every class keeps its share, up to one image.

    Args:
        labels: Class of each image, int64, (N,).
        held_out: Number (int) of images to hold out, or fraction of N (float).
        seed: The only source of randomness.

    Returns:
        The remaining indices and those held out, both in ascending order.

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
    """Return the indices of a subset in which every class has its share, up to one image.

    Args:
        labels: Class of each image, int64, (N,).
        count: Size of the subset, 1 to N.
        seed: The only source of randomness.

    Returns:
        The indices in ascending order.

    Raises:
        UsageError: There are fewer images than ``count``.
    """
    if count > len(labels):
        raise UsageError(f"data.train_limit: {count} asked for, but there are {len(labels)} training images")
    return _stratified(labels, count, np.random.default_rng(derive_seed(seed, "train_limit")))


def _stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``count`` sorted indices class by class, rounding class sizes by the largest remainder."""
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact).astype(int)
    # The stable sort resolves ties in favour of the lower class.
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
