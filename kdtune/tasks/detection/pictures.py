"""Pictures of detectors: some test images with their objects and with the detections."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.data.batches import ImageSet
from kdtune.tasks.detection import matching, predictions

#: Number of images, and of images in a row.
IMAGES, IN_A_ROW = 8, 4

#: Width and height in pixels of an image in the picture.
SIDE = 192

#: Height in pixels of letters.
_LETTERS = 13

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
    for boxes, colour in ((objects[:, matching.BOX], OF_OBJECTS), (found[:, predictions.BOX], OF_DETECTIONS)):
        if len(boxes):
            large = draw_bounding_boxes(large, _visible(boxes * scale), colors=colour)
    return _labelled(large, found[:, predictions.BOX] * scale, names)


def _labelled(image: torch.Tensor, boxes: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Return an image, uint8, (3, SIDE, SIDE), with names above boxes, or inside those at its upper edge.

    They are outlined, and large enough to be read where a report shows the image smaller.
    """
    import matplotlib
    from PIL import ImageDraw, ImageFont
    from torchvision.transforms.functional import pil_to_tensor, to_pil_image

    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _LETTERS)
    picture = to_pil_image(image)
    drawing = ImageDraw.Draw(picture)
    for (left, top, *_), name in zip(boxes.tolist(), names, strict=True):
        room = max(0, SIDE - drawing.textlength(name, font) - 1)
        place = min(left + 1, room), top - 1.2 * _LETTERS if top > 1.2 * _LETTERS else top + 1
        drawing.text(place, name, OF_DETECTIONS, font, stroke_width=1, stroke_fill="black")
    return pil_to_tensor(picture)


def _visible(boxes: torch.Tensor) -> torch.Tensor:
    """Return boxes of at least a pixel, since others cannot be drawn."""
    return torch.cat([boxes[:, :2], boxes[:, 2:].maximum(boxes[:, :2] + 1)], dim=1)


def _name(number: int, class_names: Sequence[str]) -> str:
    return " ".join(class_names[number].split()) if number < len(class_names) else str(number)
