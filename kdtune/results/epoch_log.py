"""``epochs.jsonl``: one line for every epoch of every attempt."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from kdtune.errors import ResultsError
from kdtune.results.documents import Accuracy, Count, Shape, check
from kdtune.results.trial_log import Trial
from kdtune.storage.files import append_lines, read_lines

#: What a line takes from the trainable's report.
FIELDS = ("epoch", "train_loss", "val_loss", "val_accuracy", "tau", "learning_rate", "energy_uj")


class Epoch(Shape):
    """What a line has to hold."""

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


def append_epochs(path: Path, trial: Trial, reports: list[dict[str, Any]]) -> None:
    """Append epochs of a trial's present attempt. Not forced to the disk: nothing is resumed from them."""
    attempt = {"trial_id": trial.id, "repeat": trial.repeat, "seed": trial.seed, "attempt": trial.attempts}
    lines = [{**attempt, **{field: report[field] for field in FIELDS}} for report in reports]
    append_lines(path, *lines, sync=False)


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Every line; one that a crash tore is left out.

    Raises:
        ResultsError: A line other than the last is damaged, or lacks something.
    """
    try:
        lines = read_lines(path)
        for number, line in enumerate(lines, start=1):
            check(line, Epoch, path, f"line {number}; take it out, or delete the file: nothing is resumed from it")
    except ValueError as error:
        raise ResultsError(str(error)) from None
    return lines


def superseded(lines: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each line, whether a later attempt trained its epoch again, from a checkpoint before it.

    Each epoch of a trial has exactly one line that is not superseded. The energy of the others was spent all the same.
    """
    last = {(line["trial_id"], line["epoch"]): line["attempt"] for line in sorted(lines, key=itemgetter("attempt"))}
    return [line["attempt"] != last[line["trial_id"], line["epoch"]] for line in lines]
