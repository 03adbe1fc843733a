"""A green index: accuracy and energy in one number, as the paper's recommendation 2 asks for."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from kdtune.errors import Fault, SpecError
from kdtune.results.strategy_result import GreenIndex, StrategyResult

#: Fields of a cost that a multiple can be of.
EnergyKey = Literal["charged_kwh", "training_kwh"]

#: Points of accuracy that a doubling of energy has to bring, unless the user says otherwise.
DEFAULT_WEIGHT = 1.0


def check_weight(weight: float) -> float:
    """The weight, where it is one.

    Raises:
        SpecError: It is negative or no number.
    """
    if not (math.isfinite(weight) and weight >= 0):
        problem = f"has to be 0 or more points of accuracy for each doubling of energy, got {weight:g}"
        raise SpecError([Fault("--green-weight", "", problem)])
    return weight


def energy_multiple(result: StrategyResult, baseline: StrategyResult | None, key: EnergyKey) -> float | None:
    """How many times the baseline's energy a strategy used, for one model each.

    Args:
        result: The strategy's.
        baseline: The strategy that it is a multiple of.
        key: ``charged_kwh`` or ``training_kwh``.

    Returns:
        The ratio; None where either was not measured.
    """
    if baseline is None:
        return None
    own, other = (one.cost.of_one_model(getattr(one.cost, key)) for one in (result, baseline))
    if own is None or not other:
        return None
    # PUE belongs to the report, which may differ between the two; energy does not.
    return (own / result.cost.carbon.pue) / (other / baseline.cost.carbon.pue)


def green_index(
    result: StrategyResult, baseline: StrategyResult | None, weight: float = DEFAULT_WEIGHT
) -> float | None:
    """Test accuracy less a price for energy: ``accuracy in points - weight x log2(energy / baseline's energy)``.

    A doubling of the energy costs ``weight`` points, wherever on the scale it happens: savings are told in factors (the
    paper's is 19) and accuracies in points. Differences between strategies, and so their order, do not depend on the
    baseline, which only fixes whose index is its accuracy. A plain quotient of the two would rank by energy almost
    alone, since energies differ twentyfold and accuracies by a few percent. The weight is a judgement and no
    measurement: it is printed with the index, and 0 leaves accuracy alone, whatever was measured.

    Args:
        result: The strategy's.
        baseline: The strategy whose index is its accuracy.
        weight: Points of accuracy that a doubling of energy has to bring to be worth it.

    Returns:
        The index in points; None where accuracy or energy was not measured, or nothing was used.
    """
    return _points(
        result.mean_and_std(result.deciding, "test")[0], energy_multiple(result, baseline, "charged_kwh"), weight
    )


def _points(accuracy: float | None, multiple: float | None, weight: float) -> float | None:
    if accuracy is None or (weight and not multiple):
        return None
    return float(100 * accuracy - (weight * math.log2(multiple) if weight and multiple else 0.0))


def green_index_std(result: StrategyResult, baseline: StrategyResult | None, weight: float) -> float | None:
    """Sample standard deviation of the index over repeats that came to a model: of their accuracies and their energies.

    The baseline's energy is its mean: it moves all repeats alike, and so no deviation. None of fewer than two repeats,
    or where something was not measured. Arguments as of :func:`green_index`.
    """
    models = [repeat for repeat in result.repeats if repeat.test]
    charged_uj = [repeat.charged_uj for repeat in models if repeat.charged_uj is not None]
    mean = energy_multiple(result, baseline, "charged_kwh")
    multiples: list[float | None] = [None] * len(models)
    if mean and len(charged_uj) == len(models) and sum(charged_uj):
        # What was charged to repeats without a model makes all others dearer alike.
        multiples = [mean * uj * len(models) / sum(charged_uj) for uj in charged_uj]
    points = [_points(one.test_deciding, multiple, weight) for one, multiple in zip(models, multiples, strict=True)]
    known = [one for one in points if one is not None]
    return statistics.stdev(known) if len(known) == len(models) > 1 else None


def with_green_index(results: Sequence[StrategyResult], baseline: str, weight: float) -> list[StrategyResult]:
    """The results with their green index, beside what it is made of."""
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


def formula(weight: float, baseline: str) -> str:
    """The index in words, for wherever it is printed."""
    return (
        f"Green index: test accuracy in points - {weight:g} x log2(energy as run / that of {baseline}), so each "
        f"doubling of energy takes {weight:g} from it; +- is the deviation over repeats. The weight is a judgement "
        "(--green-weight); rows are not ranked by it."
    )
