"""Augmentation for photos: parts of images enlarged, and changed colours.

Pixels are computed from integers alone, so that a CPU and a GPU give the same bytes.
"""

import itertools
import math

import torch

from kdtune.data.random_fractions import random_fractions

#: Least share of the image's area that ``resized-crop`` takes; the greatest is all of it.
LEAST_AREA = 0.35

#: Greatest ratio of the width of the part to its height, and of its height to its width.
GREATEST_RATIO = 4 / 3

#: ``jitter`` multiplies brightness, contrast and saturation by up to 1 plus or minus this.
JITTER = 0.4

#: ``hue`` turns the hue of half of the images by up to this many degrees to either side, as SSD does.
HUE_DEGREES = 18.0

#: The orders of the channels, of which ``hue`` draws one for half of the images.
_ORDERS = tuple(itertools.permutations(range(3)))

#: Each random choice has its own stream of random numbers; streams 0 to 3 belong to :mod:`kdtune.data.augment`.
_AREA, _RATIO, _TOP, _LEFT, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _IS_TURNED, _ORDER, _IS_ORDERED = range(4, 15)

#: Steps between two pixels in a bilinear interpolation; 255 times their square fits into 31 bits.
_STEPS = 2048

#: Factors of colours are whole multiples of one part of this many.
_UNIT = 1024


def drawn_boxes(index: torch.Tensor, height: int, width: int, seed: int, epoch: int) -> torch.Tensor:
    """Draw the part of each image that ``resized-crop`` enlarges to the whole.

    The part's share of the area is uniform, and the logarithm of its ratio. A part that is longer than the image is
    cut to the image.

    Args:
        index: Numbers of the images, int64, (n,).
        height: Of the images.
        width: Of the images.
        seed: Seed of the training.
        epoch: Counted from 0.

    Returns:
        Top, left, height and width in pixels, int64, (n, 4).
    """

    def fractions(stream: int) -> torch.Tensor:
        return random_fractions(index, seed, epoch, stream)

    area = height * width * (LEAST_AREA + (1 - LEAST_AREA) * fractions(_AREA))
    ratio = torch.exp((2 * fractions(_RATIO) - 1) * math.log(GREATEST_RATIO))
    rows = torch.round(torch.sqrt(area / ratio)).long().clamp(1, height)
    columns = torch.round(torch.sqrt(area * ratio)).long().clamp(1, width)
    top = (fractions(_TOP) * (height - rows + 1)).long()
    left = (fractions(_LEFT) * (width - columns + 1)).long()
    return torch.stack([top, left, rows, columns], dim=1)


def resized_crops(images: torch.Tensor, box: torch.Tensor, fill: torch.Tensor | None = None) -> torch.Tensor:
    """Enlarge parts of images to the images' size, with bilinear interpolation between the pixels of the part.

    Args:
        images: uint8, (n, channels, height, width).
        box: See :func:`drawn_boxes`.
        fill: Colours outside of the images, uint8, (n, channels), for parts that reach there, which may also be larger
            than the image; None for parts inside the images.

    Returns:
        uint8, of the same shape.
    """
    count, channels, height, width = images.shape
    outside = None if fill is None else fill.int().view(count, channels, 1, 1)
    top, left, rows, columns = box.unbind(1)
    above, below, row_weight = _neighbours(top, rows, height)
    before, after, column_weight = _neighbours(left, columns, width)

    def lines(place: torch.Tensor) -> torch.Tensor:
        place = place.view(count, 1, height, 1)
        found = images.gather(2, place.clamp(0, height - 1).expand(-1, channels, -1, width)).int()
        return found if outside is None else torch.where((place < 0) | (place >= height), outside, found)

    def pixels(image: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        place = place.view(count, 1, 1, width)
        found = image.gather(3, place.clamp(0, width - 1).expand(-1, channels, height, -1))
        return found if outside is None else torch.where((place < 0) | (place >= width), outside * _STEPS, found)

    weight = row_weight.view(count, 1, height, 1)
    mixed = lines(above) * (_STEPS - weight) + lines(below) * weight
    weight = column_weight.view(count, 1, 1, width)
    total = pixels(mixed, before) * (_STEPS - weight) + pixels(mixed, after) * weight
    return ((total + _STEPS * _STEPS // 2) // (_STEPS * _STEPS)).to(torch.uint8)


def _neighbours(
    start: torch.Tensor, length: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find the two source pixels of each pixel along one axis, and the weight of the second.

    Args:
        start: First pixel of each part, int64, (n,).
        length: Pixels of each part, int64, (n,).
        size: Pixels of the enlarged part.

    Returns:
        The pixels, int64, (n, size), and the weight in units of 1 / ``_STEPS``, int32, (n, size).
    """
    # The centre of pixel i lies at (i + 1/2) * length / size - 1/2 in the part: here as a fraction over 2 * size.
    centre = (2 * torch.arange(size, device=start.device) + 1) * length[:, None] - size
    first = torch.div(centre, 2 * size, rounding_mode="floor")
    weight = ((centre - first * 2 * size) * _STEPS + size) // (2 * size)
    last, start = length[:, None] - 1, start[:, None]
    nearest = torch.minimum(first.clamp(min=0), last)
    following = torch.minimum((first + 1).clamp(min=0), last)
    return start + nearest, start + following, weight.int()


def drawn_colours(index: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
    """Draw the factors of brightness, contrast and saturation of each image.

    Args:
        index: Numbers of the images, int64, (n,).
        seed: Seed of the training.
        epoch: Counted from 0.

    Returns:
        In units of 1 / 1024, int64, (n, 3).
    """
    streams = (_BRIGHTNESS, _CONTRAST, _SATURATION)
    drawn = torch.stack([random_fractions(index, seed, epoch, stream) for stream in streams], dim=1)
    return torch.round((1 + JITTER * (2 * drawn - 1)) * _UNIT).long()


def jittered(images: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Change brightness, then contrast (about the mean grey of the image), then saturation (about each pixel's grey).

    Args:
        images: uint8, (n, channels, height, width), with 1 or 3 channels.
        colour: See :func:`drawn_colours`.

    Returns:
        uint8, of the same shape.
    """
    brightness, contrast, saturation = colour.int().view(-1, 3, 1, 1, 1).unbind(1)
    pixels = _mixed(images.int(), 0, brightness)
    grey = _grey(pixels)
    count = grey[0].numel()
    mean = ((2 * grey.sum((1, 2, 3), keepdim=True) + count) // (2 * count)).int()
    pixels = _mixed(pixels, mean, contrast)
    if images.shape[1] == 3:
        pixels = _mixed(pixels, _grey(pixels), saturation)
    return pixels.to(torch.uint8)


def drawn_hues(index: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
    """Draw what turns the hue of each image and changes the order of its channels (SSD, arXiv 1512.02325).

    The hue is turned about the grey axis, so that greys and the mean of the three channels stay.

    Args:
        index: Numbers of the images, int64, (n,).
        seed: Seed of the training.
        epoch: Counted from 0.

    Returns:
        The share of each old channel (last axis) in each new one, in units of 1 / 1024, int64, (n, 3, 3).
    """

    def fractions(stream: int) -> torch.Tensor:
        return random_fractions(index, seed, epoch, stream)

    angle = (2 * fractions(_HUE) - 1) * math.radians(HUE_DEGREES) * (fractions(_IS_TURNED) < 0.5)
    shares = [(1 + 2 * torch.cos(angle - shift * math.tau / 3)) / 3 for shift in (1, 2)]
    following, preceding = (torch.round(share * _UNIT).long() for share in shares)
    itself = _UNIT - following - preceding  # each row sums to 1, so that greys stay
    turned = torch.stack([itself, preceding, following, following, itself, preceding, preceding, following, itself])
    orders = torch.tensor(_ORDERS, device=index.device)
    order = orders[(fractions(_ORDER) * len(orders)).long() * (fractions(_IS_ORDERED) < 0.5)]
    return turned.T.view(-1, 3, 3).gather(1, order.unsqueeze(2).expand(-1, -1, 3))


def recoloured(images: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    """Mix the channels of colour images; grey images stay.

    Args:
        images: uint8, (n, channels, height, width), with 1 or 3 channels.
        hue: See :func:`drawn_hues`.

    Returns:
        uint8, of the same shape.
    """
    if images.shape[1] != 3:
        return images
    shares, pixels = hue.int().view(-1, 3, 3, 1, 1), images.int()
    mixed = torch.stack([(shares[:, new] * pixels).sum(1) for new in range(3)], dim=1)
    rounded = torch.div(mixed + _UNIT // 2, _UNIT, rounding_mode="floor")
    return rounded.clamp(0, 255).to(torch.uint8)


def _mixed(pixels: torch.Tensor, other: torch.Tensor | int, factor: torch.Tensor) -> torch.Tensor:
    """Move pixels away from another image by a factor in units of 1 / 1024; int32, 0 to 255."""
    mixed = pixels * factor + other * (_UNIT - factor)
    return torch.div(mixed + _UNIT // 2, _UNIT, rounding_mode="floor").clamp(0, 255)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    """Luma of ITU-R 601, int32, (n, 1, height, width)."""
    if pixels.shape[1] != 3:
        return pixels
    red, green, blue = pixels.unbind(1)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).unsqueeze(1)
