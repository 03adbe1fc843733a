"""Decoded images as arrays: what a data set is once it has been read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdtune.files import replaced_atomically
from kdtune.paths import cache_dir

#: Raised when the way a data set is decoded changes, so that an older decoded copy is not used.
FORMAT = 1

_FIELDS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Arrays:
    """A data set with the test set that its authors (or we, where they gave none) set apart.

    Attributes:
        train_images: uint8, (N, channels, height, width), values 0 to 255.
        train_labels: int64, (N,).
        test_images: As ``train_images``.
        test_labels: As ``train_labels``.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def decoded_once(name: str, decode: Callable[[], Arrays]) -> Arrays:
    """The arrays from the cache, memory-mapped; decoded and put there on the first use.

    Memory-mapped files open in a millisecond and share their pages among all workers of a machine.
    """
    folder = cache_dir() / "data" / f"{name}-{FORMAT}"
    if not (folder / "complete").exists():
        arrays = decode()
        folder.mkdir(parents=True, exist_ok=True)
        for field in _FIELDS:
            with replaced_atomically(folder / f"{field}.npy") as file:
                np.save(file, getattr(arrays, field))
        # Written last: a decoding that was cut short is never taken for a whole one.
        (folder / "complete").touch()
    return Arrays(**{field: _open(folder / f"{field}.npy") for field in _FIELDS})


def _open(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
