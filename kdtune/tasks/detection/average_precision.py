"""Average precision of detections, as the PASCAL VOC development kit and COCO define it.

VOC: a detection counts for the object of its class in its image that it overlaps most. It is right if they overlap by
more than half and no better detection has found the object. Detections of difficult objects are ignored, and difficult
objects need not be found. COCO: a detection counts for the object with which it overlaps most among those that no
better detection has found, for ten thresholds of the overlap; the 100 best detections of an image count.
"""

from dataclasses import dataclass

import numpy as np
import torch

from kdtune.tasks.detection import matching, predictions
from kdtune.tasks.detection.boxes import overlaps

#: Overlap that a right detection has to exceed (VOC).
VOC_OVERLAP = 0.5

#: Overlaps that a right detection has to reach (COCO).
COCO_OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))

#: Images whose detections are compared with their objects at once.
_IMAGES = 256

#: Detections of an image that count (COCO).
COCO_DETECTIONS = 100


@dataclass(frozen=True)
class ClassResult:
    """The detections of one class.

    Attributes:
        objects: Number of objects that are to be found.
        detections: Number of detections, without those that are ignored.
        eleven_points: Mean of the interpolated precision at recalls of 0, 0.1, ..., 1; None without objects.
        area: Area under the interpolated precision; None without objects.
    """

    objects: int
    detections: int
    eleven_points: float | None
    area: float | None


def voc_results(found: torch.Tensor, objects: torch.Tensor, classes: int) -> list[ClassResult]:
    """Return VOC's average precisions of each class.

    Args:
        found: Detections, (n, detections, 6); see :mod:`kdtune.tasks.detection.predictions`.
        objects: Objects of the same images, (n, objects, 6); see :mod:`kdtune.tasks.detection.matching`.
        classes: Number of classes.
    """
    found, objects = found.detach().cpu(), objects.detach().cpu()
    parts = zip(found.split(_IMAGES), objects.split(_IMAGES), strict=True)
    overlap, best, difficult = (torch.cat(one) for one in zip(*(_nearest(*part) for part in parts), strict=True))
    number = (best + torch.arange(len(best))[:, None] * max(1, objects.shape[1])).flatten().numpy()
    labels, scores = (found[..., column].flatten().numpy() for column in (predictions.CLASS, predictions.SCORE))
    hit, ignored = (overlap > VOC_OVERLAP).flatten().numpy(), difficult.flatten().numpy()
    is_wanted = (objects[..., matching.DIFFICULT] == 0).flatten().numpy()
    of_objects = objects[..., matching.CLASS].flatten().numpy()
    results = []
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        rows = rows[~(hit[rows] & ignored[rows])]
        right = hit[rows]
        firsts = np.zeros(len(rows), bool)
        hits = np.flatnonzero(right)
        firsts[hits[np.unique(number[rows[hits]], return_index=True)[1]]] = True
        count = int(((of_objects == label) & is_wanted).sum())
        results.append(_result(right & firsts, count))
    return results


def _nearest(found: torch.Tensor, objects: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return for each detection the greatest overlap with an object of its class, its number, and if it is difficult.

    Returns:
        float32, int64 and bool, each (n, detections); an overlap of -1 without such an object.
    """
    if not objects.shape[1]:
        overlap = torch.full(found.shape[:2], -1.0)
        return overlap, torch.zeros_like(overlap, dtype=torch.int64), torch.zeros_like(overlap, dtype=torch.bool)
    known = overlaps(found[..., predictions.BOX], objects[..., matching.BOX])
    same = found[..., None, predictions.CLASS] == objects[:, None, :, matching.CLASS]
    overlap, best = torch.where(same, known, -1.0).max(dim=2)
    return overlap, best, objects[..., matching.DIFFICULT].gather(1, best) > 0


def _result(right: np.ndarray, objects: int) -> ClassResult:
    """Return the result of detections that are right or wrong, best first."""
    if not objects:
        return ClassResult(0, len(right), None, None)
    recall, precision = _curve(right, objects)
    eleven = [precision[recall >= point - 1e-12].max(initial=0.0) for point in np.linspace(0, 1, 11)]
    steps = np.diff(np.concatenate([[0.0], recall]))
    return ClassResult(objects, len(right), float(np.mean(eleven)), float((steps * _interpolated(precision)).sum()))


def _curve(right: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision of the best 1, 2, ... detections."""
    found = np.cumsum(right)
    return found / objects, found / np.arange(1, len(right) + 1)


def _interpolated(precision: np.ndarray) -> np.ndarray:
    """Return the greatest precision from each place on."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean over the classes that have objects; None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def coco_precision(found: torch.Tensor, objects: torch.Tensor, classes: int) -> dict[float, float | None]:
    """Return COCO's mean average precision for each overlap, with the arguments of :func:`voc_results`.

    Difficult objects are treated as COCO treats crowds: detections that match one are ignored.
    """
    found, objects = found.detach().cpu()[:, :COCO_DETECTIONS], objects.detach().cpu()
    parts = zip(found.split(_IMAGES), objects.split(_IMAGES), strict=True)
    is_right, ignored = (np.concatenate(one, axis=1) for one in zip(*(_coco_matches(*x) for x in parts), strict=True))
    labels, scores = (found[..., column].flatten().numpy() for column in (predictions.CLASS, predictions.SCORE))
    wanted = objects[..., matching.CLASS][objects[..., matching.DIFFICULT] == 0].numpy()
    means: dict[float, float | None] = {}
    for threshold, right, unseen in zip(COCO_OVERLAPS, is_right, ignored, strict=True):
        values: list[float | None] = []
        for label in range(classes):
            rows = np.flatnonzero((labels == label) & ~unseen)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            values.append(_coco_area(right[rows], int((wanted == label).sum())))
        means[threshold] = mean_of(values)
    return means


def _coco_area(right: np.ndarray, objects: int) -> float | None:
    """Return the mean of the interpolated precision at 101 recalls; None without objects."""
    if not objects:
        return None
    recall, precision = _curve(right, objects)
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    precision = np.append(_interpolated(precision), 0.0)
    return float(precision[np.minimum(places, len(recall))].mean())


def _coco_matches(found: torch.Tensor, objects: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return which detections are right, and which are ignored, for each overlap: bool, (overlaps, n * detections)."""
    images, size = found.shape[:2]
    thresholds = torch.tensor(COCO_OVERLAPS, dtype=torch.float64).view(-1, 1, 1) - 1e-10
    right = torch.zeros(len(COCO_OVERLAPS), images, size, dtype=torch.bool)
    ignored = torch.zeros_like(right)
    if not objects.shape[1]:
        return right.flatten(1).numpy(), ignored.flatten(1).numpy()
    known = overlaps(found[..., predictions.BOX].double(), objects[..., matching.BOX].double())
    same = found[..., None, predictions.CLASS] == objects[:, None, :, matching.CLASS]
    known = torch.where(same & (objects[:, None, :, matching.CLASS] >= 0), known, -1.0)
    difficult = objects[..., matching.DIFFICULT] > 0
    free = torch.ones(len(COCO_OVERLAPS), images, objects.shape[1], dtype=torch.bool)
    for place in range(size):
        for is_difficult in (False, True):  # other objects come first
            overlap = torch.where(free & (difficult == is_difficult), known[:, place], -1.0)
            best, chosen = overlap.max(dim=2)
            hit = (best >= thresholds[..., 0]) & ~right[:, :, place] & ~ignored[:, :, place]
            (ignored if is_difficult else right)[:, :, place] |= hit
            taken = torch.zeros_like(free).scatter_(2, chosen.unsqueeze(2), hit.unsqueeze(2))
            free &= ~taken if not is_difficult else torch.ones_like(taken)
    return right.flatten(1).numpy(), ignored.flatten(1).numpy()
