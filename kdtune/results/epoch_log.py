"""``epochs.jsonl``: one line for every epoch of every attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdtune.errors import ResultsError
from kdtune.results.documents import Accuracy, Count, Value
from kdtune.results.trial_log import Trial
from kdtune.storage.journal import Journal, JournalError
from kdtune.storage.records import faults, parsed, strict

#: What a line takes from the trainable's report.
FIELDS = ("epoch", "train_loss", "val_loss", "val_accuracy", "tau", "learning_rate", "energy_uj")


@strict
@dataclass(frozen=True)
class Epoch:
    """One epoch of an attempt.

    Attributes:
        trial_id: Whose.
        repeat: Counted from 0.
        seed: The repeat's.
        attempt: Counted from 1.
        epoch: Counted from 1.
        train_loss: In the loss's own unit.
        val_loss: In nats.
        val_accuracy: A fraction.
        tau: Mean of the epoch.
        learning_rate: Of the epoch.
        energy_uj: Since the last reading; None for an epoch too short for one.
        val_objective: The metric that decides the study; None, and not in the file, where that is the accuracy.
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


def append_epochs(path: Path, trial: Trial, reports: Sequence[Mapping[str, Any]]) -> None:
    """Append epochs of a trial's present attempt. Not forced to the disk: nothing is resumed from them."""
    attempt = {"trial_id": trial.id, "repeat": trial.repeat, "seed": trial.seed, "attempt": trial.attempts}
    lines = [{**attempt, **{field: report[field] for field in FIELDS}, **_objective(report)} for report in reports]
    _journal(path).append(*lines, sync=False)


def _objective(report: Mapping[str, Any]) -> dict[str, float]:
    value = report.get("val_objective")
    return {} if value is None else {"val_objective": value}


def read_epochs(path: Path) -> list[Epoch]:
    """Every epoch; a line that a crash tore is left out.

    Raises:
        ResultsError: A line other than the last is damaged, or lacks something.
    """
    try:
        return _journal(path).read()
    except JournalError as error:
        raise ResultsError(str(error)) from None


def superseded(epochs: Sequence[Epoch]) -> list[bool]:
    """For each line, whether a later attempt trained its epoch again, from a checkpoint before it.

    Each epoch of a trial has exactly one line that is not superseded. The energy of the others was spent all the same.
    """
    last = {(one.trial_id, one.epoch): one.attempt for one in sorted(epochs, key=attrgetter("attempt"))}
    return [one.attempt != last[one.trial_id, one.epoch] for one in epochs]


def _journal(path: Path) -> Journal[Epoch]:
    return Journal(path, _epoch, "record of an epoch", "take it out, or delete the file: nothing is resumed from it")


def _epoch(line: dict[str, Any]) -> Epoch:
    try:
        return parsed(line, Epoch)
    except ValidationError as error:
        raise ValueError(faults(error)) from None
