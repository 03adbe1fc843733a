"""Decoded images as arrays: what a data set is once it has been read."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from kdtune.errors import KdtuneError
from kdtune.storage.checksums import sealed, unsealed
from kdtune.storage.files import alone_in, read_whole, replaced_atomically, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir

#: Raised when the way a data set is decoded changes, so that an older decoded copy is not used.
FORMAT = 1

#: What numpy stumbles over in a file that is none of its own, or no more.
NOT_AN_ARRAY = (OSError, EOFError, ValueError, OverflowError, SyntaxError, MemoryError, TokenError)

_FIELDS = ("train_images", "train_labels", "test_images", "test_labels")

#: Says what the arrays beside it are. Written last: a decoding that was cut short is never taken for a whole one.
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Arrays:
    """A data set with the test set that its authors (or we, where they gave none) set apart.

    Attributes:
        train_images: uint8, (N, channels, height, width), values 0 to 255.
        train_labels: int64, (N,).
        test_images: As ``train_images``.
        test_labels: As ``train_labels``.
        class_names: Of label 0, 1, ...; empty where they have none.
        fingerprint: Of the source that was decoded; empty where its name says all.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""


def decoded_copy(name: str, fingerprint: str = "", *, checked: bool = False) -> Arrays | None:
    """The arrays from the cache, memory-mapped; None where there is no whole copy of this source.

    Memory-mapped files open in a millisecond and share their pages among all workers of a machine.

    Args:
        name: Of the data set.
        fingerprint: Of the source.
        checked: Hold the files against their checksums too, which takes a second a gigabyte.
    """
    folder = _folder(name, fingerprint)
    try:
        manifest = unsealed(parse_json(read_whole(folder / _MANIFEST)))
        arrays = {field: np.lib.format.open_memmap(_file(folder, field), mode="r") for field in _FIELDS}
        noted = {field: dict(described) for field, described in manifest["arrays"].items()}
        # Copies of kdtune before it noted checksums have none.
        checksums = {field: described.pop("crc32") for field, described in noted.items() if "crc32" in described}
        if noted != _described(folder, arrays):
            return None
        if checked and any(_crc32(_file(folder, field)) != known for field, known in checksums.items()):
            return None
        names = tuple(manifest["class_names"])
        if not all(isinstance(name, str) for name in names):
            return None
        return Arrays(**arrays, class_names=names, fingerprint=fingerprint)
    except (*NOT_AN_ARRAY, KeyError, TypeError, AttributeError):
        return None  # absent, cut short or overwritten


def decoded_once(name: str, decode: Callable[[], Arrays], fingerprint: str = "", *, checked: bool = False) -> Arrays:
    """The arrays from the cache; decoded and put there on the first use, by one process at a time.

    Args:
        name: Of the data set.
        decode: Reads the source.
        fingerprint: Of the source: each has a decoded copy of its own.
        checked: See :func:`decoded_copy`.

    Raises:
        KdtuneError: The decoded copy cannot be written.
    """
    if found := decoded_copy(name, fingerprint, checked=checked):
        return found
    folder = _folder(name, fingerprint)
    with ExitStack() as stack:
        with _kept(folder):
            stack.enter_context(alone_in(folder))
        # Another process may have decoded it meanwhile.
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
    """What a decoded copy consists of, or will."""
    folder = _folder(name, fingerprint)
    return [*(_file(folder, field) for field in _FIELDS), folder / _MANIFEST]


def forget_copy(name: str, fingerprint: str) -> None:
    """See to it that a damaged copy is made again by whoever wants it next.

    Raises:
        KdtuneError: It cannot be written.
    """
    folder = _folder(name, fingerprint)
    with _kept(folder), alone_in(folder):
        if not decoded_copy(name, fingerprint, checked=True):  # else another process made it again meanwhile
            (folder / _MANIFEST).unlink(missing_ok=True)


def _write(folder: Path, arrays: Arrays) -> None:
    (folder / _MANIFEST).unlink(missing_ok=True)
    for left_over in folder.glob(".*.tmp"):  # of a process that was killed
        left_over.unlink()
    for field in _FIELDS:
        with replaced_atomically(_file(folder, field)) as file:
            np.save(file, getattr(arrays, field))
    described = _described(folder, {field: getattr(arrays, field) for field in _FIELDS})
    for field, one in described.items():
        one["crc32"] = _crc32(_file(folder, field))
    write_json(folder / _MANIFEST, sealed({"arrays": described, "class_names": arrays.class_names}))


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Name the folder that could not be written, and the remedy.

    Raises:
        KdtuneError: The body met an ``OSError``.
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
    """What the manifest says of each array; to compare it costs a look at the file's size."""
    return {
        field: {"bytes": _file(folder, field).stat().st_size, "dtype": str(array.dtype), "shape": list(array.shape)}
        for field, array in arrays.items()
    }


def _crc32(path: Path) -> int:
    """Of a file's content, read piece by piece."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            checksum = zlib.crc32(piece, checksum)
    return checksum
