"""Image files of any size and mode, decoded to square uint8 arrays of one size."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kdtune.data.arrays import scratch_images
from kdtune.data.pixels import GREY_MODES, eight_bit

#: Images that are waiting for a thread at any time.
_CHUNK = 1024

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

        Orientation tags of cameras are applied, of animations the first image is taken; see also
        :func:`kdtune.data.pixels.eight_bit`.

        Returns:
            uint8, (channels, image_size, image_size).

        Raises:
            Exception: Whatever Pillow raises for a damaged file.
        """
        from PIL import Image, ImageOps

        with Image.open(path) as opened:
            image = eight_bit(ImageOps.exif_transpose(opened), grey=self.channels == 1)
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

    def keep(self, chosen: np.ndarray) -> "Decoded":
        """Select images by a mask, bool, (N,); moves them within their own file, since there may be no room for two."""
        places = np.flatnonzero(chosen)
        for new, old in enumerate(places.tolist()):
            if new != old:
                self.images[new] = self.images[old]
        paths = [self.paths[place] for place in places]
        return Decoded(self.images[: len(places)], self.labels[places], paths, self.unusable)


def decode_all(files: Labelled, decoding: Decoding) -> Decoded:
    """Decode labelled files in their order, in several threads; those that cannot be decoded are left out and listed.

    Raises:
        KdtuneError: The cache's disk has no room for the images.
    """
    size = decoding.image_size
    images = scratch_images((len(files), decoding.channels, size, size))

    def decode_one(place: int) -> str | None:
        path = files[place][0]
        try:
            images[place] = decoding.decode(path)
        except Exception as error:  # broken bytes make Pillow raise whatever its decoders stumble over
            return "is empty" if _is_empty(path) else f"cannot be decoded ({_reason(error)})"
        return None

    reasons: list[str | None] = []
    with ThreadPoolExecutor(_threads()) as pool:  # Pillow's decoders release the interpreter's lock
        for start in range(0, len(files), _CHUNK):
            reasons += pool.map(decode_one, range(start, min(start + _CHUNK, len(files))))
    paths = [path for path, _ in files]
    labels = np.array([label for _, label in files], np.int64)
    unusable = {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}
    return Decoded(images, labels, paths, unusable).keep(np.array([reason is None for reason in reasons], bool))


def _threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 16)


def is_grey(files: Sequence[Path]) -> bool:
    """Return whether all files that can be opened are grey. Only their headers are read."""
    from PIL import Image

    modes = set()
    for path in files:
        try:
            with Image.open(path) as image:
                modes.add(image.mode)
        except Exception:  # it is reported when it is decoded
            continue
    return bool(modes) and modes <= GREY_MODES


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
