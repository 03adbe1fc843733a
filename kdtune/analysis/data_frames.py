"""Results as tidy data frames, for notebooks and plots."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kdtune.analysis.find_results import Places, find_results
from kdtune.energy.attribution import BUCKETS
from kdtune.energy.ledger import read_folder
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.epoch_log import OPTIONAL_FIELDS, read_epochs, superseded
from kdtune.results.trial_log import TrialLog

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Results:
    """All measurements, with one observation per row. The first columns of every frame are ``study`` and ``strategy``.

    Where a study is decided by another metric than the accuracy, trials and epochs have it as ``val_objective``.

    Attributes:
        trials: One row per trial. ``trial_id``; ``repeat`` (from 0); ``seed``; ``index`` (position among the repeat's
            suggestions); ``tau`` (NaN if the point has none) and the point's other values; ``policy``
            (``fixed``, ``stochastic`` or ``none``); ``status``; ``attempts``; ``epochs``; ``val_accuracy``
            (fraction); ``val_loss`` (nats); ``energy_j`` (joules of all attempts); ``chosen`` (whether its model was
            tested); ``error``.
        epochs: One row per epoch of an attempt. ``trial_id``, ``repeat``, ``seed``, ``attempt``, ``epoch`` (from 1),
            ``train_loss`` (unit of the loss), ``val_loss`` (nats), ``val_accuracy`` (fraction), ``tau`` (mean
            of the epoch), ``learning_rate``, ``energy_j`` (joules since the last reading; NaN for an epoch too
            short for one), ``superseded`` (whether a later attempt repeated the epoch from an earlier checkpoint;
            without these rows every epoch of a trial occurs once, but their energy was spent nevertheless).
            Where tau differs within an epoch, ``tau_p05``, ``tau_median`` and ``tau_p95`` are percentiles of it;
            where a policy computes it for each image, ``tau_by_class`` is its mean for each class.
        energy: One row per node and bucket. ``node``, ``bucket`` (``trials``, ``evaluation``, ``orchestration``,
            ``idle``, ``other``), ``energy_j`` (joules), ``quality`` (``counter``, ``polled``, ``modelled``). A
            node's buckets sum to its energy.
    """

    trials: "pandas.DataFrame"
    epochs: "pandas.DataFrame"
    energy: "pandas.DataFrame"


def _objective(value: float | None) -> dict[str, float]:
    return {} if value is None else {"val_objective": value}


def load_results(place: Places = "results") -> Results:
    """Read results into data frames.

    Args:
        place: The folder of a strategy, of a study, or of several studies; or a sequence of such folders, of which
            those without results are skipped with a warning.

    Raises:
        ResultsError: No results were found, or they are damaged.
    """
    import pandas as pd

    trials, epochs, energy = [], [], []
    for folder in find_results(place):
        labels = {"study": folder.path.parent.name, "strategy": folder.path.name}
        log = TrialLog.read(folder.trials)
        nodes = read_folder(folder.ledger)
        windows = account_of_nodes(nodes).windows
        chosen = {line["trial_id"] for line in log.evaluations.values()}
        for trial in log.trials.values():
            searched = {k: v for k, v in trial.point.items() if k not in ("tau", "temperature", "loss")}
            trials.append(
                {
                    **labels,
                    "trial_id": trial.id,
                    "repeat": trial.repeat,
                    "seed": trial.seed,
                    "index": trial.index,
                    "tau": trial.point.get("tau"),
                    **searched,
                    "policy": trial.temperature or "none",
                    "status": trial.status,
                    "attempts": trial.attempts,
                    "epochs": trial.epochs,
                    "val_accuracy": trial.val_accuracy,
                    "val_loss": trial.val_loss,
                    "energy_j": sum(windows.get(window, 0) for window in trial.windows) / 1e6,
                    "chosen": trial.id in chosen,
                    "error": trial.error,
                    **_objective(trial.val_objective),
                }
            )
        if folder.epochs.exists():
            lines = read_epochs(folder.epochs)
            for epoch, again in zip(lines, superseded(lines), strict=True):
                line = asdict(epoch)
                energy_uj, rest = line.pop("energy_uj"), {field: line.pop(field) for field in OPTIONAL_FIELDS}
                energy_j = None if energy_uj is None else energy_uj / 1e6
                there = {field: value for field, value in rest.items() if value is not None}
                epochs.append({**labels, **line, "energy_j": energy_j, "superseded": again} | there)
        for node, records in nodes.items():
            account = account_of_ledger(records)
            energy += [
                {**labels, "node": node, "bucket": b, "energy_j": account.buckets[b] / 1e6, "quality": account.quality}
                for b in BUCKETS
            ]
    return Results(pd.DataFrame(trials), pd.DataFrame(epochs), pd.DataFrame(energy))
