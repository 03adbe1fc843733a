"""Statistics of a cost table: each strategy over its repeats, and each paired by seed with the baseline.

A difference is claimed only where the t test (with Holm's correction for the whole table), the bootstrap interval and
the sign-flip test agree. Equivalence is claimed by two one-sided t tests (with Holm's correction), together with the
bootstrap interval, for the margin that was frozen with the study.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kdtune.analysis import paired_tests
from kdtune.analysis.comparison import Comparison
from kdtune.analysis.paired_tests import ALPHA
from kdtune.analysis.repeat_energy import RepeatEnergy, energy_of_repeats, energy_ratio
from kdtune.analysis.verdicts import FEWEST, Interval, deviation_of, paired, t_interval
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import Repeat, StrategyResult
from kdtune.storage.records import as_record

DifferenceVerdict = Literal["better", "worse", "equivalent", "open"]


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
    """

    strategy: str
    test: Interval | None
    test_std: float | None
    test_bootstrap: Interval | None
    gap: Interval | None


@dataclass(frozen=True)
class BaselineComparison:
    """A strategy compared with the baseline, paired by seed.

    Attributes:
        strategy: Name of the strategy.
        difference: Strategy minus baseline, with Student's t interval; None without a common seed.
        difference_std: Sample standard deviation of the differences, at least the share of one test image.
        bootstrap: The same mean with its BCa bootstrap interval.
        t_p: Two-sided p value of the paired t test, and ``t_p_holm`` corrected for the comparisons of the table.
        sign_flip_p: Two-sided p value of the sign-flip test, ``sign_flip_p_holm`` corrected likewise, and
            ``smallest_sign_flip_p`` the smallest one that so few repeats can have.
        equivalence_p: p value of the two one-sided t tests, and ``equivalence_p_holm`` corrected.
        better_share: P(better), the share of repeats in which the strategy was better than the baseline.
        energy_as_run: Ratio of the energies of the repeats, geometric mean; the interval is that of the logarithm.
        energy_training: The same for trials and evaluation alone.
        verdict: ``better``, ``worse``, ``equivalent`` or ``open``.
        within_margin: Whether equivalence was established, which a small ``better`` or ``worse`` may also be.
        repeats_to_settle: For an open comparison, the number of repeats that would settle it if mean and deviation
            stayed the same; None if it is settled, if that is unknown, or if no affordable number would.
    """

    strategy: str
    difference: Interval | None
    difference_std: float | None
    bootstrap: Interval | None
    t_p: float | None
    t_p_holm: float | None
    sign_flip_p: float | None
    sign_flip_p_holm: float | None
    smallest_sign_flip_p: float | None
    equivalence_p: float | None
    equivalence_p_holm: float | None
    better_share: Interval | None
    energy_as_run: Interval | None
    energy_training: Interval | None
    verdict: DifferenceVerdict = "open"
    within_margin: bool = False
    repeats_to_settle: int | None = None


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
    )


def _summary(side: _Side) -> StrategySummary:
    values = list(side.test.values())
    return StrategySummary(
        strategy=side.result.strategy,
        test=t_interval(values, side.resolution),
        test_std=_std(values),
        test_bootstrap=paired_tests.bca_interval(values),
        gap=t_interval(list(side.gaps.values()), side.resolution),
    )


def paired_comparison(
    strategy: str, differences: Sequence[float], metric: Metric, margin: float, resolution: float
) -> BaselineComparison:
    """Compare a strategy with the baseline, without their energies and before any correction and verdict.

    Args:
        strategy: Name of the strategy.
        differences: Strategy minus baseline, for each common seed.
        metric: The metric.
        margin: Differences smaller than this do not matter.
        resolution: Smallest possible difference between two unequal values of the metric.
    """
    return BaselineComparison(
        strategy=strategy,
        difference=t_interval(differences, resolution),
        difference_std=_std(differences, resolution),
        bootstrap=paired_tests.bca_interval(differences),
        t_p=paired_tests.t_test_p(differences, resolution),
        t_p_holm=None,
        sign_flip_p=paired_tests.sign_flip_p(differences),
        sign_flip_p_holm=None,
        smallest_sign_flip_p=paired_tests.smallest_sign_flip_p(len(differences)) if differences else None,
        equivalence_p=paired_tests.equivalence_p(differences, margin, resolution),
        equivalence_p_holm=None,
        better_share=paired_tests.probability_of_improvement([metric.score(one) for one in differences]),
        energy_as_run=None,
        energy_training=None,
    )


def _compared(side: _Side, base: _Side, metric: Metric, margin: float) -> BaselineComparison:
    differences, resolution = paired(side.test, base.test), max(side.resolution, base.resolution)
    return replace(
        paired_comparison(side.result.strategy, differences, metric, margin, resolution),
        energy_as_run=energy_ratio(side.charged, base.charged),
        energy_training=energy_ratio(side.training, base.training),
    )


def with_verdicts(
    compared: Sequence[BaselineComparison], metric: Metric, margin: float
) -> tuple[BaselineComparison, ...]:
    """Return all comparisons of a table with Holm's corrections over all of them, and with verdicts.

    Args:
        compared: The comparisons of the table.
        metric: The metric.
        margin: Differences smaller than this do not matter.
    """
    columns = (
        paired_tests.holm([getattr(one, name) for one in compared]) for name in ("t_p", "sign_flip_p", "equivalence_p")
    )
    corrected = [
        replace(one, t_p_holm=t_p, sign_flip_p_holm=sign_flip_p, equivalence_p_holm=equivalence_p)
        for one, t_p, sign_flip_p, equivalence_p in zip(compared, *columns, strict=True)
    ]
    return tuple(_judged(one, metric, margin, len(corrected)) for one in corrected)


def _judged(one: BaselineComparison, metric: Metric, margin: float, comparisons: int) -> BaselineComparison:
    """Return a comparison with its verdict."""
    difference, bootstrap = one.difference, one.bootstrap
    if difference is None or bootstrap is None or difference.n < FEWEST or one.t_p_holm is None:
        return one
    assert one.sign_flip_p is not None and one.equivalence_p_holm is not None
    differs = one.t_p_holm <= ALPHA and one.sign_flip_p <= ALPHA and not bootstrap.low <= 0 <= bootstrap.high
    within = one.equivalence_p_holm <= ALPHA and -margin < bootstrap.low and bootstrap.high < margin
    if differs:
        verdict: DifferenceVerdict = "better" if metric.score(difference.mean) > 0 else "worse"
        return replace(one, verdict=verdict, within_margin=within)
    if within:
        return replace(one, verdict="equivalent", within_margin=True)
    return replace(one, repeats_to_settle=_repeats_to_settle(one, margin, comparisons))


def _repeats_to_settle(one: BaselineComparison, margin: float, comparisons: int) -> int | None:
    assert one.difference is not None and one.difference_std is not None
    if not one.difference_std:
        return None
    needed = paired_tests.repeats_to_settle(one.difference.mean, one.difference_std, margin, comparisons)
    # The estimate is a probability: an open comparison needs at least one more repeat.
    return None if needed is None else max(needed, one.difference.n + 1)


def _std(values: Sequence[float], resolution: float = 0.0) -> float | None:
    return deviation_of(values, resolution) if len(values) > 1 else None
