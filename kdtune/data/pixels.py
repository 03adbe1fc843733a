"""Pixels of single images, from Pillow's images, tensors and arrays, as uint8 arrays."""

from typing import Any

import numpy as np

#: Modes of Pillow's images that have no colour.
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})

#: Remedy for values that are not those of pixels.
_UNNORMALISED = "return images before normalisation (uint8, or numbers between 0 and 1); kdtune normalises them itself"


def eight_bit(image: Any, *, grey: bool) -> Any:
    """Convert an image of Pillow's to mode ``L`` or ``RGB``.

    Transparency is dropped. Grey values of 16 bits keep their upper 8 bits, where Pillow itself would clip them.

    Raises:
        ValueError: The image cannot be converted without guessing the range of its values.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("holds floating-point pixels; save it with 8 bits per channel")
    if image.mode.startswith("I"):  # Pillow scales 16-bit files of other modes to this range, too
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("holds pixels of more than 16 bits; save it with 8 bits per channel")
        if image.mode == "I" and 0 < values.max() <= 0xFF:
            raise ValueError(
                f"holds 32-bit pixels of at most {values.max()}, which may have 8 bits or be dark ones of 16 bits; "
                "convert it to 8 bits per channel (mode L)"
            )
        image = Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))
    return image.convert("L" if grey else "RGB")


def pixels_of(image: Any) -> np.ndarray:
    """Return one image as uint8 of shape (channels, height, width).

    Args:
        image: A Pillow image; or a tensor or array of shape height x width, height x width x channels or channels x
            height x width, with 1 or 3 channels. Where both orders are possible, tensors have their channels first
            and arrays have them last.

    Raises:
        ValueError: It is not an image; the message has the reason and the remedy.
    """
    if hasattr(image, "convert") and hasattr(image, "mode"):
        image = np.asarray(eight_bit(image, grey=image.mode in GREY_MODES))
    values = array_of(image)
    if values.ndim == 2:
        return as_bytes(values)[None]
    if values.ndim != 3:
        raise ValueError(f"has shape {values.shape}; return height x width, or an image with 1 or 3 channels")
    return as_bytes(values if channels_first(values.shape, image) else values.transpose(2, 0, 1))


def channels_first(shape: tuple[int, ...], image: Any) -> bool:
    """Return whether the first of three axes holds the channels, and not the last.

    Args:
        shape: Of one image.
        image: The tensor or array.

    Raises:
        ValueError: Neither does.
    """
    first, last = shape[0] in (1, 3), shape[-1] in (1, 3)
    if not first and not last:
        raise ValueError(f"has shape {tuple(shape)}; images need 1 or 3 channels, as their first or last axis")
    return first and (not last or not isinstance(image, np.ndarray))


def array_of(values: Any) -> np.ndarray:
    """Return a tensor of any device, or anything else that numpy understands, as an array; shared where possible."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Convert pixels of any shape to uint8.

    Args:
        values: uint8, bool, or floating-point numbers between 0 and 1.

    Raises:
        ValueError: They are other numbers, or not finite.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"has {values.dtype} values; {_UNNORMALISED}")
    if not np.isfinite(values).all():
        raise ValueError("holds values that are not finite")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"has values between {values.min():.4g} and {values.max():.4g}; {_UNNORMALISED}")
    return np.rint(values * 255).astype(np.uint8)
