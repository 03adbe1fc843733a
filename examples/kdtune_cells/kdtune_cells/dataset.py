"""Drawings of cells of three kinds, one of which is rare; generated, so there is nothing to download."""

import numpy as np

CLASS_NAMES = ("red", "white", "platelet")

#: Share of each class, outer radius and radius of the pale centre, both in pixels.
SHARES, OUTER, INNER = (0.6, 0.3, 0.1), np.array([6.5, 6.5, 3.0]), np.array([3.0, 0.0, 0.0])

SIZE = 16


def cells(images: int = 1000, noise: float = 1.2, seed: int = 0) -> tuple[tuple, tuple, tuple[str, ...]]:
    """Draw cells of three kinds, one of which is rare.

    Args:
        images: Number of training images; there are half as many test images.
        noise: Standard deviation of the noise; a cell is 1, its background 0.
        seed: Another seed draws other images.

    Returns:
        The training part, the test part (each a pair of images, uint8 of shape (N, 16, 16), and labels of shape (N,)),
        and the class names.
    """
    return _part(images, noise, [seed, 0]), _part(images // 2, noise, [seed, 1]), CLASS_NAMES


def _part(images: int, noise: float, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.choice(len(CLASS_NAMES), size=images, p=SHARES)
    centres = SIZE / 2 + draw.uniform(-1.5, 1.5, (2, images, 1, 1))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(rows - centres[0], columns - centres[1])
    cell = (distance < OUTER[labels, None, None]) & (distance >= INNER[labels, None, None])
    return ((cell + draw.normal(0, noise, cell.shape)).clip(0, 1) * 255).astype(np.uint8), labels
