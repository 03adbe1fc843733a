"""Images with the boxes of their objects, as arrays of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdtune.data.arrays import Arrays

#: Numbers about an object: class, difficult (1 or 0), left, top, right and bottom in pixels of the decoded image.
COLUMNS = 6


@dataclass(frozen=True)
class Annotated:
    """Images of one part of a data set, with their objects.

    Attributes:
        images: uint8, (N, channels, height, width).
        objects: Of each image, float32, (objects, 6); an image may have none.
    """

    images: np.ndarray
    objects: Sequence[np.ndarray]


def packed(train: Annotated, test: Annotated, class_names: Sequence[str], remarks: Sequence[str] = ()) -> Arrays:
    """Return two parts as arrays, in which an image's labels are its objects: float32, (N, objects, 6).

    Images with fewer objects are filled up with rows of class -1.
    """
    return Arrays(
        *(train.images, filled(train.objects), test.images, filled(test.objects)),
        class_names=tuple(class_names),
        remarks=tuple(remarks),
    )


def filled(objects: Sequence[np.ndarray]) -> np.ndarray:
    """Return the objects of several images as one array, filled up to the same number, which is at least 1."""
    size = max([1, *map(len, objects)])
    rows = np.zeros((len(objects), size, COLUMNS), np.float32)
    rows[..., 0] = -1
    for image, found in enumerate(objects):
        rows[image, : len(found)] = found
    return rows
