"""Records of the teachers in the cache. This module does not import torch, which the driver does not need otherwise."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kdtune.storage.checksums import verified
from kdtune.storage.field_types import Accuracy, TestMetrics, Value
from kdtune.storage.files import read_whole
from kdtune.storage.journal import Journal
from kdtune.storage.parsing import parse_json
from kdtune.storage.records import LEFT_OUT_IF_NONE, parsed, strict

#: File of the weights in a teacher's folder, unless a user gave them.
WEIGHTS = "teacher.pt"

#: File of the record in a teacher's folder, written last.
RECORD = "record.json"


@strict
@dataclass(frozen=True)
class TeacherRecord:
    """Metrics of a teacher, as its record contains them.

    Attributes:
        model: Name of the model.
        epochs: Epochs of the training; None for a teacher whose weights the user gave.
        val_accuracy: Validation accuracy, as a fraction; None where the task has no accuracy.
        val_loss: Validation loss, in nats.
        test: Metrics on the test images.
        given: Identity of the weights that the user gave; None for a teacher that kdtune trained.
        dataset: Name of the data set.
        weights_sha256: Checksum of the weights' file.
        chance_accuracy: Accuracy of always predicting the most frequent class.
        reordered_accuracy: Accuracy under the best permutation of the classes.
        val_objective: Value of the study's objective on the validation images; None if that is the accuracy.
        chance_objective: The same on validation and test images together, of predictions that know nothing of them.
        mean: Mean by which its images are normalised, for each channel, with pixels from 0 to 1.
        std: Standard deviation, like ``mean``.
    """

    model: str
    epochs: Annotated[int, Field(ge=1, lt=2**31)] | None
    val_accuracy: Accuracy | None
    val_loss: float
    test: TestMetrics
    given: str | None = None
    dataset: str | None = None
    weights_sha256: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    chance_accuracy: Accuracy | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    reordered_accuracy: Accuracy | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    val_objective: Value | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    chance_objective: Value | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    mean: tuple[float, ...] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    std: tuple[float, ...] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return a teacher's record with its metrics on validation and test images; None if there is no complete teacher.

    None is also returned if the record cannot be read or the weights do not match it; the teacher is then trained
    again. For a given teacher, ``given`` is the hash of its weights; otherwise it is None.
    """
    record = _noted(folder)
    if record is None or not (record.get("given") or weights_are_sound(folder)):
        return None
    return record


def epoch_journal(folder: Path) -> Journal[dict[str, Any]]:
    """Return the journal with the metrics of each epoch of a teacher's training."""
    remedy = "replace it with an intact copy, or delete the folder to train the teacher again"
    return Journal(folder / "epochs.jsonl", dict, "record of an epoch", remedy)


def weights_are_sound(folder: Path) -> bool:
    """Return whether a trained teacher's weights exist and have the checksum of its record.

    Records of older releases have no checksum, and their weights are accepted. A process reads the file again only
    after it has changed.
    """
    weights = folder / WEIGHTS
    known = (_noted(folder) or {}).get("weights_sha256")
    try:
        state = weights.stat()
        return known is None or _sha256(weights, state.st_size, state.st_mtime_ns) == known
    except OSError:
        return False


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=16)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    return sha256_of(file)


def _noted(folder: Path) -> dict[str, Any] | None:
    try:
        record = parse_json(read_whole(folder / RECORD))
        parsed(record, TeacherRecord)
        return verified(record)
    except (OSError, ValueError):
        return None
