"""Decoded data sets as arrays, and their copies in the cache."""

import math
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from kdtune.errors import KdtuneError
from kdtune.storage.checksums import verified, with_checksum
from kdtune.storage.files import exclusive_lock, read_whole, replaced_atomically, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir

#: Increased when decoding changes, so that older decoded copies are not used.
FORMAT = 1

#: Errors that numpy raises for files that are not valid arrays.
NOT_AN_ARRAY = (OSError, EOFError, ValueError, OverflowError, SyntaxError, MemoryError, TokenError)

_FIELDS = ("train_images", "train_labels", "test_images", "test_labels")

#: Describes the arrays beside it. It is written last, so an interrupted decoding is never mistaken for a complete one.
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Arrays:
    """A decoded data set with its test set, which kdtune defines if the authors did not.

    Attributes:
        train_images: uint8, (N, channels, height, width), values 0 to 255.
        train_labels: int64, (N,).
        test_images: Like ``train_images``.
        test_labels: Like ``train_labels``.
        class_names: Names of the labels 0, 1, ...; empty if there are none.
        fingerprint: Identifies the decoded source; empty if its name is sufficient.
        remarks: What a user should know of the source, such as files that were left out; kept with the decoded copy.
        unopened_images: Number of training images that exist but were not opened, so that ``train_images`` is empty.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    remarks: tuple[str, ...] = ()
    unopened_images: int = 0

    @property
    def training_images(self) -> int:
        """Number of training images, opened or not."""
        return len(self.train_labels) + self.unopened_images

    def without_training_images(self) -> "Arrays":
        """Return the same data set with the test part alone."""
        images, labels = self.train_images[:0], self.train_labels[:0]
        return replace(self, train_images=images, train_labels=labels, unopened_images=self.training_images)


def decoded_test_part(name: str, fingerprint: str = "") -> Arrays | None:
    """Return the test part from the cache; None if there is no copy of this source. No training image is opened.

    Args:
        name: Name of the data set.
        fingerprint: Identifies the source.
    """
    folder = _folder(name, fingerprint)
    try:
        manifest = verified(parse_json(read_whole(folder / _MANIFEST)))
        tests = {field: np.lib.format.open_memmap(_file(folder, field), mode="r") for field in _FIELDS[2:]}
        noted = {field: dict(manifest["arrays"][field]) for field in tests}
        known = {field: {**one, "crc32": noted[field].get("crc32")} for field, one in _described(folder, tests).items()}
        if any({"crc32": None, **noted[field]} != one for field, one in known.items()):
            return None
        count, *shape = manifest["arrays"]["train_images"]["shape"]
        nothing, names = (np.empty((0, *shape), np.uint8), np.empty(0, np.int64)), tuple(manifest["class_names"])
        images, labels = (tests[field] for field in _FIELDS[2:])
        return Arrays(*nothing, images, labels, names, fingerprint, unopened_images=int(count))
    except (*NOT_AN_ARRAY, KeyError, TypeError, AttributeError):
        return None


def decoded_copy(name: str, fingerprint: str = "", *, checked: bool = False) -> Arrays | None:
    """Return the memory-mapped arrays from the cache, or None if there is no complete copy of this source.

    Memory-mapped files open in a millisecond, and all workers of a machine share their pages.

    Args:
        name: Name of the data set.
        fingerprint: Identifies the source.
        checked: Also compare the files with their checksums, which takes one second per gigabyte.
    """
    folder = _folder(name, fingerprint)
    try:
        manifest = verified(parse_json(read_whole(folder / _MANIFEST)))
        arrays = {field: np.lib.format.open_memmap(_file(folder, field), mode="r") for field in _FIELDS}
        noted = {field: dict(described) for field, described in manifest["arrays"].items()}
        # Copies made by early versions have no checksums.
        checksums = {field: described.pop("crc32") for field, described in noted.items() if "crc32" in described}
        if noted != _described(folder, arrays):
            return None
        if checked and any(_crc32(_file(folder, field)) != known for field, known in checksums.items()):
            return None
        names, remarks = tuple(manifest["class_names"]), tuple(manifest.get("remarks", ()))
        if not all(isinstance(text, str) for text in (*names, *remarks)):
            return None
        train, train_labels, test, test_labels = (arrays[field] for field in _FIELDS)
        return Arrays(train, train_labels, test, test_labels, names, fingerprint, remarks)
    except (*NOT_AN_ARRAY, KeyError, TypeError, AttributeError):
        return None  # absent, truncated or overwritten


def decoded_once(name: str, decode: Callable[[], Arrays], fingerprint: str = "", *, checked: bool = False) -> Arrays:
    """Return the arrays from the cache, decoding the source on first use, in one process at a time.

    Args:
        name: Name of the data set.
        decode: Reads the source.
        fingerprint: Identifies the source; each source has its own decoded copy.
        checked: See :func:`decoded_copy`.

    Raises:
        KdtuneError: The decoded copy cannot be written.
    """
    if found := decoded_copy(name, fingerprint, checked=checked):
        return found
    folder = _folder(name, fingerprint)
    with ExitStack() as stack:
        with _kept(folder):
            stack.enter_context(exclusive_lock(folder))
        # Another process may have decoded it in the meantime.
        found = decoded_copy(name, fingerprint, checked=checked)
        if found is None:
            arrays = decode()
            with _kept(folder):
                _write(folder, arrays)
            found = decoded_copy(name, fingerprint)
    if found is None:
        raise KdtuneError(f"{folder}: the decoded copy does not read back as it was written; is the disk sound?")
    return found


def decoded_files(name: str, fingerprint: str) -> list[Path]:
    """Return the paths of the files of a decoded copy, whether or not they exist."""
    folder = _folder(name, fingerprint)
    return [*(_file(folder, field) for field in _FIELDS), folder / _MANIFEST]


def scratch_images(shape: tuple[int, ...]) -> np.ndarray:
    """Allocate images in a file without a name, so that a data set may be larger than the memory while it is decoded.

    The file vanishes with the array, and with a process that is killed.

    Args:
        shape: (N, channels, height, width); N may be 0.

    Returns:
        uint8, all zeros.

    Raises:
        KdtuneError: The cache's disk has no room.
    """
    size = math.prod(shape)
    if size == 0:
        return np.zeros(shape, np.uint8)
    folder = cache_dir() / "decoded"
    with _kept(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # writing to a mapped file on a full disk would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)


def forget_copy(name: str, fingerprint: str) -> None:
    """Discard a damaged copy, so that it is decoded again on the next use.

    Raises:
        KdtuneError: The folder cannot be written.
    """
    folder = _folder(name, fingerprint)
    with _kept(folder), exclusive_lock(folder):
        if not decoded_copy(name, fingerprint, checked=True):  # otherwise another process has decoded it again
            (folder / _MANIFEST).unlink(missing_ok=True)


def _write(folder: Path, arrays: Arrays) -> None:
    (folder / _MANIFEST).unlink(missing_ok=True)
    for left_over in folder.glob(".*.tmp"):  # left by a killed process
        left_over.unlink()
    for field in _FIELDS:
        with replaced_atomically(_file(folder, field)) as file:
            np.save(file, getattr(arrays, field))
    described = _described(folder, {field: getattr(arrays, field) for field in _FIELDS})
    for field, one in described.items():
        one["crc32"] = _crc32(_file(folder, field))
    remarks = {"remarks": arrays.remarks} if arrays.remarks else {}
    write_json(folder / _MANIFEST, with_checksum({"arrays": described, "class_names": arrays.class_names, **remarks}))


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Convert an ``OSError`` to a message with the folder and the remedy.

    Raises:
        KdtuneError: The body raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise KdtuneError(
            f"{folder}: the decoded images cannot be kept ({error.strerror}); make room, or set KDTUNE_CACHE_DIR to "
            "a folder on another disk"
        ) from None


def _folder(name: str, fingerprint: str) -> Path:
    return cache_dir() / "decoded" / "-".join(filter(None, [name, str(FORMAT), fingerprint]))


def _file(folder: Path, field: str) -> Path:
    return folder / f"{field}.npy"


def _described(folder: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the manifest's entry for each array; only file sizes are read."""
    return {
        field: {"bytes": _file(folder, field).stat().st_size, "dtype": str(array.dtype), "shape": list(array.shape)}
        for field, array in arrays.items()
    }


def _crc32(path: Path) -> int:
    """Compute the CRC-32 of a file, read in pieces."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            checksum = zlib.crc32(piece, checksum)
    return checksum
