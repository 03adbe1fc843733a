"""Digits on canvases: scikit-learn's digits of several sizes on noise, for detection without any download.

Each canvas of 64x64 has a Gaussian background, six blurred pieces of digits as clutter, one to four digits that hardly
overlap, and noise. The digits of the test canvases are scans that no other canvas has.
"""

from collections.abc import Sequence

import numpy as np

from kdtune.data.arrays import Arrays, decoded_once
from kdtune.specs.seeds import derive_seed
from kdtune.storage.paths import DataDir
from kdtune.tasks.detection.annotations import Annotated, packed

#: Canvases for training and validation, and for the test.
TRAIN_CANVASES, TEST_CANVASES = 1100, 300

#: Height and width of a canvas in pixels.
SIDE = 64

#: Brightness and standard deviation of the background, and standard deviation of the noise.
_BACKGROUND, _UNEVENNESS, _NOISE = 60, 20, 20

#: Pieces of digits on a canvas, their height and width in pixels of the scans, and their brightness.
_PIECES, _PIECE, _PIECE_BRIGHTNESS = 6, 4, 0.7

#: Most digits on a canvas, and the least and the greatest height and width of one.
_MOST_DIGITS, _SMALLEST, _LARGEST = 4, 14, 28

#: Overlap that a digit must not reach with an earlier one, and how often a place is drawn.
_OVERLAP, _TRIES = 0.05, 20


class DigitsOnCanvases:
    """The canvases, 1,100 for training and validation and 300 for the test."""

    def load(self, place: DataDir | None = None) -> Arrays:
        """Return the arrays, which are made from scikit-learn's digits; the data folder is not used."""
        return decoded_once("digits_on_canvases", _draw, checked=True)


def _draw() -> Arrays:
    from kdtune.data.digits import Digits

    digits = Digits().load()
    train = _canvases(digits.train_images, digits.train_labels, TRAIN_CANVASES, "train")
    test = _canvases(digits.test_images, digits.test_labels, TEST_CANVASES, "test")
    return packed(train, test, digits.class_names)


def _canvases(digits: np.ndarray, labels: np.ndarray, count: int, part: str) -> Annotated:
    generator = np.random.default_rng(derive_seed(0, "canvases", part))
    drawn = [_canvas(digits[:, 0].astype(np.float64), labels, generator) for _ in range(count)]
    return Annotated(np.stack([image for image, _ in drawn])[:, None], [objects for _, objects in drawn])


def _canvas(digits: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a canvas, uint8, and its objects, (objects, 6)."""
    canvas = generator.normal(_BACKGROUND, _UNEVENNESS, (SIDE, SIDE))
    for _ in range(_PIECES):
        top, left = generator.integers(0, digits.shape[1] - _PIECE + 1, 2)
        piece = digits[generator.integers(len(digits)), top : top + _PIECE, left : left + _PIECE]
        _paste(canvas, _PIECE_BRIGHTNESS * _enlarged(piece, 2 * _PIECE), *generator.integers(0, SIDE - 2 * _PIECE, 2))
    objects: list[list[float]] = []
    for _ in range(generator.integers(1, _MOST_DIGITS + 1)):
        which, side = generator.integers(len(digits)), int(generator.integers(_SMALLEST, _LARGEST + 1))
        for _ in range(_TRIES):
            top, left = (int(one) for one in generator.integers(0, SIDE - side + 1, 2))
            box = [left, top, left + side, top + side]
            if all(_overlap(box, other[2:]) < _OVERLAP for other in objects):
                _paste(canvas, _enlarged(digits[which], side), top, left)
                objects.append([float(labels[which]), 0.0, *map(float, box)])
                break
    canvas += generator.normal(0, _NOISE, canvas.shape)
    return np.rint(canvas).clip(0, 255).astype(np.uint8), np.array(objects, np.float32)


def _paste(canvas: np.ndarray, pixels: np.ndarray, top: int, left: int) -> None:
    place = canvas[top : top + len(pixels), left : left + len(pixels)]
    np.maximum(place, pixels, out=place)


def _enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return a square image at another size, with bilinear interpolation."""
    weights = _interpolation(len(pixels), side)
    return weights @ pixels @ weights.T


def _interpolation(size: int, side: int) -> np.ndarray:
    """Return the weights of ``size`` pixels in ``side`` ones, (side, size)."""
    centres = ((np.arange(side) + 0.5) * size / side - 0.5).clip(0, size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
    return width * height / (areas - width * height)
