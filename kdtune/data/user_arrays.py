"""Converts the data sets that users' functions return to arrays."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdtune.data.arrays import Arrays, scratch_images
from kdtune.data.copies import digests, leaked, repetitions
from kdtune.data.pixels import array_of, as_bytes, channels_first, pixels_of
from kdtune.errors import DataError

#: Images of an array that are converted at once.
_BLOCK = 256


def arrays_of(parts: Any, name: str) -> Arrays:
    """Convert what a user's function returned.

    Images go to a file of their own one by one, so no second copy of them needs memory. The arrays' remarks count the
    training images that occur more than once and the test images that are training images, too; all are kept.

    Args:
        parts: A pair (train, test), or a triple with the class names. Each part is a map-style data set of pairs
            (image, label), or a pair of arrays (images, labels). For images see :func:`kdtune.data.pixels.pixels_of`.
        name: Name of the data set, for messages.

    Raises:
        DataError: It is something else; the message names the first image or label that is wrong, and the remedy.
    """
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise DataError(
            f"data set {name}: has to return (train, test) or (train, test, class_names), not {_kind(parts)}"
        )
    names = _names(parts[2], name) if len(parts) == 3 else _class_names(parts[0]) or _class_names(parts[1])
    train_images, train_labels = _part(parts[0], f"data set {name}: train")
    test_images, test_labels = _part(parts[1], f"data set {name}: test")
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"data set {name}: images of the training part have shape {train_images.shape[1:]}, those of the test "
            f"part {test_images.shape[1:]} (channels, height, width); resize them to one shape"
        )
    _check_labels(train_labels, test_labels, names, name)
    train, test = digests(train_images), digests(test_images)
    remarks = tuple(f"data set {name}: {remark}" for remark in (*repetitions(train), *leaked(train, test)))
    return Arrays(train_images, train_labels, test_images, test_labels, class_names=names, remarks=remarks)


def _names(given: Any, name: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise DataError(f"data set {name}: the class names have to be a list of texts, not {_kind(given)}")
    return tuple(map(str, given))


def _class_names(part: Any) -> tuple[str, ...]:
    """Find class names as torchvision's data sets have them, also inside subsets."""
    while part is not None:
        classes = getattr(part, "classes", None)
        if isinstance(classes, list | tuple):
            return tuple(map(str, classes))
        part = getattr(part, "dataset", None)
    return ()


def _check_labels(train: np.ndarray, test: np.ndarray, names: Sequence[str], name: str) -> None:
    """Refuse labels that are not 0, 1, ... without gaps, or that the training part does not have.

    Raises:
        DataError: The message has the odd label and where it is.
    """
    used = {*train.tolist(), *test.tolist()}
    classes = len(names) or len(used)
    for part, labels in (("train", train), ("test", test)):
        for place in np.flatnonzero((labels < 0) | (labels >= classes))[:1]:
            known = "class names" if names else "different labels"
            raise DataError(
                f"data set {name}: {part}: image {place} has label {labels[place]}, but there are {classes} {known}, "
                f"so labels have to be 0 to {classes - 1}"
            )
    if classes < 2:
        raise DataError(f"data set {name}: has one class only; at least two are needed")
    if missing := sorted({*test.tolist()} - {*train.tolist()}):
        raise DataError(f"data set {name}: the test part has images of class {missing[0]}, the training part has none")


def _part(part: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Convert one part.

    Returns:
        Images, uint8, (N, channels, height, width), and labels, int64, (N,).

    Raises:
        DataError: See :func:`arrays_of`.
    """
    if isinstance(part, tuple | list) and len(part) == 2 and hasattr(part[0], "shape"):
        return _converted_pair(part[0], part[1], where)
    if isinstance(part, Mapping) or not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
        remedy = "return its .dataset" if hasattr(part, "dataset") else "return the whole part at once"
        raise DataError(
            f"{where}: has to be a map-style data set or a pair of arrays (images, labels), not {_kind(part)}; {remedy}"
        )
    count = len(part)
    _require_images(count, where)
    labels = np.empty(count, np.int64)
    images = None
    for place in range(count):
        image, labels[place] = _item(part, place, where)
        if images is None:
            images = scratch_images((count, *image.shape))
        if image.shape != images.shape[1:]:
            raise DataError(
                f"{where}: image {place} has shape {image.shape}, those before it {images.shape[1:]} (channels, "
                "height, width); resize or convert them to one shape"
            )
        images[place] = image
    assert images is not None
    return images, labels


def _item(part: Any, place: int, where: str) -> tuple[np.ndarray, int]:
    try:
        pair = part[place]
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(f"{where}: image {place} cannot be read: {reason}") from error
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{where}: item {place} has to be a pair (image, label), not {_kind(pair)}")
    try:
        image = pixels_of(pair[0])
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: image {place} {error}") from None
    try:
        return image, operator.index(pair[1])
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"{where}: the label of image {place} has to be an integer, not {pair[1]!r}") from None


def _converted_pair(images: Any, labels: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, numbers = array_of(images), array_of(labels)
    _require_images(len(pixels), where)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(
            f"{where}: labels have to be integers of shape ({len(pixels)},), not {numbers.dtype} of shape "
            f"{numbers.shape}"
        )
    if len(numbers) != len(pixels):
        raise DataError(f"{where}: there are {len(pixels)} images, but {len(numbers)} labels")
    if pixels.ndim not in (3, 4):
        raise DataError(f"{where}: images have shape {pixels.shape[1:]}; return height x width, or with channels")
    try:
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        elif not channels_first(pixels.shape[1:], images):
            pixels = pixels.transpose(0, 3, 1, 2)
    except ValueError as error:
        raise DataError(f"{where}: image 0 {error}") from None
    if pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        pixels = _converted(pixels, where)
    return pixels, numbers.astype(np.int64)


def _converted(pixels: np.ndarray, where: str) -> np.ndarray:
    made = scratch_images(pixels.shape)
    for start in range(0, len(pixels), _BLOCK):
        block = slice(start, start + _BLOCK)
        try:
            made[block] = as_bytes(pixels[block])
        except ValueError as error:
            last = min(start + _BLOCK, len(pixels)) - 1
            raise DataError(f"{where}: one of the images {start} to {last} {error}") from None
    return made


def _require_images(count: int, where: str) -> None:
    if count == 0:
        raise DataError(f"{where}: has no images")


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}"
