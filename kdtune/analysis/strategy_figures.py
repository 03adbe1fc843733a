"""Figures of strategies by seed, and comparisons of two strategies that are paired by seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdtune.analysis.comparison import Comparison
from kdtune.analysis.difference_verdicts import BaselineComparison, paired_comparison
from kdtune.analysis.image_noise import correct_by_seed, image_error
from kdtune.analysis.repeat_energy import RepeatEnergy, energies_of_repeats, energy_ratio
from kdtune.analysis.verdicts import paired
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import Repeat, StrategyResult

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StrategyFigures:
    """Figures of one strategy by seed, for the repeats whose chosen model was tested.

    Attributes:
        result: Result of the strategy.
        test: The deciding metric on the test images.
        validation: The same on the validation images.
        resolution: Smallest possible difference between two unequal values of the metric.
        charged: Energy as run; None if it was not measured.
        training: Energy of trainings alone.
        correct: By ``seed_N``, whether each test image was classified correctly; empty if that is unknown.
    """

    result: StrategyResult
    test: dict[int, float]
    validation: dict[int, float]
    resolution: float
    charged: RepeatEnergy | None
    training: RepeatEnergy | None
    correct: "dict[str, np.ndarray]"


def common_metric(results: Sequence[StrategyResult]) -> Metric:
    """Return the metric that decided all results, or the accuracy, which all have, if they had different ones."""
    deciding = {result.deciding for result in results}
    return deciding.pop() if len(deciding) == 1 else Metric(ACCURACY)


def figures_of(comparison: Comparison, metric: Metric) -> dict[str, StrategyFigures]:
    """Return the figures of all strategies, by name."""
    return {
        result.strategy: _figures(result, folder, metric)
        for result, folder in zip(comparison.outcomes, comparison.folders, strict=True)
    }


def _figures(result: StrategyResult, folder: StrategyFolder, metric: Metric) -> StrategyFigures:
    def value(repeat: Repeat, part: str) -> float | None:
        name = "accuracy" if metric.name == ACCURACY else "objective"
        found: float | None = getattr(repeat, f"{part}_{name}")
        return found

    tested = {repeat.seed: known for repeat in result.repeats if (known := value(repeat, "test")) is not None}
    validation = {
        repeat.seed: known
        for repeat in result.repeats
        if repeat.seed in tested and (known := value(repeat, "val")) is not None
    }
    charged, training = energies_of_repeats(folder, result, ["charged_kwh", "training_kwh"])
    return StrategyFigures(
        result,
        tested,
        validation,
        1 / max(1, folder.workload().test_images),
        charged,
        training,
        correct_by_seed(folder) if metric.name == ACCURACY else {},
    )


def compared(first: StrategyFigures, second: StrategyFigures, metric: Metric, margin: float) -> BaselineComparison:
    """Return the comparison of the first strategy with the second one, before any correction and verdict."""
    differences, resolution = paired(first.test, second.test), max(first.resolution, second.resolution)
    return replace(
        paired_comparison(first.result.strategy, differences, metric, margin, resolution),
        image_error=image_error(first.correct, second.correct),
        energy_as_run=energy_ratio(first.charged, second.charged),
        energy_training=energy_ratio(first.training, second.training),
    )
