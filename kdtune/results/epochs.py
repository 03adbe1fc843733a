"""``epochs.jsonl``: one line for every epoch of every attempt."""

from pathlib import Path
from typing import Any

from kdtune.errors import ResultsError
from kdtune.files import append_lines, read_lines
from kdtune.results.trials import Trial

#: What a line takes from the trainable's report.
FIELDS = ("epoch", "train_loss", "val_loss", "val_accuracy", "tau", "learning_rate", "energy_uj")


def append_epochs(path: Path, trial: Trial, reports: list[dict[str, Any]]) -> None:
    """Append epochs of a trial's present attempt. Not forced to the disk: nothing is resumed from them."""
    attempt = {"trial_id": trial.id, "repeat": trial.repeat, "seed": trial.seed, "attempt": trial.attempts}
    lines = [{**attempt, **{field: report[field] for field in FIELDS}} for report in reports]
    append_lines(path, *lines, sync=False)


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Every line; one that a crash tore is left out.

    Raises:
        ResultsError: A line other than the last is damaged.
    """
    try:
        return read_lines(path)
    except ValueError as error:
        raise ResultsError(str(error)) from None
