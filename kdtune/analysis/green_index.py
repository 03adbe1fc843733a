"""The green index, which combines accuracy and energy in one number, as the paper's recommendation 2 suggests."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.errors import Fault, SpecError
from kdtune.results.strategy_result import GreenIndex, StrategyResult

#: Fields of a cost from which a multiple can be computed.
EnergyKey = Literal["charged_kwh", "training_kwh"]

#: Default weight: the points of accuracy that justify a doubling of energy.
DEFAULT_WEIGHT = 1.0


def check_weight(weight: float) -> float:
    """Return a valid weight unchanged.

    Raises:
        SpecError: The weight is negative or not a finite number.
    """
    if not (math.isfinite(weight) and weight >= 0):
        problem = f"must be 0 or more points of accuracy per doubling of energy, got {weight:g}"
        raise SpecError([Fault("--green-weight", "", problem)])
    return weight


def energy_multiple(result: StrategyResult, baseline: StrategyResult | None, key: EnergyKey) -> float | None:
    """Return a strategy's energy as a multiple of the baseline's energy, for one model each.

    Args:
        result: Result of the strategy.
        baseline: Result of the baseline.
        key: ``charged_kwh`` or ``training_kwh``.

    Returns:
        The ratio; None if either energy was not measured.
    """
    if baseline is None:
        return None
    own, other = (one.cost.of_one_model(getattr(one.cost, key)) for one in (result, baseline))
    if own is None or not other:
        return None
    # The two results may be reported with different PUEs, on which the ratio must not depend.
    return (own / result.cost.carbon.pue) / (other / baseline.cost.carbon.pue)


def green_index(
    result: StrategyResult, baseline: StrategyResult | None, weight: float = DEFAULT_WEIGHT
) -> float | None:
    """Return test accuracy less a penalty for energy: ``points - weight x log2(energy / baseline's energy)``.

    Another metric that decides the study takes the accuracy's place, with a negative sign if lower values are better.

    Every doubling of the energy costs ``weight`` points, since savings of energy are stated as factors (the paper's is
    19) and accuracies in points. The baseline's index equals its accuracy; differences between strategies, and
    therefore their order, do not depend on the baseline. A quotient of accuracy and energy would rank almost by energy
    alone, since energies differ twentyfold and accuracies by a few percent. The weight is a judgement, not a
    measurement, so it is printed with the index. A weight of 0 gives the accuracy, even if energy was not measured.

    Args:
        result: Result of the strategy.
        baseline: Result of the baseline.
        weight: Points of accuracy that justify a doubling of energy.

    Returns:
        The index in points; None if accuracy or energy was not measured, or the energy is 0.
    """
    mean, _ = result.mean_and_std(result.deciding, "test")
    return _points(mean, result.deciding, energy_multiple(result, baseline, "charged_kwh"), weight)


def _points(value: float | None, metric: Metric, multiple: float | None, weight: float) -> float | None:
    if value is None or (weight and not multiple):
        return None
    return float(metric.scale * metric.score(value) - (weight * math.log2(multiple) if weight and multiple else 0.0))


def green_index_std(result: StrategyResult, baseline: StrategyResult | None, weight: float) -> float | None:
    """Return the sample standard deviation of the index over the repeats that have a model.

    The index of each repeat is computed from its own accuracy and energy and from the baseline's mean energy, which
    does not affect the deviation. The result is None for fewer than two repeats or if a value was not measured. See
    :func:`green_index` for the arguments.
    """
    models = [repeat for repeat in result.repeats if repeat.test]
    charged_uj = [repeat.charged_uj for repeat in models if repeat.charged_uj is not None]
    mean = energy_multiple(result, baseline, "charged_kwh")
    multiples: list[float | None] = [None] * len(models)
    if mean and len(charged_uj) == len(models) and sum(charged_uj):
        # The energy of repeats without a model is distributed over the other repeats in proportion.
        multiples = [mean * uj * len(models) / sum(charged_uj) for uj in charged_uj]
    points = [
        _points(one.test_deciding, result.deciding, multiple, weight)
        for one, multiple in zip(models, multiples, strict=True)
    ]
    known = [one for one in points if one is not None]
    return statistics.stdev(known) if len(known) == len(models) > 1 else None


def with_green_index(results: Sequence[StrategyResult], baseline: str, weight: float) -> list[StrategyResult]:
    """Return the results with their green index and its parameters."""
    base = next((result for result in results if result.strategy == baseline), None)
    return [
        replace(
            result,
            green_index=GreenIndex(
                points=green_index(result, base, weight),
                points_std=green_index_std(result, base, weight),
                points_per_doubling=weight,
                baseline=baseline,
            ),
        )
        for result in results
    ]


def formula(weight: float, baseline: str, metric: Metric) -> str:
    """Return a description of the index for readers."""
    name = metric.name if metric.name == ACCURACY else metric.title
    value = f"{'' if metric.higher_is_better else 'minus '}test {name}"
    unit = f" in {metric.difference_unit}" if metric.difference_unit else ""
    return (
        f"Green index: {value}{unit} - {weight:g} x log2(energy as run / that of {baseline}), so each "
        f"doubling of energy subtracts {weight:g}; +- is the deviation over repeats. The weight is a judgement "
        "(--green-weight); rows are not ranked by it."
    )
