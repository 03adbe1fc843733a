"""Strategies, trials and epochs as CSV files, with full precision and the unit in the name of each column."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdtune.report.csv_and_markdown import as_csv
from kdtune.report.reported_study import ReportedStudy
from kdtune.storage.escaping import for_spreadsheet


def write_csv_files(study: ReportedStudy, target: Path) -> list[Path]:
    """Write ``strategies.csv``, ``trials.csv`` and ``epochs.csv``."""
    strategies = target / "strategies.csv"
    strategies.write_text(as_csv(study.comparison.outcomes), encoding="utf-8")
    return [strategies, _write(target / "trials.csv", _trials(study)), _write(target / "epochs.csv", _epochs(study))]


def _trials(study: ReportedStudy) -> list[dict[str, Any]]:
    return [
        {
            "strategy": one.name,
            "trial_id": trial.id,
            "seed": trial.seed,
            "index": trial.index,
            **dict(trial.point),
            "status": trial.status,
            "attempts": trial.attempts,
            "epochs": trial.epochs,
            "val_accuracy": trial.val_accuracy,
            "val_objective": trial.val_objective,
            "val_loss": trial.val_loss,
            "energy_j": one.trial_uj[trial.id] / 1e6 if trial.id in one.trial_uj else None,
            "chosen": trial.id in one.chosen,
            "error": trial.error,
        }
        for one in study.strategies
        for trial in one.trials
    ]


def _epochs(study: ReportedStudy) -> list[dict[str, Any]]:
    rows = []
    for one in study.strategies:
        for epoch in (epoch for epochs in one.epochs.values() for epoch in epochs):
            line = asdict(epoch)
            energy_uj = line.pop("energy_uj")
            line.pop("tau_by_class")
            rows.append({"strategy": one.name, **line, "energy_j": None if energy_uj is None else energy_uj / 1e6})
    return rows


def _write(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        names = _names(rows)
        writer.writerow(names)
        writer.writerows([for_spreadsheet(row.get(name)) for name in names] for row in rows)
    return file


def _names(rows: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))
