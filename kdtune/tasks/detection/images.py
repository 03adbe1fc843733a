"""Images with objects on the training device, and what augmentation does to the boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from kdtune.data.augment import Changes
from kdtune.data.batches import ImageSet
from kdtune.tasks.detection.boxes import clipped
from kdtune.tasks.detection.matching import BOX, CLASS, Matched, match
from kdtune.tasks.detection.windows import KINDS, WindowChanges, drawn_windows

#: Pixels in a pass without gradients: 512 images of 64x64.
_PASS_PIXELS = 512 * 64 * 64

#: Anchors of all images of a part up to which they are matched once; 20 bytes each.
_MATCHED_ONCE = 1 << 21


@dataclass(frozen=True)
class BoxedImages(ImageSet):
    """Images and the objects in them.

    Attributes:
        labels: Objects of each image, float32, (N, objects, 6); see :mod:`kdtune.tasks.detection.matching`.
        anchors: Of the networks, on the device, (anchors, 4).
    """

    anchors: torch.Tensor = field(kw_only=True)

    @property
    def pass_size(self) -> int:
        """Images in a pass without gradients: fewer for larger images."""
        height, width = self.images.shape[2:]
        return max(8, min(super().pass_size, _PASS_PIXELS // (height * width)))

    def _drawn(self, index: torch.Tensor, changes: Sequence[str], seed: int, epoch: int) -> Changes:
        size = self.images.shape[2:]
        drawn = WindowChanges.drawn(index, [kind for kind in changes if kind not in KINDS], size, seed, epoch)
        if not {*changes} & {*KINDS}:
            return drawn
        window = drawn_windows(self.labels[index], index, changes, size, seed, epoch)
        return drawn.with_windows(window, torch.round(255 * self.mean.flatten()).to(torch.uint8))

    def targets(self, index: torch.Tensor, changes: Changes | None) -> Matched:
        """Return what the anchors of the images are to predict."""
        # A GPU matches within a captured step, which must not allocate what outlives it.
        if changes is None and self.labels.device.type == "cpu" and len(self) * len(self.anchors) <= _MATCHED_ONCE:
            return Matched(self._matched.labels[index], self._matched.offsets[index])
        return match(self.objects(index, changes), self.anchors)

    @cached_property
    def _matched(self) -> Matched:
        """What the anchors of all images are to predict without augmentation."""
        return match(self.labels, self.anchors)

    def strata(self) -> np.ndarray:
        """Return the rarest class of each image."""
        return rarest_classes(self.labels.cpu().numpy())

    def objects(self, index: torch.Tensor, changes: Changes | None) -> torch.Tensor:
        """Return the objects of images after augmentation, (n, objects, 6).

        Args:
            index: Numbers of the images, int64, (n,).
            changes: Augmentation of all images in this epoch, or None.
        """
        objects = self.labels[index]
        height, width = self.images.shape[2:]
        return objects if changes is None else moved(objects, changes.of(index), height, width)


def moved(objects: torch.Tensor, changes: Changes, height: int, width: int) -> torch.Tensor:
    """Move the objects of images as augmentation moves the pixels.

    Boxes are cut to the image. An object whose centre is outside the image is left out (SSD).

    Args:
        objects: (n, objects, 6).
        changes: Of these images, without rotation.
        height: Of the images.
        width: Of the images.
    """
    label, boxes = objects[..., CLASS], objects[..., BOX]

    def cut() -> None:
        # After every change, since the next one moves what is visible alone.
        nonlocal label, boxes
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        is_inside = ((centres >= 0) & (centres < boxes.new_tensor([width, height]))).all(dim=2)
        label, boxes = torch.where(is_inside, label, -1.0), clipped(boxes, height, width)

    for window in (changes.window if isinstance(changes, WindowChanges) else None, changes.box):
        if window is not None:
            top, left, rows, columns = window.to(boxes.dtype).view(-1, 4, 1, 1).unbind(1)
            boxes = _joined((boxes[..., 0::2] - left) * (width / columns), (boxes[..., 1::2] - top) * (height / rows))
            cut()
    if changes.offsets is not None:
        top, left, sign = changes.offsets.to(boxes.dtype).view(-1, 3, 1, 1).unbind(1)
        x = torch.where(sign > 0, boxes[..., 0::2] - left, (left + 1 - boxes[..., 0::2]).flip(2))
        boxes = _joined(x, boxes[..., 1::2] - top)
        cut()
    return torch.cat([label.unsqueeze(2), objects[..., 1:2], boxes], dim=2)


def _joined(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return boxes from left and right, and top and bottom, each (n, objects, 2)."""
    return torch.stack([x, y], dim=3).flatten(2)


def rarest_classes(labels: np.ndarray) -> np.ndarray:
    """Return for each image the class in it that the fewest images have, int64, (N,); -1 without objects.

    Split by it, rare classes keep their share of the validation part.

    Args:
        labels: Objects of each image, (N, objects, 6).
    """
    found = np.asarray(labels)[..., CLASS].astype(np.int64)
    classes = int(found.max(initial=-1)) + 1
    has = np.stack([(found == label).any(axis=1) for label in range(classes)], axis=1) if classes else None
    if has is None:
        return np.full(len(found), -1)
    images = has.sum(axis=0)
    rarity = np.where(has, images, np.iinfo(np.int64).max)
    return np.where(has.any(axis=1), rarity.argmin(axis=1), -1)
