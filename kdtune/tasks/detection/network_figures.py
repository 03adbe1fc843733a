"""Figures of detectors that were run on test images: their detections, and the average precision of each class."""

from collections.abc import Mapping, Sequence

import torch

from kdtune.data.batches import ImageSet
from kdtune.tasks.detection.average_precision import ClassResult
from kdtune.tasks.detection.document_figures import precision_bars
from kdtune.tasks.detection.pictures import LEAST_SHOWN, drawn, with_objects
from kdtune.tasks.detection.predictions import CLASS, SCORE
from kdtune.tasks.model_figures import ModelFigure, PictureRows

#: Number of images with boxes.
IMAGES = 4


def network_figures(
    found: Mapping[str, torch.Tensor],
    results: Mapping[str, Sequence[ClassResult]],
    part: ImageSet,
    class_names: Sequence[str],
) -> list[ModelFigure | str]:
    """Return the figures; see :meth:`kdtune.tasks.model_figures.DrawsNetworks.figures`.

    Args:
        found: Detections of all test images by model, each (n, detections, 6).
        results: The average precision of each class by model.
        part: The test images.
        class_names: Of the first classes.
    """
    classes = len(next(iter(results.values())))
    names = [*class_names, *map(str, range(len(class_names), classes))]
    chosen = with_objects(part, IMAGES)
    pictures = PictureRows(
        name="boxes",
        title="Detections in test images",
        description="Objects are green. Detections with a score of at least "
        f"{LEAST_SHOWN:g} are orange, with class and score. The images are the first ones with objects.",
        columns=[f"image {number + 1}" for number in chosen.tolist()],
        images={
            model: [one.permute(1, 2, 0).numpy() for one in drawn(boxes, part, chosen, names)]
            for model, boxes in found.items()
        },
        captions={model: [_count(boxes[number]) for number in chosen.tolist()] for model, boxes in found.items()},
    )
    precisions = {model: [one.eleven_points for one in every] for model, every in results.items()}
    return [pictures, precision_bars(precisions, names)]


def _count(boxes: torch.Tensor) -> str:
    """Return how many detections of an image, (detections, 6), are drawn."""
    return str(int(((boxes[:, CLASS] >= 0) & (boxes[:, SCORE] >= LEAST_SHOWN)).sum()))
