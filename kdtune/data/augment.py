"""Crop, flip and rotation of whole batches on the training device.

What happens to an image is a pure function of seed, epoch and the image's number: the same for every point of a
repeat, any batch size, any point at which a training was resumed, on a CPU and on a GPU. All of it is one gathering of
pixels, so an image is sampled once however many changes are asked for.
"""

import math
from collections.abc import Sequence

import torch

from kdtune.seeding import derive_seed

#: Pixels of black around an image of which a crop of its own size is taken (PLOS ONE 2023, e0285668, and CRD alike).
PADDING = 4

#: Degrees to either side of a rotation (PLOS ONE 2023, e0285668).
DEGREES = 15.0

#: One stream of random numbers for each choice.
_TOP, _LEFT, _FLIP, _ANGLE = range(4)


def random_fractions(index: torch.Tensor, seed: int, epoch: int, stream: int) -> torch.Tensor:
    """A uniform number in [0, 1) for each image, float64, (n,): a hash of everything that it depends on.

    A generator's numbers would depend on the order in which they are drawn, and differ between devices.

    Args:
        index: The images' numbers, int64, (n,).
        seed: Of the training.
        epoch: Counted from 0.
        stream: Tells one choice from the next.
    """
    key = derive_seed(seed, "augment", epoch, stream)
    mask = 0xFFFFFFFF
    x = (index + (key & mask)) & mask
    for turn in (key >> 32, 0):
        # C. Wellons' 32-bit mixer "lowbias32"; products of two numbers below 2^32 keep their low half in int64.
        x = x ^ (x >> 16)
        x = (x * 0x21F0AAAD) & mask
        x = x ^ (x >> 15)
        x = (x * 0x735A2D97) & mask
        x = x ^ (x >> 15) ^ (turn & mask)
    return x.double() / 2**32


def augment(
    images: torch.Tensor, index: torch.Tensor, changes: Sequence[str], seed: int, epoch: int, padding: int = PADDING
) -> torch.Tensor:
    """Some images, changed at random; new pixels are black.

    Args:
        images: All images, uint8, (N, channels, height, width).
        index: Which ones, int64, (n,).
        changes: Of ``crop`` (of the image's size, after padding), ``flip`` (left to right, every second one) and
            ``rotate`` (nearest pixel), applied in this order.
        seed: Of the training.
        epoch: Counted from 0.
        padding: Pixels around the image for ``crop``.

    Returns:
        uint8, (n, channels, height, width).
    """
    if not changes:
        return images[index]
    height, width = images.shape[2:]
    device = images.device
    rows = torch.arange(height, device=device).view(1, height, 1).expand(len(index), height, width)
    columns = torch.arange(width, device=device).view(1, 1, width).expand(len(index), height, width)
    inside = torch.ones((), dtype=torch.bool, device=device)
    # From the finished image back to where each of its pixels comes from: the last change first.
    if "rotate" in changes:
        angle = (2 * _drawn(index, seed, epoch, _ANGLE) - 1) * math.radians(DEGREES)
        rows, columns = _rotated(rows, columns, angle, height, width)
        inside = inside & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    if "flip" in changes:
        columns = torch.where(_drawn(index, seed, epoch, _FLIP) < 0.5, width - 1 - columns, columns)
    if "crop" in changes:
        places = 2 * padding + 1
        rows = rows + (_drawn(index, seed, epoch, _TOP) * places).long() - padding
        columns = columns + (_drawn(index, seed, epoch, _LEFT) * places).long() - padding
        inside = inside & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    source = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    channels = images.shape[1]
    taken = images[index].flatten(2).gather(2, source.view(len(index), 1, -1).expand(-1, channels, -1))
    return taken.view(len(index), channels, height, width) * inside.view(-1, 1, *inside.shape[-2:] or (1, 1))


def _drawn(index: torch.Tensor, seed: int, epoch: int, stream: int) -> torch.Tensor:
    return random_fractions(index, seed, epoch, stream).view(-1, 1, 1)


def _rotated(
    rows: torch.Tensor, columns: torch.Tensor, angle: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where pixels come from when an image is turned about its centre, counter-clockwise, to the nearest pixel."""
    y, x = rows + 0.5 - height / 2, columns + 0.5 - width / 2
    cosine, sine = torch.cos(angle), torch.sin(angle)
    from_x = torch.floor(cosine * x - sine * y + width / 2).long()
    from_y = torch.floor(sine * x + cosine * y + height / 2).long()
    return from_y, from_x
