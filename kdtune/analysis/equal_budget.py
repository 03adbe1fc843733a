"""Strategies at an equal budget: what each has found when it was charged a given energy, as a curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdtune.analysis.comparison import Comparison
from kdtune.analysis.strategy_figures import common_metric
from kdtune.analysis.verdicts import Interval, bounded_record, t_interval
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import Fault, SpecError
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog


@dataclass(frozen=True)
class BudgetStep:
    """What a strategy has found at an energy.

    Attributes:
        kwh: Charge of one model, PUE included.
        validation: Mean validation value of the best finished trainings, over the repeats that have one; after all
            trainings of a repeat, that of the model that the strategy chose.
        repeats: Number of these repeats.
    """

    kwh: float
    validation: float
    repeats: int


@dataclass(frozen=True)
class AtBudget:
    """A strategy at the budget.

    Attributes:
        strategy: Name of the strategy.
        validation: Validation value of the best finished training of each repeat, with Student's t interval; None if no
            repeat has one, or if its energy was not measured.
        repeats: Number of repeats that have finished a training.
        trials: Mean number of finished trainings in all repeats; None without energies.
        kwh_needed: The energy at which every repeat has finished a training; None if some never has.
        curve: The expected outcome against energy, one step for every training of any repeat.
    """

    strategy: str
    validation: Interval | None
    repeats: int
    trials: float | None
    kwh_needed: float | None
    curve: tuple[BudgetStep, ...]


@dataclass(frozen=True)
class EqualBudget:
    """All strategies of a table at one budget.

    Attributes:
        kwh: The budget for one model, PUE included.
        metric: Name of the metric.
        metric_info: How it is judged and shown.
        strategies: The strategies.
    """

    kwh: float
    metric: str
    metric_info: Metric
    strategies: tuple[AtBudget, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as a record."""
        record: dict[str, Any] = bounded_record(self)
        return record


@dataclass(frozen=True)
class _Step:
    """A finished training of a repeat: the energy charged until then, and the best validation score."""

    kwh: float
    score: float


def check_budget(kwh: float) -> float:
    """Return a valid budget unchanged.

    Raises:
        SpecError: It is not greater than 0.
    """
    if not (math.isfinite(kwh) and kwh > 0):
        raise SpecError([Fault("--at-kwh", "", f"must be greater than 0 kWh, got {kwh:g}")])
    return kwh


def at_budget(found: Comparison, kwh: float) -> EqualBudget:
    """Return what each strategy has found when one model was charged an energy.

    What strategies share, such as the start of the session, counts before the first training of a repeat. Its other
    energy apart from trials, such as idle power and the evaluation, grows in proportion to that of its trials.
    """
    metric = common_metric(found.outcomes)
    return EqualBudget(
        kwh,
        metric.name,
        metric,
        tuple(
            _at_budget(result, _repeats(result, folder, metric), metric, kwh, folder)
            for result, folder in zip(found.outcomes, found.folders, strict=True)
        ),
    )


def _repeats(result: StrategyResult, folder: StrategyFolder, metric: Metric) -> list[list[_Step]]:
    """Return the steps of every repeat that has a model; empty if the energy was not measured."""
    log, windows = TrialLog.read(folder.trials), account_of_nodes(read_folder(folder.ledger)).windows
    carbon, repeats = result.cost.carbon, []
    shared_uj = result.cost.shared_uj.known_uj / len(result.repeats)
    for number, repeat in enumerate(result.repeats):
        if repeat.charged_uj is None or not repeat.test:
            continue
        trials = log.of_repeat(number)
        own = [sum(windows.get(window, 0) for window in trial.windows) for trial in trials]
        spent, best, steps = shared_uj, -math.inf, []
        factor = (repeat.charged_uj - shared_uj) / sum(own) if sum(own) else 0.0
        for trial, uj in zip(trials, own, strict=True):
            spent += uj * factor
            score = _score(trial, metric)
            if score is not None:
                best = max(best, score)
                steps.append(_Step(carbon.kwh(spent), best))
        chosen = log.chosen(number)
        if steps and number in log.planned and chosen and (score := _score(chosen, metric)) is not None:
            steps[-1] = replace(steps[-1], score=score)
        repeats.append(steps)
    return repeats


def _score(trial: Trial, metric: Metric) -> float | None:
    if trial.status != "completed":
        return None
    value = trial.val_accuracy if metric.name == ACCURACY else trial.val_objective
    return None if value is None else metric.score(value)


def _at_budget(
    result: StrategyResult, repeats: Sequence[Sequence[_Step]], metric: Metric, kwh: float, folder: StrategyFolder
) -> AtBudget:
    reached = [one for steps in repeats if (one := _last(steps, kwh)) is not None]
    first = [steps[0].kwh for steps in repeats if steps]
    images = folder.workload().val_images
    return AtBudget(
        strategy=result.strategy,
        validation=t_interval([metric.score(step.score) for step in reached], 1 / max(1, images)),
        repeats=len(reached),
        trials=sum(step.kwh <= kwh for steps in repeats for step in steps) / len(repeats) if repeats else None,
        kwh_needed=max(first) if first and len(first) == len(result.repeats) else None,
        curve=tuple(_curve(repeats, metric)),
    )


def _last(steps: Sequence[_Step], kwh: float) -> _Step | None:
    """Return the last step within a budget."""
    within = [step for step in steps if step.kwh <= kwh]
    return within[-1] if within else None


def _curve(repeats: Sequence[Sequence[_Step]], metric: Metric) -> list[BudgetStep]:
    found = []
    for kwh in sorted({step.kwh for steps in repeats for step in steps}):
        scores = [step.score for steps in repeats if (step := _last(steps, kwh)) is not None]
        found.append(BudgetStep(kwh, metric.score(sum(scores) / len(scores)), len(scores)))
    return found
