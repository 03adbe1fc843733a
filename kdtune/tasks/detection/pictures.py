"""Pictures of detectors: some test images with their objects and with the detections."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.data.batches import ImageSet
from kdtune.tasks.detection import matching, predictions

#: Number of images, and of images in a row.
IMAGES, IN_A_ROW = 8, 4

#: Width and height in pixels of an image in the picture.
SIDE = 192

#: Score from which detections are drawn.
LEAST_SHOWN = 0.3

#: Colours of objects and of detections.
OF_OBJECTS, OF_DETECTIONS = "lime", "orange"


def detections_png(found: torch.Tensor, part: ImageSet, class_names: Sequence[str]) -> bytes:
    """Draw objects in green and detections in orange, with class and score, on the first images with objects.

    Args:
        found: Detections of all images, (n, detections, 6).
        part: The images, with their objects as labels.
        class_names: Of the first classes; those without a name are called by their number.

    Returns:
        A PNG file.
    """
    from torchvision.io import encode_png
    from torchvision.utils import make_grid

    chosen = with_objects(part, IMAGES)
    png: torch.Tensor = encode_png(make_grid(drawn(found, part, chosen, class_names), nrow=IN_A_ROW, pad_value=255))
    return bytes(png.numpy())


def with_objects(part: ImageSet, most: int) -> torch.Tensor:
    """Return the numbers of the first images with objects, int64, on the device of the images."""
    return (part.labels[..., matching.CLASS] >= 0).any(dim=1).nonzero().flatten()[:most]


def drawn(found: torch.Tensor, part: ImageSet, chosen: torch.Tensor, class_names: Sequence[str]) -> list[torch.Tensor]:
    """Draw objects and detections on images, as :func:`detections_png` does.

    Args:
        found: Detections of all images, (n, detections, 6).
        part: The images.
        chosen: Numbers of the images to draw, on their device.
        class_names: Of the first classes.

    Returns:
        Images, uint8, (3, SIDE, SIDE).
    """
    images, objects = part.images[chosen].cpu(), part.labels[chosen].cpu()
    return [_drawn(*each, class_names) for each in zip(images, objects, found[chosen.cpu()].cpu(), strict=True)]


def _drawn(image: torch.Tensor, objects: torch.Tensor, found: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
    """Return an image enlarged or reduced to a common size, with boxes, uint8, (3, SIDE, SIDE)."""
    from torchvision.utils import draw_bounding_boxes

    scale = torch.tensor([SIDE / image.shape[2], SIDE / image.shape[1]] * 2)
    large = F.interpolate(image[None].float(), (SIDE, SIDE), mode="nearest")[0].byte().expand(3, -1, -1)
    objects = objects[objects[:, matching.CLASS] >= 0]
    found = found[(found[:, predictions.CLASS] >= 0) & (found[:, predictions.SCORE] >= LEAST_SHOWN)]
    names = [f"{_name(int(one[0]), class_names)} {one[predictions.SCORE]:.2f}" for one in found]
    for boxes, colour, labels in (
        (objects[:, matching.BOX], OF_OBJECTS, None),
        (found[:, predictions.BOX], OF_DETECTIONS, names),
    ):
        if len(boxes):
            large = draw_bounding_boxes(large, _visible(boxes * scale), labels, colour, **_readable())
    return large


def _readable() -> dict[str, Any]:
    """Return how labels are written: on black, and large enough to be read where a report shows them smaller."""
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return {"font": str(font), "font_size": 13, "fill_labels": True, "label_background_colors": "black"}


def _visible(boxes: torch.Tensor) -> torch.Tensor:
    """Return boxes of at least a pixel, since others cannot be drawn."""
    return torch.cat([boxes[:, :2], boxes[:, 2:].maximum(boxes[:, :2] + 1)], dim=1)


def _name(number: int, class_names: Sequence[str]) -> str:
    return class_names[number] if number < len(class_names) else str(number)
