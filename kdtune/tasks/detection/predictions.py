"""Detections from the outputs of a network: scores, suppression of overlapping boxes, and the best of an image.

The detections of some images are one tensor, float32, (n, MOST, 6): class, score and box, best first. Images with
fewer detections are filled up with rows of class -1.
"""

import torch

from kdtune.tasks.detection.boxes import clipped, decode, overlaps

#: Columns of the tensor of detections.
CLASS, SCORE, BOX = 0, 1, slice(2, 6)
COLUMNS = 6

#: Least score of a detection (SSD).
LEAST_SCORE = 0.01

#: Overlap above which the worse of two boxes of one class is suppressed (SSD).
GREATEST_OVERLAP = 0.45

#: Greatest number of detections in an image, and of boxes of a class before suppression (SSD).
MOST = 200

#: Numbers of overlaps that are computed at once.
_BLOCK = 1 << 24


def detections(
    logits: torch.Tensor, offsets: torch.Tensor, anchors: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Return the detections of some images.

    Args:
        logits: (n, anchors, classes + 1), the background first.
        offsets: (n, anchors, 4).
        anchors: (anchors, 4).
        height: Of the images.
        width: Of the images.

    Returns:
        See the module.
    """
    scores = logits.softmax(dim=2)[..., 1:].transpose(1, 2)  # (n, classes, anchors)
    boxes = clipped(decode(offsets, anchors), height, width)
    # An image has few candidates, so computing with as many as the fullest class has is cheaper than with all anchors.
    is_candidate = scores > LEAST_SCORE
    count = max(1, min(MOST, int(is_candidate.sum(dim=2).max())))
    best, places = torch.where(is_candidate, scores, 0.0).sort(dim=2, descending=True, stable=True)
    best, places = best[..., :count], places[..., :count]
    taken = boxes.unsqueeze(1).expand(-1, scores.shape[1], -1, -1)
    taken = taken.gather(2, places.unsqueeze(3).expand(-1, -1, -1, 4))
    return _best_of_images(taken, torch.where(suppressed(taken, best), best, 0.0))


def suppressed(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return which boxes remain if each remaining box suppresses the worse ones of its class that overlap it too much.

    Args:
        boxes: (n, classes, boxes, 4); best first in each class.
        scores: (n, classes, boxes); a score of 0 stands for no box.

    Returns:
        bool, (n, classes, boxes).
    """
    if boxes.device.type == "cpu":
        return image_by_image(boxes, scores)
    return all_together(boxes.flatten(0, 1), scores.flatten(0, 1)).view(scores.shape)


def all_together(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Do it for all rows at once, for a GPU; boxes (rows, boxes, 4), scores (rows, boxes). See :func:`suppressed`."""
    size = boxes.shape[1]
    parts = []
    for some, good in zip(*(one.split(max(1, _BLOCK // size**2)) for one in (boxes, scores > 0)), strict=True):
        clashes = (overlaps(some, some) > GREATEST_OVERLAP).triu(1)
        kept = good.clone()
        for place in range(size - 1):
            kept &= ~(clashes[:, place] & kept[:, place, None])
        parts.append(kept)
    return torch.cat(parts)


def image_by_image(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Do it without the overlaps of boxes that are suppressed, for a CPU; see :func:`suppressed`."""
    # Every study that runs inline imports this module, and torchvision imports torch's compiler, which takes seconds.
    from torchvision.ops import batched_nms

    kept = torch.zeros_like(scores, dtype=torch.bool)
    # In double precision, since batched_nms moves the boxes of each class by a distance of its own.
    for rows, some, good in zip(kept, boxes.double(), scores.double(), strict=True):
        classes, places = good.nonzero(as_tuple=True)
        remaining = batched_nms(some[classes, places], good[classes, places], classes, GREATEST_OVERLAP)
        rows[classes[remaining], places[remaining]] = True
    return kept


def _best_of_images(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the best detections of all classes; boxes (n, classes, boxes, 4), scores (n, classes, boxes)."""
    classes = torch.arange(scores.shape[1], device=scores.device, dtype=scores.dtype).view(1, -1, 1).expand_as(scores)
    every = torch.cat([classes.unsqueeze(3), scores.unsqueeze(3), boxes], dim=3).flatten(1, 2)
    order = every[..., SCORE].argsort(dim=1, descending=True, stable=True)[:, :MOST]
    found = every.gather(1, order.unsqueeze(2).expand(-1, -1, COLUMNS))
    rows = found.new_zeros(len(found), MOST, COLUMNS)
    rows[..., CLASS] = -1
    rows[:, : found.shape[1]] = torch.where(found[..., SCORE : SCORE + 1] > 0, found, rows[:, :1])
    return rows
