"""SSD's changes to the place of objects: images made smaller on a mean background, and crops that keep objects.

The change of an image is a pure function of the seed, the epoch, the image's number and its objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from kdtune.data.augment import Changes
from kdtune.data.photo_augment import resized_crops
from kdtune.data.random_fractions import random_fractions
from kdtune.tasks.detection.boxes import overlaps
from kdtune.tasks.detection.matching import BOX, CLASS

#: The kinds of change of this module.
KINDS = ("zoom-out", "iou-crop")

#: Greatest factor by which ``zoom-out`` makes the side of an image smaller; half of the images are left as they are.
_GREATEST_ZOOM = 4.0

#: Least overlaps with an object that ``iou-crop`` may ask for; at 1 the image is left as it is.
_LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

#: Crops that ``iou-crop`` tries before it leaves the image as it is, and their least side relative to the image.
_TRIES, _LEAST_SIDE = 50, 0.3

#: Greatest ratio of the sides of a crop.
_GREATEST_RATIO = 2.0

#: Each random choice has its own stream of random numbers; those below belong to :mod:`kdtune.data`.
_IS_SMALLER, _ZOOM, _TOP, _LEFT, _OVERLAP, _CROPS = range(100, 106)


@dataclass(frozen=True)
class WindowChanges(Changes):
    """The augmentation of images with objects.

    Attributes:
        window: Part of the plane that becomes the image, before all other changes: top, left, height and width in
            pixels, int64, (n, 4); None without these changes.
        fill: Colour outside of the images, uint8, (n, channels); None without these changes.
    """

    window: torch.Tensor | None = None
    fill: torch.Tensor | None = None

    def applied_to(self, images: torch.Tensor) -> torch.Tensor:
        """See :meth:`kdtune.data.augment.Changes.applied_to`; outside of a window's image is the fill."""
        return super().applied_to(images if self.window is None else resized_crops(images, self.window, self.fill))

    def with_windows(self, window: torch.Tensor, colour: torch.Tensor) -> "WindowChanges":
        """Return the same changes after windows.

        Args:
            window: int64, (n, 4).
            colour: Outside of the images, uint8, (channels,).
        """
        return replace(self, window=window, fill=colour.expand(len(window), -1))


def drawn_windows(
    objects: torch.Tensor, index: torch.Tensor, kinds: Sequence[str], size: Sequence[int], seed: int, epoch: int
) -> torch.Tensor:
    """Draw the window of each image.

    Args:
        objects: Of the images, (n, objects, 6).
        index: Numbers of the images, int64, (n,).
        kinds: Any of :data:`KINDS`, applied in this order.
        size: Height and width of the images.
        seed: Seed of the training.
        epoch: Counted from 0.

    Returns:
        Top, left, height and width in pixels, int64, (n, 4).
    """

    def fractions(stream: int) -> torch.Tensor:
        return random_fractions(index, seed, epoch, stream)

    whole = torch.tensor([0, 0, *size], device=index.device).expand(len(index), -1)
    if "zoom-out" in kinds:
        extent = torch.tensor([*size], device=index.device)
        factor = 1 + (_GREATEST_ZOOM - 1) * fractions(_ZOOM)
        sides = torch.round(factor.unsqueeze(1) * extent).long()
        corner = torch.stack([fractions(_TOP), fractions(_LEFT)], dim=1) * (sides - extent + 1)
        smaller = torch.cat([-corner.long(), sides], dim=1)
        whole = torch.where((fractions(_IS_SMALLER) < 0.5).unsqueeze(1), smaller, whole)
    if "iou-crop" not in kinds:
        return whole
    least = torch.tensor(_LEAST_OVERLAPS, device=index.device, dtype=torch.float64)
    wanted = least[(fractions(_OVERLAP) * len(_LEAST_OVERLAPS)).long()]
    found, chosen = wanted >= 1, whole
    for trial in range(_TRIES):
        crop = _crop(whole, *(fractions(_CROPS + 4 * trial + number) for number in range(4)))
        takes = ~found & _is_sound(crop, objects, wanted)
        chosen = torch.where(takes.unsqueeze(1), crop, chosen)
        found = found | takes
    return chosen


def _crop(
    whole: torch.Tensor, height: torch.Tensor, width: torch.Tensor, top: torch.Tensor, left: torch.Tensor
) -> torch.Tensor:
    """Return crops of windows from fractions, int64, (n, 4)."""
    shares = torch.stack([height, width], dim=1)
    sides = torch.round((_LEAST_SIDE + (1 - _LEAST_SIDE) * shares) * whole[:, 2:]).long().clamp(min=1)
    corner = torch.stack([top, left], dim=1) * (whole[:, 2:] - sides + 1)
    return torch.cat([whole[:, :2] + corner.long(), sides], dim=1)


def _is_sound(crop: torch.Tensor, objects: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return which crops are of a usual shape and hold the centre of an object that they overlap enough, bool, (n,)."""
    rows, columns = crop[:, 2].double(), crop[:, 3].double()
    is_usual = torch.maximum(rows / columns, columns / rows) <= _GREATEST_RATIO
    boxes = objects[..., BOX].double()
    edges = torch.stack([crop[:, 1], crop[:, 0], crop[:, 1] + crop[:, 3], crop[:, 0] + crop[:, 2]], dim=1).double()
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    holds = ((centres >= edges[:, None, :2]) & (centres < edges[:, None, 2:])).all(dim=2) & (objects[..., CLASS] >= 0)
    overlap = overlaps(boxes, edges.unsqueeze(1)).squeeze(2)
    return is_usual & (holds & (overlap >= wanted.unsqueeze(1))).any(dim=1)
