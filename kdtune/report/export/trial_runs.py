"""Trials as runs of an experiment tracker: parameters, and metrics by epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.results.trial import Trial

#: Fields of an epoch that are metrics.
_BY_EPOCH = ("train_loss", "val_loss", "val_accuracy", "val_objective", "tau", "learning_rate")

#: Status of a trial without an end.
NOT_FINISHED = "not finished"


@dataclass(frozen=True)
class TrialRun:
    """A trial as a run.

    Attributes:
        name: Its name, unique in the study.
        strategy: Name of its strategy.
        parameters: Its point, seed and status.
        metrics: Values at the end.
        by_epoch: For each metric, its values by epoch.
    """

    name: str
    strategy: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    by_epoch: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def runs_of(study: ReportedStudy) -> Iterator[TrialRun]:
    """Yield every trial of a study, in the order of strategies and suggestions."""
    for one in study.strategies:
        for trial in one.trials:
            yield _run(study, one, trial)


def _run(study: ReportedStudy, one: ReportedStrategy, trial: Trial) -> TrialRun:
    metrics: dict[str, float | None] = {
        "val_accuracy": trial.val_accuracy,
        "val_objective": trial.val_objective,
        "val_loss": trial.val_loss,
        "energy_j": one.trial_uj[trial.id] / 1e6 if trial.id in one.trial_uj else None,
        **_tested(one, trial),
    }
    parameters = {
        "study": study.study.name,
        "strategy": one.name,
        "seed": trial.seed,
        "status": trial.status or NOT_FINISHED,
        "chosen": trial.id in one.chosen,
        **trial.point,
    }
    epochs = one.epochs.get(trial.id, [])
    by_epoch = {
        name: [(epoch.epoch, value) for epoch in epochs if (value := getattr(epoch, name)) is not None]
        for name in _BY_EPOCH
    }
    return TrialRun(
        f"{one.name}/seed-{trial.seed}-{trial.index}-{trial.id}",
        one.name,
        {key: str(value) for key, value in parameters.items()},
        {key: value for key, value in metrics.items() if value is not None},
        {key: values for key, values in by_epoch.items() if values},
    )


def _tested(one: ReportedStrategy, trial: Trial) -> dict[str, float | None]:
    """Return the test metrics of a chosen trial."""
    if trial.id not in one.chosen:
        return {}
    repeat = next(repeat for repeat in one.result.repeats if repeat.seed == trial.seed)
    return {f"test_{name}": value for name, value in (repeat.test or {}).items()}
