"""Everything that a report shows of one study, read from its folder."""

from dataclasses import dataclass
from typing import Any

from kdtune.analysis.baseline_choice import baseline_of
from kdtune.analysis.baseline_comparisons import TableStatistics, statistics_of
from kdtune.analysis.comparison import Comparison, WantedCarbon, compare
from kdtune.analysis.energy_over_time import Curve, charged_over_time
from kdtune.analysis.recommendation import Recommendation, recommendation_of
from kdtune.analysis.strategy_figures import StrategyFigures, common_metric, figures_of
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.epoch_log import Epoch, read_epochs, superseded
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study


@dataclass(frozen=True)
class ReportedStrategy:
    """A strategy of a reported study.

    Attributes:
        result: Its result.
        folder: Its folder.
        figures: Its figures by seed.
        trials: Its trials, in the order of suggestion.
        chosen: Ids of the trials whose models were tested.
        trial_uj: Energy of all attempts of each trial, by id; empty if nothing was metered.
        epochs: Epochs of each trial, by id, without those that a later attempt repeated.
        over_time: Growth of the energy that its own ledgers charge.
    """

    result: StrategyResult
    folder: StrategyFolder
    figures: StrategyFigures
    trials: tuple[Trial, ...]
    chosen: frozenset[str]
    trial_uj: dict[str, int]
    epochs: dict[str, list[Epoch]]
    over_time: Curve

    @property
    def name(self) -> str:
        """Its name in the report."""
        return self.result.strategy

    def chosen_trials(self) -> list[Trial]:
        """Return the trials whose models were tested, in the order of repeats."""
        return [trial for trial in self.trials if trial.id in self.chosen]


@dataclass(frozen=True)
class ReportedStudy:
    """A study with its results.

    Attributes:
        folder: Its folder.
        study: The study as it ran.
        comparison: Its results.
        metric: The metric that decided it.
        recommendation: What to do next.
        statistics: Comparisons with the baseline.
        baseline: Name of the baseline.
        strategies: Its strategies, in the order of the comparison.
        run: Content of ``run.toml``; empty if there is none.
    """

    folder: StudyFolder
    study: Study
    comparison: Comparison
    metric: Metric
    recommendation: Recommendation
    statistics: TableStatistics
    baseline: str
    strategies: tuple[ReportedStrategy, ...]
    run: dict[str, Any]

    def value(self, trial: Trial | Epoch) -> float | None:
        """Return the deciding metric of a trial or an epoch on the validation images."""
        return trial.val_accuracy if self.metric.name == ACCURACY else trial.val_objective


def read_study(folder: StudyFolder, strategies: list[StrategyFolder], carbon: WantedCarbon = None) -> ReportedStudy:
    """Read a study. Strategies that differ in more than the strategy are shown together, with a warning.

    Args:
        folder: Folder of the study.
        strategies: Folders of the strategies to show.
        carbon: Settings for CO2; see :func:`kdtune.compare`.

    Raises:
        ResultsError: The results are damaged.
    """
    found = compare([one.path for one in strategies], allow_mismatch=True, carbon=carbon)
    metric = common_metric(found.outcomes)
    figures = figures_of(found, metric)
    recommendation = recommendation_of(folder.path, found, figures)
    baseline = baseline_of(found.outcomes)
    return ReportedStudy(
        folder=folder,
        study=found.folders[0].read_study(),
        comparison=found,
        metric=metric,
        recommendation=recommendation,
        statistics=statistics_of(found, baseline, figures),
        baseline=baseline,
        strategies=tuple(
            _strategy(result, place, figures[result.strategy])
            for result, place in zip(found.outcomes, found.folders, strict=True)
        ),
        run=folder.read_run() if folder.run_toml.is_file() else {},
    )


def _strategy(result: StrategyResult, folder: StrategyFolder, figures: StrategyFigures) -> ReportedStrategy:
    log, nodes = TrialLog.read(folder.trials), read_folder(folder.ledger)
    windows = account_of_nodes(nodes).windows
    trials = tuple(log.trials.values())
    return ReportedStrategy(
        result=result,
        folder=folder,
        figures=figures,
        trials=trials,
        chosen=frozenset(line["trial_id"] for line in log.evaluations.values()),
        trial_uj={one.id: sum(windows.get(window, 0) for window in one.windows) for one in trials} if nodes else {},
        epochs=_epochs(folder),
        over_time=charged_over_time(nodes, dedicated=result.cost.attribution == "dedicated") if nodes else [],
    )


def _epochs(folder: StrategyFolder) -> dict[str, list[Epoch]]:
    if not folder.epochs.exists():
        return {}
    lines = read_epochs(folder.epochs)
    by_trial: dict[str, list[Epoch]] = {}
    for line, again in zip(lines, superseded(lines), strict=True):
        if not again:
            by_trial.setdefault(line.trial_id, []).append(line)
    return {name: sorted(epochs, key=lambda one: one.epoch) for name, epochs in by_trial.items()}
