"""What is known of synthetic images: how sure the teacher is of them, how different they are, and a contact sheet."""

from pathlib import Path
from typing import Any

import numpy as np

from kdtune.artifacts.synthetic_images import MadeImages
from kdtune.storage.files import replaced_atomically

#: Images in a row of the contact sheet, which shows one class in each row.
COLUMNS = 10

#: Rows of the contact sheet.
ROWS = 20

#: Height of an image in the contact sheet is at least this, in pixels.
LEAST_PIXELS = 32


def facts_of(made: MadeImages, classes: int) -> dict[str, Any]:
    """Return what results show of synthetic images.

    Returns:
        ``images``, their number; ``confidence``, the teacher's mean probability of the class that it names;
        ``target_agreement``, the share of images that the teacher gives the class that they were made for;
        ``diversity``, the root mean square difference of a pixel between two of the images, with pixels from 0 to 1;
        and ``class_counts``, how many images the teacher gives each class.
    """
    pixels = made.images.reshape(len(made.images), -1).astype(np.float64) / 255
    count = len(pixels)
    # The mean square difference of two draws is twice the variance.
    diversity = float(np.sqrt(2 * pixels.var(0, ddof=1).mean())) if count > 1 else 0.0
    return {
        "images": count,
        "confidence": float(made.confidences.astype(np.float64).mean()),
        "target_agreement": float((made.targets == made.labels).mean()),
        "diversity": diversity,
        "class_counts": np.bincount(made.labels, minlength=classes).tolist(),
    }


def write_sheet(made: MadeImages, classes: int, file: Path) -> None:
    """Write a contact sheet as PNG: the first images of each class that the teacher names, a class in each row."""
    from PIL import Image

    channels, height, width = made.images.shape[1:]
    rows = [made.images[made.labels == label][:COLUMNS] for label in range(min(classes, ROWS))]
    sheet = np.full((len(rows) * (height + 1) + 1, COLUMNS * (width + 1) + 1, channels), 128, np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = row * (height + 1) + 1, column * (width + 1) + 1
            sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    shown = sheet if channels == 3 else np.repeat(sheet[:, :, :1], 3, axis=2)
    scale = max(1, -(-LEAST_PIXELS // height))
    with replaced_atomically(file) as opened:
        Image.fromarray(np.kron(shown, np.ones((scale, scale, 1), np.uint8))).save(opened, format="PNG")
