"""Image files of any size and mode, decoded to square uint8 arrays of one size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

#: File name endings of what is taken for an image.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})

Resize = Literal["crop", "stretch", "pad"]

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class Decoding:
    """How image files become arrays.

    Attributes:
        image_size: Height and width in pixels.
        resize: ``crop`` scales the shorter side to ``image_size`` and takes the centre; ``pad`` scales the longer side
            and adds black; ``stretch`` scales both sides, whatever the shape.
        channels: 3 for colour, 1 for grey.
    """

    image_size: int
    resize: Resize
    channels: int

    def decode(self, path: Path) -> np.ndarray:
        """Decode one file.

        Orientation tags of cameras are applied, transparency is dropped, of animations the first image is taken.

        Returns:
            uint8, (channels, image_size, image_size).

        Raises:
            Exception: Whatever Pillow raises for a damaged file.
        """
        from PIL import Image, ImageOps

        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB" if self.channels == 3 else "L")
        pixels = np.asarray(self._resized(image))
        return pixels.transpose(2, 0, 1) if self.channels == 3 else pixels[None]

    def _resized(self, image: Any) -> Any:
        from PIL import Image, ImageOps

        side = (self.image_size, self.image_size)
        if image.size == side:
            return image
        how = Image.Resampling.BILINEAR
        if self.resize == "crop":
            return ImageOps.fit(image, side, how)
        if self.resize == "pad":
            return ImageOps.pad(image, side, how)
        return image.resize(side, how)


@dataclass
class Decoded:
    """Images of one part of a data set, and the files that could not be used.

    Attributes:
        images: uint8, (N, channels, size, size).
        labels: int64, (N,).
        paths: Of each image.
        unusable: Files that were left out, each with the reason.
    """

    images: np.ndarray
    labels: np.ndarray
    paths: list[Path]
    unusable: dict[Path, str] = field(default_factory=dict)


def decode_all(files: Labelled, decoding: Decoding) -> Decoded:
    """Decode labelled files in their order; those that cannot be decoded are left out and listed."""
    size, unusable = decoding.image_size, {}
    kept: Labelled = []
    images = np.empty((len(files), decoding.channels, size, size), np.uint8)
    for path, label in files:
        try:
            images[len(kept)] = decoding.decode(path)
        except Exception as error:  # broken bytes make Pillow raise whatever its decoders stumble over
            unusable[path] = "is empty" if _is_empty(path) else f"cannot be decoded ({_reason(error)})"
        else:
            kept.append((path, label))
    labels = np.array([label for _, label in kept], np.int64)
    return Decoded(images[: len(kept)], labels, [path for path, _ in kept], unusable)


def is_grey(files: Sequence[Path]) -> bool:
    """Whether all files that can be opened are grey; reads their headers only."""
    from PIL import Image

    modes = set()
    for path in files:
        try:
            with Image.open(path) as image:
                modes.add(image.mode)
        except Exception:  # it is reported when it is decoded
            continue
    return bool(modes) and modes <= {"1", "L", "LA", "I", "I;16", "F"}


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
