"""The picture of a detector: boxes of objects and detections on the first images that have objects."""

import pytest
import torch
from torchvision.io import decode_png

from kdtune.data.batches import ImageSet
from kdtune.tasks.detection.pictures import IMAGES, SIDE, detections_png

LIME, ORANGE = (0, 255, 0), (255, 165, 0)


def part(channels, count):
    """Grey images, of which the first has no object, and the others a square of a quarter of the image."""
    labels = torch.tensor([0.0, 0, 8, 8, 24, 24]).repeat(count, 1, 1)
    labels[0, 0, 0] = -1
    mean = torch.zeros(channels, 1, 1)
    return ImageSet(torch.full((count, channels, 32, 32), 90, dtype=torch.uint8), labels, mean, mean + 1)


def colours(png):
    pixels = decode_png(torch.frombuffer(bytearray(png), dtype=torch.uint8))
    red, green, blue = pixels.long()
    seen = (red * 256**2 + green * 256 + blue).unique().tolist()
    return pixels.shape, {(one >> 16, one >> 8 & 255, one & 255) for one in seen}


@pytest.mark.parametrize("channels", [1, 3])
def test_objects_are_green_and_detections_orange_unless_they_are_uncertain(channels):
    found = torch.tensor([-1.0, 0, 0, 0, 0, 0]).repeat(3, 2, 1)
    uncertain = found.clone()
    found[1, 0], uncertain[1, 0] = (torch.tensor([1, score, 4, 4, 4, 4]) for score in (0.9, 0.1))
    shape, seen = colours(detections_png(found, part(channels, 3), ("square",)))
    assert shape[0] == 3 and {LIME, ORANGE, (90, 90, 90)} <= seen
    assert ORANGE not in colours(detections_png(uncertain, part(channels, 3), ("square",)))[1]


def test_the_picture_has_a_bounded_number_of_images():
    found = torch.tensor([-1.0, 0, 0, 0, 0, 0]).repeat(50, 1, 1)
    (_, height, width), _ = colours(detections_png(found, part(1, 50), ()))
    assert IMAGES * SIDE**2 <= height * width < 1.1 * IMAGES * SIDE**2
