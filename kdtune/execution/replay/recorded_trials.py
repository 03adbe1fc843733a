"""Recorded trials of a study, from which searches are replayed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdtune.catalog.metric import Metric
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.epoch_log import Epoch, read_epochs, superseded
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.tasks.loading import objective_of

#: Identifies a point; the same for equal numbers of different types.
PointKey = Any


@dataclass(frozen=True)
class Reached:
    """What a training had reached after an epoch.

    Attributes:
        val_accuracy: Validation accuracy, as a fraction; None if the task has none.
        val_loss: Validation loss in nats.
        score: What strategies maximise.
    """

    val_accuracy: float | None
    val_loss: float
    score: float


@dataclass(frozen=True)
class RecordedTrial:
    """A trial that was trained to its end, or failed.

    Attributes:
        point: The suggestion as a flat table.
        last: What it reached in the end; None if it failed.
        epochs: What it reached after each epoch; empty if the epochs were not recorded completely.
        energy_uj: Energy of all attempts in microjoules; None if it was not metered.
    """

    point: Point
    last: Reached | None
    epochs: tuple[Reached, ...]
    energy_uj: int | None


@dataclass(frozen=True)
class RecordedRepeat:
    """The recorded trials of one repeat, by point. They share the seed, as the trials of a study do."""

    seed: int
    trials: dict[PointKey, RecordedTrial] = field(default_factory=dict)

    def best(self, keys: Iterable[PointKey]) -> PointKey | None:
        """Return the point that a search over these points chooses: best score, then lowest loss, then first."""
        ended = [(key, last) for key in keys if (last := self.trials[key].last) is not None]
        return min(ended, key=lambda pair: (-pair[1].score, pair[1].val_loss), default=(None, None))[0]


def key_of(point: Mapping[str, Any]) -> PointKey:
    """Return the key of a point."""
    key = tuple(sorted(point.items()))
    try:
        hash(key)
    except TypeError:  # an option is a table or a list
        return json.dumps(point, sort_keys=True)
    return key


def recorded_repeats(study: Study, folders: Sequence[StrategyFolder]) -> list[RecordedRepeat]:
    """Return the recorded trials of a study's strategies, for each repeat.

    A point that several strategies trained with one seed is the same training, so the first record counts.

    Args:
        study: The study.
        folders: Folders of its strategies.

    Raises:
        ResultsError: A file is damaged.
    """
    metric = objective_of(study)
    repeats = {seed: RecordedRepeat(seed) for seed in study.seeds()}
    for folder in folders:
        account = account_of_nodes(read_folder(folder.ledger))
        log = TrialLog.read(folder.trials)
        epochs = _by_trial(read_epochs(folder.epochs))
        for trial in log.trials.values():
            if trial.status not in ("completed", "failed") or trial.seed not in repeats:
                continue
            energy_uj = sum(account.windows.get(window, 0) for window in trial.windows) if account.quality else None
            recorded = RecordedTrial(
                trial.point, _last(trial, metric), _reached(trial, epochs.get(trial.id, []), metric), energy_uj
            )
            repeats[trial.seed].trials.setdefault(key_of(trial.point), recorded)
    return list(repeats.values())


def _by_trial(epochs: Sequence[Epoch]) -> dict[str, list[Epoch]]:
    found: dict[str, list[Epoch]] = {}
    for one, again in zip(epochs, superseded(epochs), strict=True):
        if not again:
            found.setdefault(one.trial_id, []).append(one)
    return found


def _last(trial: Trial, metric: Metric) -> Reached | None:
    deciding = trial.val_deciding
    if trial.status != "completed" or deciding is None or trial.val_loss is None:
        return None
    return Reached(trial.val_accuracy, trial.val_loss, metric.score(deciding))


def _reached(trial: Trial, epochs: Sequence[Epoch], metric: Metric) -> tuple[Reached, ...]:
    """Return what a trial reached after each epoch; empty unless every one of its epochs was recorded."""
    ordered = sorted(epochs, key=lambda one: one.epoch)
    if [one.epoch for one in ordered] != list(range(1, trial.epochs + 1)):
        return ()
    found = []
    for one in ordered:
        deciding = one.val_accuracy if one.val_objective is None else one.val_objective
        if deciding is None or one.val_loss is None:
            return ()
        found.append(Reached(one.val_accuracy, one.val_loss, metric.score(deciding)))
    return tuple(found)
