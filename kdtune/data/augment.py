"""Augmentation of whole batches on the training device.

The augmentation of an image is a pure function of the seed, the epoch and the image's number. It is the same for every
point of a repeat, for every batch size, after a resume, and on CPU and GPU. Crop, flip and rotation are applied by one
gather of pixels, so that an image is sampled only once; for the others see :mod:`kdtune.data.photo_augment`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch

from kdtune.data.host_images import HostImages
from kdtune.data.photo_augment import (
    drawn_boxes,
    drawn_colours,
    drawn_hues,
    jittered,
    recoloured,
    resized_crops,
)
from kdtune.data.random_fractions import random_fractions

#: The kinds of change of this module, in the order in which they are applied.
KINDS = ("resized-crop", "crop", "flip", "rotate", "jitter", "hue")

#: Black pixels added around an image before cropping to its own size (as in PLOS ONE 2023, e0285668, and CRD).
PADDING = 4

#: Greatest rotation to either side in degrees (PLOS ONE 2023, e0285668).
DEGREES = 15.0

#: Each random choice has its own stream of random numbers.
_TOP, _LEFT, _FLIP, _ANGLE = range(4)


@dataclass(frozen=True)
class Changes:
    """The augmentation of some images in one epoch, as tables with one row per image.

    The tables of a whole epoch are drawn at once (16 to 168 bytes per image), so that a step only looks up its rows.

    Attributes:
        offsets: Top, left and sign, int64, (n, 3). A pixel of the cropped and flipped image comes from row
            ``top + row`` and column ``left + sign * column``, where sign is 1 or -1. None without crop, flip and
            rotation.
        turn: Cosine and sine of the rotation, float64, (n, 2); None without rotation.
        box: Part of the image that is enlarged first; see :func:`~kdtune.data.photo_augment.drawn_boxes`.
        colour: Change of brightness, contrast and saturation; see :func:`~kdtune.data.photo_augment.drawn_colours`.
        hue: Change of the hue and of the order of the channels, the last one; see
            :func:`~kdtune.data.photo_augment.drawn_hues`.
        leaves_gaps: Whether pixels may come from outside the image.
    """

    offsets: torch.Tensor | None = None
    turn: torch.Tensor | None = None
    box: torch.Tensor | None = None
    colour: torch.Tensor | None = None
    hue: torch.Tensor | None = None
    leaves_gaps: bool = False

    @classmethod
    def drawn(
        cls,
        index: torch.Tensor,
        changes: Sequence[str],
        size: Sequence[int],
        seed: int,
        epoch: int,
        padding: int = PADDING,
    ) -> Self:
        """Draw the augmentation of some images.

        Args:
            index: Numbers of the images, int64, (n,).
            changes: Any of ``resized-crop`` (a part of the image, enlarged), ``crop`` (to the image's size, after
                padding), ``flip`` (left to right, with probability 1/2), ``rotate`` (nearest pixel), ``jitter``
                (brightness, contrast and saturation) and ``hue`` (hue and order of the channels), applied in this
                order.
            size: Height and width of the images.
            seed: Seed of the training.
            epoch: Counted from 0.
            padding: Pixels around the image for ``crop``.
        """
        assert {*changes} <= {*KINDS}, changes
        box = drawn_boxes(index, size[0], size[1], seed, epoch) if "resized-crop" in changes else None
        colour = drawn_colours(index, seed, epoch) if "jitter" in changes else None
        hue = drawn_hues(index, seed, epoch) if "hue" in changes else None
        if not {"crop", "flip", "rotate"} & {*changes}:
            return cls(box=box, colour=colour, hue=hue)
        top = left = torch.zeros_like(index)
        sign, turn = torch.ones_like(index), None
        if "rotate" in changes:
            angle = (2 * random_fractions(index, seed, epoch, _ANGLE) - 1) * math.radians(DEGREES)
            turn = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        if "flip" in changes:
            is_flipped = random_fractions(index, seed, epoch, _FLIP) < 0.5
            left, sign = left + (size[1] - 1) * is_flipped, sign - 2 * is_flipped
        if "crop" in changes:
            places = 2 * padding + 1
            top = top + (random_fractions(index, seed, epoch, _TOP) * places).long() - padding
            left = left + (random_fractions(index, seed, epoch, _LEFT) * places).long() - padding
        leaves_gaps = "crop" in changes or "rotate" in changes
        return cls(torch.stack([top, left, sign], dim=1), turn, box, colour, hue, leaves_gaps)

    def tables(self) -> dict[str, torch.Tensor]:
        """Return the tables that there are, by the names of the attributes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}

    def with_tables(self, tables: Mapping[str, torch.Tensor]) -> Self:
        """Return the same kinds of change with other tables, by the names of the attributes."""
        fields_of_tables: dict[str, Any] = {**tables}
        return replace(self, **fields_of_tables)

    def of(self, index: torch.Tensor) -> Self:
        """Select rows of the tables by their positions, int64, (n,)."""
        return self.with_tables({name: table[index] for name, table in self.tables().items()})

    def applied_to(self, images: torch.Tensor) -> torch.Tensor:
        """Augment the images to which the rows belong; pixels from outside the image are black.

        Args:
            images: uint8, (n, channels, height, width).

        Returns:
            Images of the same shape, uint8.
        """
        if self.box is not None:
            images = resized_crops(images, self.box)
        if self.offsets is not None:
            images = _moved(images, self.offsets, self)
        if self.colour is not None:
            images = jittered(images, self.colour)
        return images if self.hue is None else recoloured(images, self.hue)


def _moved(images: torch.Tensor, offsets: torch.Tensor, changes: Changes) -> torch.Tensor:
    """Crop, flip and rotate images."""
    count, channels, height, width = images.shape
    device = images.device
    # Each pixel of the finished image is traced back to its source, so the last change comes first. Without rotation,
    # row and column of the source are independent of each other.
    rows = torch.arange(height, device=device).view(1, height, 1)
    columns = torch.arange(width, device=device).view(1, 1, width)
    inside = None
    if changes.turn is not None:
        rows, columns = _rotated(rows, columns, changes.turn, height, width)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    top, left, sign = offsets.view(count, 3, 1, 1).unbind(1)
    rows, columns = rows + top, columns * sign + left
    nearest_row, nearest_column = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    source = (nearest_row * width + nearest_column).view(count, 1, -1)
    taken = images.flatten(2).gather(2, source.expand(-1, channels, -1)).view(images.shape)
    if not changes.leaves_gaps:
        return taken
    seen = (rows == nearest_row) & (columns == nearest_column)
    return taken.mul_((seen if inside is None else seen & inside).unsqueeze(1))


def augment(
    images: torch.Tensor | HostImages,
    index: torch.Tensor,
    changes: Sequence[str],
    seed: int,
    epoch: int,
    padding: int = PADDING,
) -> torch.Tensor:
    """Select images and augment them.

    Args:
        images: All images, uint8, (N, channels, height, width).
        index: Numbers of the selected images, int64, (n,).
        changes: Kinds of change, as for :meth:`Changes.drawn`; if empty, the images are not changed.
        seed: Seed of the training.
        epoch: Counted from 0.
        padding: Pixels around the image for ``crop``.

    Returns:
        uint8, (n, channels, height, width).
    """
    if not changes:
        return images.index_select(0, index)
    drawn = Changes.drawn(index, changes, images.shape[2:], seed, epoch, padding)
    return drawn.applied_to(images.index_select(0, index))


def _rotated(
    rows: torch.Tensor, columns: torch.Tensor, turn: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the source of each pixel for a counter-clockwise rotation about the centre, with the nearest pixel.

    Args:
        rows: int64, (1, height, 1).
        columns: int64, (1, 1, width).
        turn: Cosine and sine of each image's angle, float64, (n, 2).
        height: Height of the images.
        width: Width of the images.

    Returns:
        Rows and columns, int64, (n, height, width).
    """
    y, x = rows + 0.5 - height / 2, columns + 0.5 - width / 2
    cosine, sine = turn.view(-1, 2, 1, 1).unbind(1)
    from_x = torch.floor(cosine * x - sine * y + width / 2).long()
    from_y = torch.floor(sine * x + cosine * y + height / 2).long()
    return from_y, from_x
