"""Statistics of a cost table: each strategy over its repeats, and each paired by seed with the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdtune.analysis.comparison import Comparison
from kdtune.analysis.difference_verdicts import BaselineComparison, sample_std, with_verdicts
from kdtune.analysis.paired_tests import bca_interval
from kdtune.analysis.strategy_figures import StrategyFigures, common_metric, compared, figures_of
from kdtune.analysis.verdicts import Interval, bounded_record, paired, t_interval
from kdtune.catalog.metric import Metric
from kdtune.results.strategy_result import StrategyResult


@dataclass(frozen=True)
class StrategySummary:
    """A strategy's chosen models over the repeats that were tested.

    Attributes:
        strategy: Name of the strategy.
        test: Mean of the deciding metric on the test images, with Student's t interval; None without a test.
        test_std: Sample standard deviation over repeats; None for fewer than two.
        test_bootstrap: The same mean with its BCa bootstrap interval.
        gap: Value on the validation images minus that on the test images. A positive gap of a metric that is better
            when higher is optimism, since the chosen model is the best of several on the validation images.
        ece: Expected calibration error on the test images; None for results without it.
        nll: Negative log-likelihood on the test images in nats; None likewise.
    """

    strategy: str
    test: Interval | None
    test_std: float | None
    test_bootstrap: Interval | None
    gap: Interval | None
    ece: Interval | None
    nll: Interval | None


@dataclass(frozen=True)
class TableStatistics:
    """Statistics of a cost table.

    Attributes:
        studies: Names of the studies.
        metric: Name of the metric that is compared.
        metric_info: How it is judged and shown.
        margin: Differences smaller than this do not matter.
        baseline: The strategy with which the others are compared; None if it has no results.
        strategies: Every strategy over its repeats.
        comparisons: Every strategy but the baseline, compared with it.
        vary: What differed between repeats besides the seeds of the trainings.
    """

    studies: tuple[str, ...]
    metric: str
    metric_info: Metric
    margin: float
    baseline: str | None
    strategies: tuple[StrategySummary, ...]
    comparisons: tuple[BaselineComparison, ...]
    vary: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the statistics as a record, in which infinite ends of intervals are null."""
        record: dict[str, Any] = bounded_record(self)
        return record


def statistics_of(
    comparison: Comparison, baseline: str, figures: Mapping[str, StrategyFigures] | None = None
) -> TableStatistics:
    """Return the statistics of results that were compared.

    Args:
        comparison: The results.
        baseline: Name of the strategy with which the others are compared.
        figures: Figures of all strategies, if they have been computed already.
    """
    metric = common_metric(comparison.outcomes)
    margin = margin_of(comparison)
    figures = figures or figures_of(comparison, metric)
    base = figures.get(baseline)
    others = [one for name, one in figures.items() if name != baseline] if base else []
    return TableStatistics(
        studies=tuple(dict.fromkeys(result.study for result in comparison.outcomes)),
        metric=metric.name,
        metric_info=metric,
        margin=margin,
        baseline=baseline if base else None,
        strategies=tuple(_summary(one) for one in figures.values()),
        comparisons=with_verdicts([compared(one, base, metric, margin) for one in others if base], metric, margin),
        vary=varied(comparison),
    )


def varied(comparison: Comparison) -> tuple[str, ...]:
    """Return what differed between the repeats of all studies besides the seeds of the trainings."""
    sources = [folder.read_study().vary for folder in comparison.folders]
    return tuple(source for source in sources[0] if all(source in one for one in sources))


def margin_of(comparison: Comparison) -> float:
    """Return the margin of the studies; the smallest one if studies with different margins are compared."""
    return min(folder.read_study().margin for folder in comparison.folders)


def _summary(figures: StrategyFigures) -> StrategySummary:
    values = list(figures.test.values())
    return StrategySummary(
        strategy=figures.result.strategy,
        test=t_interval(values, figures.resolution),
        test_std=sample_std(values),
        test_bootstrap=bca_interval(values),
        gap=t_interval(paired(figures.validation, figures.test), figures.resolution),
        ece=t_interval(_known(figures.result, "ece")),
        nll=t_interval(_known(figures.result, "nll")),
    )


def _known(result: StrategyResult, metric: str) -> list[float]:
    """Return a test metric of all repeats that have it."""
    tests = (repeat.test or {} for repeat in result.repeats)
    return [value for test in tests if (value := test.get(metric)) is not None]
