"""Images that occur several times in a data set, compared pixel by pixel."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

import numpy as np


def digests(images: np.ndarray) -> list[bytes]:
    """Return a digest of each image, which only identical images share.

    Args:
        images: uint8, (N, channels, height, width).
    """
    return [sha256(image.tobytes()).digest() for image in images]


def repetitions(train: list[bytes]) -> Iterator[str]:
    """Yield a remark if training images occur more than once.

    Args:
        train: Digests of the training images.
    """
    if count := sum(number > 1 for number in Counter(train).values()):
        occur = "training image occurs" if count == 1 else "training images occur"
        yield f"{count} {occur} more than once; copies may fall into the validation part"


def leaked(train: list[bytes], test: list[bytes]) -> Iterator[str]:
    """Yield a remark if test images are training images, too.

    Args:
        train: Digests of the training images.
        test: Digests of the test images.
    """
    known = set(train)
    if count := sum(one in known for one in test):
        are = "test image is a training image" if count == 1 else "test images are training images"
        yield f"{count} {are} too; the test result is too good by what the student remembers of them"
