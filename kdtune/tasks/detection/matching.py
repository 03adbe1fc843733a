"""Matches anchors with the objects of their images.

The objects of some images are one tensor, float32, (n, objects, 6): class, difficult (1 or 0) and box. Images with
fewer objects are filled up with rows of class -1.
"""

from dataclasses import dataclass

import torch

from kdtune.tasks.detection.boxes import encode, overlaps

#: Columns of the tensor of objects.
CLASS, DIFFICULT, BOX = 0, 1, slice(2, 6)
COLUMNS = 6

#: Least overlap of an anchor with an object that it is matched with, unless it is the object's best anchor.
LEAST_OVERLAP = 0.5

#: Class of anchors without an object.
BACKGROUND = 0


@dataclass(frozen=True)
class Matched:
    """What the anchors of some images are to predict.

    Attributes:
        labels: int64, (n, anchors): 0 for the background, otherwise 1 + the class of the object.
        offsets: float32, (n, anchors, 4): of the object's box from the anchor; 0 for the background.
    """

    labels: torch.Tensor
    offsets: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


def best_objects(quality: torch.Tensor) -> torch.Tensor:
    """Return the object of each anchor, as torchvision's ``SSDMatcher`` does.

    Each anchor gets the object with which it overlaps most, if by :data:`LEAST_OVERLAP`. In addition, each object gets
    the anchor with which it overlaps most; an anchor that is best for several objects gets the last of them.

    Args:
        quality: Overlaps, (n, objects, anchors); negative for rows that are no objects.

    Returns:
        int64, (n, anchors); -1 for anchors without an object.
    """
    found, chosen = quality.max(dim=1)
    chosen = torch.where(found >= LEAST_OVERLAP, chosen, -1)
    best = quality.argmax(dim=2)
    numbers = torch.arange(quality.shape[1], device=quality.device)
    is_object = quality.amax(dim=2) >= 0
    forced = torch.full_like(chosen, -1)
    forced.scatter_reduce_(1, best, torch.where(is_object, numbers, -1), "amax")
    return torch.where(forced >= 0, forced, chosen)


def match(objects: torch.Tensor, anchors: torch.Tensor) -> Matched:
    """Match the anchors of some images with the objects that are to be learned, which difficult ones are not.

    Args:
        objects: See the module, (n, objects, 6).
        anchors: (anchors, 4).
    """
    count, size = len(objects), len(anchors)
    if objects.shape[1] == 0:
        labels = torch.zeros(count, size, dtype=torch.int64, device=objects.device)
        return Matched(labels, torch.zeros(count, size, 4, device=objects.device))
    boxes = objects[..., BOX]
    is_learned = (objects[..., CLASS] >= 0) & (objects[..., DIFFICULT] == 0)
    quality = torch.where(is_learned.unsqueeze(2), overlaps(boxes, anchors), -1.0)
    chosen = best_objects(quality)
    has_object = chosen >= 0
    taken = objects.gather(1, chosen.clamp(min=0).unsqueeze(2).expand(-1, -1, COLUMNS))
    # Anchors without an object are encoded as their own boxes, so that no rare shape yields infinite offsets.
    wanted = torch.where(has_object.unsqueeze(2), taken[..., BOX], anchors)
    labels = torch.where(has_object, taken[..., CLASS].long() + 1, BACKGROUND)
    return Matched(labels, torch.where(has_object.unsqueeze(2), encode(wanted, anchors), 0.0))
