"""``epochs.jsonl``: one line for each epoch of each attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdtune.errors import ResultsError
from kdtune.results.trial import Trial
from kdtune.storage.field_types import Accuracy, Count, Value
from kdtune.storage.journal import Journal, JournalError
from kdtune.storage.records import faults, parsed, strict

#: Fields that a line has only where the report has them.
OPTIONAL_FIELDS = ("val_objective", "tau_p05", "tau_median", "tau_p95", "tau_by_class")

#: Fields that are copied from the trainable's report.
FIELDS = ("epoch", "train_loss", "val_loss", "val_accuracy", "tau", "learning_rate", "energy_uj")


@strict
@dataclass(frozen=True)
class Epoch:
    """One epoch of an attempt.

    Attributes:
        trial_id: Id of the trial.
        repeat: Index of the repeat, from 0.
        seed: Seed of the repeat.
        attempt: Number of the attempt, from 1.
        epoch: Number of the epoch, from 1.
        train_loss: Training loss, in the unit of the loss.
        val_loss: Validation loss, in nats.
        val_accuracy: Validation accuracy, as a fraction.
        tau: Mean temperature of the epoch.
        learning_rate: Learning rate of the epoch.
        energy_uj: Energy since the last reading of the meter, in microjoules; None if there was no reading in the
            epoch.
        val_objective: Value of the study's objective on the validation images; None, and absent from the file, if the
            objective is the accuracy.
        tau_p05: The 5th percentile of the temperatures of the epoch, over its images if each has its own, otherwise
            over its steps; None, and absent from the file, if all are equal. So are the next two.
        tau_median: Their median.
        tau_p95: Their 95th percentile.
        tau_by_class: Their mean for each class, None for a class without images; None, and absent from the file,
            unless a temperature policy computes one for each image.
    """

    trial_id: str
    repeat: Count
    seed: Count
    attempt: Count
    epoch: Count
    train_loss: float | None
    val_loss: float | None
    val_accuracy: Accuracy | None
    tau: float | None
    learning_rate: float | None
    energy_uj: Count | None
    val_objective: Value | None = None
    tau_p05: float | None = None
    tau_median: float | None = None
    tau_p95: float | None = None
    tau_by_class: list[float | None] | None = None


def append_epochs(path: Path, trial: Trial, reports: Sequence[Mapping[str, Any]]) -> None:
    """Append epochs of a trial's current attempt. The file is not synced to disk, since nothing is resumed from it."""
    attempt = {"trial_id": trial.id, "repeat": trial.repeat, "seed": trial.seed, "attempt": trial.attempts}
    lines = [{**attempt, **{field: report[field] for field in FIELDS}, **_optional(report)} for report in reports]
    _journal(path).append(*lines, sync=False)


def _optional(report: Mapping[str, Any]) -> dict[str, Any]:
    return {field: report[field] for field in OPTIONAL_FIELDS if report.get(field) is not None}


def read_epochs(path: Path) -> list[Epoch]:
    """Return all epochs. A last line that was only partly written is skipped.

    Raises:
        ResultsError: A line other than the last is damaged or incomplete.
    """
    try:
        return _journal(path).read()
    except JournalError as error:
        raise ResultsError(str(error)) from None


def superseded(epochs: Sequence[Epoch]) -> list[bool]:
    """Return for each epoch whether a later attempt trained it again from an earlier checkpoint.

    Exactly one line of each epoch of a trial is not superseded. The energy of the superseded ones was used all the
    same.
    """
    last = {(one.trial_id, one.epoch): one.attempt for one in sorted(epochs, key=attrgetter("attempt"))}
    return [one.attempt != last[one.trial_id, one.epoch] for one in epochs]


def _journal(path: Path) -> Journal[Epoch]:
    remedy = "remove the line, or delete the file; nothing is resumed from it"
    return Journal(path, _epoch, "record of an epoch", remedy)


def _epoch(line: dict[str, Any]) -> Epoch:
    try:
        return parsed(line, Epoch)
    except ValidationError as error:
        raise ValueError(faults(error)) from None
