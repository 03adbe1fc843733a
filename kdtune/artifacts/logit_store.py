"""The teacher's logits of whole epochs in one memory-mapped file, filled an epoch at a time.

A folder in the cache holds ``logits.npy`` (float16, epochs x images x classes; float32 if a logit is too large for
float16), ``filled.jsonl`` (one line per epoch, written after its rows have reached the disk) and the ledger with the
energy of computing the logits. The folder is named by a hash of everything that the logits depend on, so its content
never changes.
"""

import fcntl
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdtune.data.arrays import NOT_AN_ARRAY
from kdtune.errors import KdtuneError, MachineError
from kdtune.storage.files import CACHE_REMEDY, lock_file, open_no_link, read_whole, replaced_by
from kdtune.storage.journal import append_lines
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir

#: Half the size of float32. For a logit of 10 its steps are 0.008, finer than those of bfloat16, in which teachers may
#: run.
HALF = np.dtype("<f2")

#: Used if a logit exceeds 65,504, the largest number of float16.
SINGLE = np.dtype("<f4")

#: Maximum number of times that a store is filled: in float16, and then in float32 if float16 is too small.
FILLINGS = 2

#: Number that is increased when the file's format or the way of filling it changes.
FORMAT = 1

#: Disk space that is left free for everything else that a study writes.
MARGIN_BYTES = 1 << 30


@dataclass(frozen=True)
class LogitShape:
    """The size of a store.

    Attributes:
        epochs: Number of epochs with different logits; 1 without random augmentation.
        images: Number of training images.
        classes: Number of logits of an image.
    """

    epochs: int
    images: int
    classes: int

    def bytes_as(self, dtype: np.dtype) -> int:
        """Return the size of the logits on the disk."""
        return self.epochs * self.images * self.classes * dtype.itemsize


@dataclass(frozen=True)
class LogitStore:
    """The logits of one repeat. Several processes may fill different epochs at the same time.

    Attributes:
        folder: Its folder, which need not exist yet.
        shape: Its size.
    """

    folder: Path
    shape: LogitShape

    @property
    def ledger(self) -> Path:
        """The folder of the ledgers that record the energy of computing the logits."""
        return self.folder / "ledger"

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored logits; float16 before the store exists."""
        return self._kept_dtype() or HALF

    @property
    def bytes(self) -> int:
        """Size of the logits on the disk; it doubles if float16 turns out to be too small."""
        return self.shape.bytes_as(self.dtype)

    @property
    def _logits(self) -> Path:
        return self.folder / "logits.npy"

    @property
    def _filled(self) -> Path:
        return self.folder / "filled.jsonl"

    def missing_epochs(self) -> list[int]:
        """Return the epochs that have not been filled; all epochs if the file of logits is missing or incomplete."""
        if self._kept_dtype() is None:
            return list(range(self.shape.epochs))
        filled = {epoch for epoch, checksum in self._noted().items() if checksum is not None}
        return [epoch for epoch in range(self.shape.epochs) if epoch not in filled]

    def create(self) -> None:
        """Allocate the whole file, so that a disk that becomes full later cannot truncate it.

        Raises:
            KdtuneError: The disk has too little space.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self._kept_dtype():
                return
            self._filled.unlink(missing_ok=True)
            for left_over in self.folder.glob(".*.tmp"):  # from a process that was killed
                left_over.unlink()
            check_room(self.shape.bytes_as(HALF))
            self._allocate(HALF)

    def _allocate(self, dtype: np.dtype) -> None:
        try:
            with replaced_by(self._logits) as temporary:
                np.lib.format.open_memmap(temporary, "w+", dtype, self._array_shape).flush()
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
                    os.fsync(file.fileno())
        except OSError as error:
            raise KdtuneError(f"{self.folder}: cannot be written ({error.strerror}); {_REMEDY}") from None

    def _widen(self) -> None:
        """Convert the store to float32, unless another process has done so. All epochs must then be filled again."""
        with self._alone():
            if self.dtype == SINGLE:
                return
            check_room(self.shape.bytes_as(SINGLE) - self.shape.bytes_as(HALF))
            self._filled.unlink(missing_ok=True)
            self._logits.unlink(missing_ok=True)
            self._allocate(SINGLE)

    def fill(self, epoch: int, batches: Iterator[np.ndarray]) -> bool:
        """Write the logits of one epoch, then record that the epoch is complete.

        Args:
            epoch: Epoch, counted from 0.
            batches: Arrays of shape (n, classes), float32, for the images in order.

        Returns:
            True if the logits were stored. False if they exceed float16's range: the store has then been converted to
            float32, and all of its epochs are missing.

        Raises:
            KdtuneError: A logit is not a finite number, or the disk has too little space for float32.
        """
        with self._alone():
            store = np.lib.format.open_memmap(self._logits, mode="r+")
        rows, at = store[epoch], 0
        for batch in batches:
            if not np.isfinite(batch).all():
                raise KdtuneError("the teacher's logits are not finite numbers: its weights are too large or damaged")
            part = rows[at : at + len(batch)]
            with np.errstate(over="ignore"):
                part[:] = batch
            if not np.isfinite(part).all():
                self._widen()
                return False
            at += len(batch)
        if at != self.shape.images:
            raise ValueError(f"{at} images instead of {self.shape.images}")
        store.flush()
        with self._alone():
            if store.dtype != self.dtype:  # another process has converted the store to float32 meanwhile
                return False
            append_lines(self._filled, {"epoch": epoch, "crc32": _checksum(rows)})
        return True

    def rows(self, epoch: int) -> np.ndarray:
        """Return the logits of an epoch after checking them: read-only, (images, classes), in the store's type.

        Raises:
            MachineError: The logits are missing or damaged. The epoch is marked as missing, so it is computed again.
        """
        try:
            store = np.lib.format.open_memmap(self._logits, mode="r")
            rows: np.ndarray = store[epoch % self.shape.epochs]
            sound = self._noted()[epoch % self.shape.epochs] == _checksum(rows)
        except (*NOT_AN_ARRAY, KeyError, IndexError):
            sound = False
        if not sound:
            with suppress(OSError), self._alone():  # a store that was deleted needs no mark
                append_lines(self._filled, {"epoch": epoch % self.shape.epochs, "crc32": None})
            raise MachineError(
                f"{self.folder}: the teacher's logits of epoch {epoch + 1} are missing or damaged; the next command "
                "computes them again"
            )
        return rows

    @property
    def _array_shape(self) -> tuple[int, int, int]:
        return self.shape.epochs, self.shape.images, self.shape.classes

    def _kept_dtype(self) -> np.dtype | None:
        """Return the type of the file of logits; None if the file is missing or incomplete."""
        try:
            store = np.lib.format.open_memmap(self._logits, mode="r")
        except NOT_AN_ARRAY:
            return None
        return store.dtype if store.shape == self._array_shape and store.dtype in (HALF, SINGLE) else None

    def _noted(self) -> dict[int, int | None]:
        """Return the checksum of each filled epoch, and None for damaged ones. Unreadable lines are skipped."""
        noted: dict[int, int | None] = {}
        try:
            lines = read_whole(self._filled).split(b"\n")
        except OSError:
            return noted
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                record = parse_json(line)
                noted[int(record["epoch"])] = None if record["crc32"] is None else int(record["crc32"])
        return noted

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock for a short time. The lock of the folder itself is held by the process that fills the store."""
        with os.fdopen(open_no_link(self.folder / ".writing", os.O_RDWR), "r+") as lock:
            lock_file(lock.fileno(), fcntl.LOCK_EX, self.folder / ".writing", CACHE_REMEDY)
            yield


_REMEDY = "make room, set KDTUNE_CACHE_DIR to a folder on another disk, or set teacher_logits = 'live'"


def _checksum(rows: np.ndarray) -> int:
    return zlib.crc32(rows.data)


def store_folder(name: str, key: str) -> Path:
    """Return the folder of a store, which need not exist yet.

    Args:
        name: Readable beginning of the folder's name.
        key: Hash of everything that the logits depend on.
    """
    return cache_dir() / "teacher-logits" / f"{name}-{FORMAT}-{key}"


def room_bytes() -> int:
    """Return the free space on the cache's disk, less :data:`MARGIN_BYTES`."""
    place = cache_dir()
    while not place.exists():
        place = place.parent
    return max(0, shutil.disk_usage(place).free - MARGIN_BYTES)


def check_room(wanted_bytes: int) -> None:
    """Check that the cache's disk has the given space.

    Raises:
        KdtuneError: It has less; the message contains both sizes.
    """
    there = room_bytes()
    if wanted_bytes > there:
        raise KdtuneError(
            f"{cache_dir()}: the teacher's logits take {wanted_bytes / 1e9:.2g} GB, and there is room for "
            f"{there / 1e9:.2g} GB; {_REMEDY}"
        )
