"""Statistics of a cost table: each strategy over its repeats, and each paired by seed with the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdtune.analysis.comparison import Comparison
from kdtune.analysis.difference_verdicts import BaselineComparison, paired_comparison, sample_std, with_verdicts
from kdtune.analysis.image_noise import correct_by_seed, image_error
from kdtune.analysis.paired_tests import bca_interval
from kdtune.analysis.repeat_energy import RepeatEnergy, energy_of_repeats, energy_ratio
from kdtune.analysis.verdicts import Interval, paired, t_interval
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import Repeat, StrategyResult
from kdtune.storage.records import as_record

if TYPE_CHECKING:
    import numpy as np


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
        margin: Differences smaller than this do not matter.
        baseline: The strategy with which the others are compared; None if it has no results.
        strategies: Every strategy over its repeats.
        comparisons: Every strategy but the baseline, compared with it.
    """

    studies: tuple[str, ...]
    metric: str
    margin: float
    baseline: str | None
    strategies: tuple[StrategySummary, ...]
    comparisons: tuple[BaselineComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the statistics as a record, in which infinite ends of intervals are null."""

        def bounded(value: Any) -> Any:
            if isinstance(value, Interval):
                return value.as_json()
            if isinstance(value, StrategySummary | BaselineComparison):
                return {key: bounded(one) for key, one in vars(value).items()}
            return [bounded(one) for one in value] if isinstance(value, tuple) else as_record(value)

        return {key: bounded(value) for key, value in vars(self).items()}


@dataclass(frozen=True)
class _Side:
    """Figures of one strategy by seed."""

    result: StrategyResult
    test: dict[int, float]
    gaps: dict[int, float]
    resolution: float
    charged: RepeatEnergy | None
    training: RepeatEnergy | None
    correct: "dict[str, np.ndarray]"


def statistics_of(comparison: Comparison, baseline: str) -> TableStatistics:
    """Return the statistics of results that were compared.

    Args:
        comparison: The results.
        baseline: Name of the strategy with which the others are compared.
    """
    metric = common_metric(comparison.outcomes)
    margin = min(folder.read_study().margin for folder in comparison.folders)
    sides = {
        result.strategy: _side(result, folder, metric)
        for result, folder in zip(comparison.outcomes, comparison.folders, strict=True)
    }
    base = sides.get(baseline)
    others = [side for name, side in sides.items() if name != baseline] if base else []
    return TableStatistics(
        studies=tuple(dict.fromkeys(result.study for result in comparison.outcomes)),
        metric=metric.name,
        margin=margin,
        baseline=baseline if base else None,
        strategies=tuple(_summary(side) for side in sides.values()),
        comparisons=with_verdicts([_compared(side, base, metric, margin) for side in others if base], metric, margin),
    )


def common_metric(results: Sequence[StrategyResult]) -> Metric:
    """Return the metric that decided all results, or the accuracy, which all have, if they had different ones."""
    deciding = {result.deciding for result in results}
    return deciding.pop() if len(deciding) == 1 else Metric(ACCURACY)


def _side(result: StrategyResult, folder: StrategyFolder, metric: Metric) -> _Side:
    def value(repeat: Repeat, part: str) -> float | None:
        name = "accuracy" if metric.name == ACCURACY else "objective"
        found: float | None = getattr(repeat, f"{part}_{name}")
        return found

    tested = {repeat.seed: known for repeat in result.repeats if (known := value(repeat, "test")) is not None}
    gaps = {
        repeat.seed: chosen - tested[repeat.seed]
        for repeat in result.repeats
        if repeat.seed in tested and (chosen := value(repeat, "val")) is not None
    }
    return _Side(
        result,
        tested,
        gaps,
        1 / max(1, folder.workload().test_images),
        energy_of_repeats(folder, result, "charged_kwh"),
        energy_of_repeats(folder, result, "training_kwh"),
        correct_by_seed(folder) if metric.name == ACCURACY else {},
    )


def _summary(side: _Side) -> StrategySummary:
    values = list(side.test.values())
    return StrategySummary(
        strategy=side.result.strategy,
        test=t_interval(values, side.resolution),
        test_std=sample_std(values),
        test_bootstrap=bca_interval(values),
        gap=t_interval(list(side.gaps.values()), side.resolution),
        ece=t_interval(_known(side.result, "ece")),
        nll=t_interval(_known(side.result, "nll")),
    )


def _known(result: StrategyResult, metric: str) -> list[float]:
    """Return a test metric of all repeats that have it."""
    tests = (repeat.test or {} for repeat in result.repeats)
    return [value for test in tests if (value := test.get(metric)) is not None]


def _compared(side: _Side, base: _Side, metric: Metric, margin: float) -> BaselineComparison:
    differences, resolution = paired(side.test, base.test), max(side.resolution, base.resolution)
    return replace(
        paired_comparison(side.result.strategy, differences, metric, margin, resolution),
        image_error=image_error(side.correct, base.correct),
        energy_as_run=energy_ratio(side.charged, base.charged),
        energy_training=energy_ratio(side.training, base.training),
    )
