"""Images that were made from a teacher, in the cache.

A folder holds ``batches/*.npz``, one file for each finished batch, until all are there; then ``images.npz`` (uint8,
with the classes), ``sheet.png`` and ``record.json``, which is written last: a folder with it is complete. The ledger
holds the energy of making the images. The folder is named by a hash of everything that the images depend on.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kdtune.artifacts.teacher_record import RECORD, sha256_of
from kdtune.data.arrays import NOT_AN_ARRAY
from kdtune.errors import MachineError
from kdtune.storage.checksums import verified, with_checksum
from kdtune.storage.files import read_whole, replaced_atomically, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir

#: Name of the cache's folder that holds the folders of all synthetic images.
KIND = "synthetic-images"

#: Number that is increased when the same settings begin to give other images.
FORMAT = 1

#: Contact sheet in the folder of the images.
SHEET = "sheet.png"


@dataclass(frozen=True)
class MadeImages:
    """Some images and what the teacher says about them.

    Attributes:
        images: uint8, (n, channels, height, width).
        targets: The classes that they were made for, int64, (n,).
        labels: The classes that the teacher gives them, int64, (n,).
        confidences: The teacher's probability of ``labels``, float32, (n,).
    """

    images: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    confidences: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["MadeImages"]) -> "MadeImages":
        """Return the images of several parts, in order."""
        fields = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields})


@dataclass(frozen=True)
class SyntheticImages:
    """The images of one synthesis. Several processes may make different batches at the same time.

    Attributes:
        folder: Its folder, which need not exist yet.
        batches: Number of batches.
    """

    folder: Path
    batches: int

    @property
    def ledger(self) -> Path:
        """The folder of the ledgers that record the energy of making the images."""
        return self.folder / "ledger"

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.folder / SHEET

    @property
    def state(self) -> Path:
        """State of a method whose batches depend on each other, after the last finished batch."""
        return self.folder / "batches" / "state.pt"

    @property
    def _images(self) -> Path:
        return self.folder / "images.npz"

    def _batch(self, number: int) -> Path:
        return self.folder / "batches" / f"{number:06}.npz"

    def record(self) -> dict[str, Any] | None:
        """Return what is known of the images; None unless all of them are there and undamaged."""
        try:
            record = verified(parse_json(read_whole(self.folder / RECORD)))
            state = self._images.stat()
            sound = _sha256(self._images, state.st_size, state.st_mtime_ns) == record["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return dict(record) if sound else None

    def missing(self) -> list[int]:
        """Return the batches that have not been made."""
        if self.record():
            return []
        return [number for number in range(self.batches) if self.batch(number) is None]

    def add(self, number: int, made: MadeImages) -> None:
        """Save a finished batch."""
        self._batch(number).parent.mkdir(parents=True, exist_ok=True)
        _write(self._batch(number), made)

    def batch(self, number: int) -> MadeImages | None:
        """Return a batch; None if it is missing or damaged."""
        return self._read(self._batch(number))

    def all_batches(self) -> MadeImages:
        """Return the images of all batches, which are finished."""
        parts = [self.batch(number) for number in range(self.batches)]
        return MadeImages.joined([part for part in parts if part is not None])

    def finish(self, made: MadeImages, facts: dict[str, Any]) -> None:
        """Save all images in one file, and what is known of them."""
        _write(self._images, made)
        write_json(self.folder / RECORD, with_checksum({**facts, "sha256": sha256_of(self._images)}))
        shutil.rmtree(self.folder / "batches", ignore_errors=True)

    def read(self) -> MadeImages:
        """Return the images.

        Raises:
            MachineError: They are missing or damaged.
        """
        made = self._read(self._images) if self.record() else None
        if made is None:
            raise MachineError(f"{self.folder}: the synthetic images are missing or damaged; delete the folder")
        return made

    def _read(self, file: Path) -> MadeImages | None:
        """Return the images of a file; None if it is missing or damaged."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return MadeImages(**{name: arrays[name] for name in MadeImages.__dataclass_fields__})
        except (*NOT_AN_ARRAY, BadZipFile, KeyError):
            return None


def _write(file: Path, made: MadeImages) -> None:
    with replaced_atomically(file) as opened:
        np.savez(opened, **{name: getattr(made, name) for name in MadeImages.__dataclass_fields__})


@lru_cache(maxsize=16)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    return sha256_of(file)


def images_folder(name: str, key: str) -> Path:
    """Return the folder of synthetic images in the cache."""
    return cache_dir() / KIND / f"{name}-{key}"
