"""The teacher's logits of whole epochs in one memory-mapped file, filled an epoch at a time.

A folder in the cache holds ``logits.npy`` (float16, epochs x images x classes; float32 where a logit is too large for
float16), ``filled.jsonl`` (an epoch a line, written once its rows are on the disk) and the energy ledger of the
filling. It is named by a hash of everything that the logits depend on, so what is in it never changes.
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

#: Half the size of float32. Of a logit of 10 it keeps steps of 0.008, finer than bfloat16, in which teachers may run.
HALF = np.dtype("<f2")

#: For a store with a logit beyond 65,504, the greatest number that float16 holds.
SINGLE = np.dtype("<f4")

#: How often a store is filled at most: in float16, and where that is too small in float32.
FILLINGS = 2

#: Raised when the file's form or the way it is filled changes.
FORMAT = 1

#: Left free for everything else that a study writes.
MARGIN_BYTES = 1 << 30


@dataclass(frozen=True)
class LogitShape:
    """The size of a store.

    Attributes:
        epochs: Epochs with logits of their own; 1 where images are not changed at random.
        images: Images in the training part.
        classes: Logits of an image.
    """

    epochs: int
    images: int
    classes: int

    def bytes_as(self, dtype: np.dtype) -> int:
        """Of the logits on the disk."""
        return self.epochs * self.images * self.classes * dtype.itemsize


@dataclass(frozen=True)
class LogitStore:
    """One repeat's logits. Several processes may fill it side by side, each its own epochs.

    Attributes:
        folder: Need not exist yet.
        shape: Its size.
    """

    folder: Path
    shape: LogitShape

    @property
    def ledger(self) -> Path:
        """Where the energy of the filling is kept."""
        return self.folder / "ledger"

    @property
    def dtype(self) -> np.dtype:
        """Of the logits that are kept; that of float16, which is tried first, where there are none yet."""
        return self._kept_dtype() or HALF

    @property
    def bytes(self) -> int:
        """Of the logits on the disk, as far as it is known: it doubles where float16 turns out to be too small."""
        return self.shape.bytes_as(self.dtype)

    @property
    def _logits(self) -> Path:
        return self.folder / "logits.npy"

    @property
    def _filled(self) -> Path:
        return self.folder / "filled.jsonl"

    def missing_epochs(self) -> list[int]:
        """The epochs that are still to be filled; all of them where the file of logits is not there or not whole."""
        if self._kept_dtype() is None:
            return list(range(self.shape.epochs))
        filled = {epoch for epoch, checksum in self._noted().items() if checksum is not None}
        return [epoch for epoch in range(self.shape.epochs) if epoch not in filled]

    def create(self) -> None:
        """Set the whole file's room aside, so that a disk that fills up later cannot cut it short.

        Raises:
            KdtuneError: The disk cannot hold it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self._kept_dtype():
                return
            self._filled.unlink(missing_ok=True)
            for left_over in self.folder.glob(".*.tmp"):  # of a process that was killed
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
        """Make it a float32 store, unless another process has done so. All epochs are to be filled again, alike."""
        with self._alone():
            if self.dtype == SINGLE:
                return
            check_room(self.shape.bytes_as(SINGLE) - self.shape.bytes_as(HALF))
            self._filled.unlink(missing_ok=True)
            self._logits.unlink(missing_ok=True)
            self._allocate(SINGLE)

    def fill(self, epoch: int, batches: Iterator[np.ndarray]) -> bool:
        """Write one epoch's logits, then note that they are there.

        Args:
            epoch: Counted from 0.
            batches: float32, (n, classes) each, of the images in their order.

        Returns:
            Whether they are kept. If not, float16 could not hold them: the store is a float32 one now, and all of its
            epochs are missing.

        Raises:
            KdtuneError: A logit is no finite number, or the disk cannot hold them in float32.
        """
        with self._alone():
            store = np.lib.format.open_memmap(self._logits, mode="r+")
        rows, at = store[epoch], 0
        for batch in batches:
            if not np.isfinite(batch).all():
                raise KdtuneError(
                    "the teacher's logits are not finite numbers: its weights are too large, or not sound"
                )
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
            if store.dtype != self.dtype:  # another process found float16 to be too small meanwhile
                return False
            append_lines(self._filled, {"epoch": epoch, "crc32": _checksum(rows)})
        return True

    def rows(self, epoch: int) -> np.ndarray:
        """The logits of an epoch, read-only, in the store's type, (images, classes), compared with their checksum.

        Raises:
            MachineError: They are not there, or damaged; it is noted, so that they are made again.
        """
        try:
            store = np.lib.format.open_memmap(self._logits, mode="r")
            rows: np.ndarray = store[epoch % self.shape.epochs]
            sound = self._noted()[epoch % self.shape.epochs] == _checksum(rows)
        except (*NOT_AN_ARRAY, KeyError, IndexError):
            sound = False
        if not sound:
            with suppress(OSError), self._alone():  # what is gone as a whole is missed without a note
                append_lines(self._filled, {"epoch": epoch % self.shape.epochs, "crc32": None})
            raise MachineError(
                f"{self.folder}: the teacher's logits of epoch {epoch + 1} are missing or damaged; the next command "
                "makes them again"
            )
        return rows

    @property
    def _array_shape(self) -> tuple[int, int, int]:
        return self.shape.epochs, self.shape.images, self.shape.classes

    def _kept_dtype(self) -> np.dtype | None:
        """Of the file of logits; None where it is not there, or not whole."""
        try:
            store = np.lib.format.open_memmap(self._logits, mode="r")
        except NOT_AN_ARRAY:
            return None
        return store.dtype if store.shape == self._array_shape and store.dtype in (HALF, SINGLE) else None

    def _noted(self) -> dict[int, int | None]:
        """The checksum of each epoch that was filled, None of one found damaged; lines without sense left out."""
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
        """For moments; whoever fills holds the folder's own lock for as long as that takes."""
        with os.fdopen(open_no_link(self.folder / ".writing", os.O_RDWR), "r+") as lock:
            lock_file(lock.fileno(), fcntl.LOCK_EX, self.folder / ".writing", CACHE_REMEDY)
            yield


_REMEDY = "make room, set KDTUNE_CACHE_DIR to a folder on another disk, or set teacher_logits = 'live'"


def _checksum(rows: np.ndarray) -> int:
    return zlib.crc32(rows.data)


def store_folder(name: str, key: str) -> Path:
    """Where a store is kept, or will be.

    Args:
        name: Begins the folder's name, for people.
        key: Hash of everything that the logits depend on.
    """
    return cache_dir() / "teacher-logits" / f"{name}-{FORMAT}-{key}"


def room_bytes() -> int:
    """What the disk of the cache can take, a margin left free."""
    place = cache_dir()
    while not place.exists():
        place = place.parent
    return max(0, shutil.disk_usage(place).free - MARGIN_BYTES)


def check_room(wanted_bytes: int) -> None:
    """Make sure that the disk can hold so much more.

    Raises:
        KdtuneError: It cannot; the message has both sizes.
    """
    there = room_bytes()
    if wanted_bytes > there:
        raise KdtuneError(
            f"{cache_dir()}: the teacher's logits take {wanted_bytes / 1e9:.2g} GB, and there is room for "
            f"{there / 1e9:.2g} GB; {_REMEDY}"
        )
