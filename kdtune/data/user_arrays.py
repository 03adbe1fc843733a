"""Converts the data sets that users' functions return to arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdtune.data.arrays import Arrays
from kdtune.errors import DataError


def arrays_of(parts: Any, name: str) -> Arrays:
    """Convert what a user's function returned.

    Args:
        parts: A pair (train, test), or a triple with the class names. Each part is a map-style data set of pairs
            (image, label), or a pair of arrays (images, labels).
        name: Name of the data set, for messages.

    Raises:
        DataError: It is something else, or its images have different shapes or are not images.
    """
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise DataError(f"data set {name}: has to return (train, test) or (train, test, class_names)")
    train_images, train_labels = _part(parts[0], f"data set {name}: train")
    test_images, test_labels = _part(parts[1], f"data set {name}: test")
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"data set {name}: images of the training part have shape {train_images.shape[1:]}, those of the test "
            f"part {test_images.shape[1:]}; resize them to one shape"
        )
    names = tuple(map(str, parts[2])) if len(parts) == 3 else _class_names(parts[0])
    classes = len({*train_labels.tolist(), *test_labels.tolist()})
    lowest, highest = min(train_labels.min(), test_labels.min()), max(train_labels.max(), test_labels.max())
    if lowest < 0 or highest >= max(classes, len(names)):
        raise DataError(
            f"data set {name}: labels have to be 0, 1, ... without gaps, but lie between {lowest} and {highest} with "
            f"{classes} classes"
        )
    return Arrays(train_images, train_labels, test_images, test_labels, class_names=names)


def _class_names(part: Any) -> tuple[str, ...]:
    return tuple(map(str, getattr(part, "classes", ()) or ()))


def _part(part: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(part, tuple | list) and len(part) == 2 and hasattr(part[0], "shape"):
        images, labels = np.asarray(part[0]), np.asarray(part[1])
    elif hasattr(part, "__len__") and hasattr(part, "__getitem__") and not isinstance(part, Mapping):
        pairs = [part[index] for index in range(len(part))]
        images = np.stack([np.asarray(image) for image, _ in pairs])
        labels = np.asarray([int(label) for _, label in pairs])
    else:
        raise DataError(f"{where}: has to be a map-style data set or a pair (images, labels)")
    return _as_bytes(images, where), labels.astype(np.int64)


def _as_bytes(images: np.ndarray, where: str) -> np.ndarray:
    """Return images as uint8 of shape (N, channels, height, width)."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise DataError(f"{where}: images have shape {images.shape[1:]}; return height x width, or with channels")
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if not np.issubdtype(images.dtype, np.floating) or images.min() < 0 or images.max() > 1:
        raise DataError(
            f"{where}: images have to be uint8, or numbers between 0 and 1; return them before normalisation, which "
            "kdtune does itself"
        )
    return np.rint(np.ascontiguousarray(images) * 255).astype(np.uint8)
