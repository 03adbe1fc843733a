"""One seeded, stratified split of the training images into training and validation."""

import numpy as np

from kdtune.errors import UsageError
from kdtune.seeding import derive_seed


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
    count = held_out if isinstance(held_out, int) else round(held_out * len(labels))
    if not 0 < count < len(labels):
        raise UsageError(
            f"validation: holding out {count} of {len(labels)} training images leaves one part empty; "
            "give a fraction such as 0.1 or a smaller number"
        )
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact).astype(int)
    # Largest remainder; a stable sort gives ties to the lower class.
    for index in np.argsort(quota - exact, kind="stable")[: count - quota.sum()]:
        quota[index] += 1
    generator = np.random.default_rng(derive_seed(seed, "split"))
    held = np.concatenate(
        [
            generator.permutation(np.flatnonzero(labels == label))[:taken]
            for label, taken in zip(classes, quota, strict=True)
        ]
    )
    held.sort()
    stay = np.setdiff1d(np.arange(len(labels)), held)
    return stay, held
