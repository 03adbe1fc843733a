"""A green index: accuracy and energy in one number, as the paper's recommendation 2 asks for."""

import math
import statistics
from typing import Any

from kdtune.errors import Fault, SpecError
from kdtune.results.cost import of_one_model

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


def energy_multiple(result: dict[str, Any], baseline: dict[str, Any] | None, key: str) -> float | None:
    """How many times the baseline's energy a strategy used, for one model each.

    Args:
        result: A ``result.json`` document.
        baseline: The strategy that it is a multiple of.
        key: ``charged_kwh`` or ``training_kwh``.

    Returns:
        The ratio; None where either was not measured.
    """
    if baseline is None:
        return None
    own, other = (of_one_model(one["cost"][key], one["cost"]["models"]) for one in (result, baseline))
    if own is None or not other:
        return None
    # PUE belongs to the report, which may differ between the two; energy does not.
    own_pue, other_pue = (one["cost"]["carbon"]["pue"] for one in (result, baseline))
    return (own / own_pue) / (other / other_pue)


def green_index(
    result: dict[str, Any], baseline: dict[str, Any] | None, weight: float = DEFAULT_WEIGHT
) -> float | None:
    """Test accuracy less a price for energy: ``accuracy in points - weight x log2(energy / baseline's energy)``.

    A doubling of the energy costs ``weight`` points, wherever on the scale it happens: savings are told in factors (the
    paper's is 19) and accuracies in points. Differences between strategies, and so their order, do not depend on the
    baseline, which only fixes whose index is its accuracy. A plain quotient of the two would rank by energy almost
    alone, since energies differ twentyfold and accuracies by a few percent. The weight is a judgement and no
    measurement: it is printed with the index, and 0 leaves accuracy alone, whatever was measured.

    Args:
        result: A ``result.json`` document.
        baseline: The strategy whose index is its accuracy.
        weight: Points of accuracy that a doubling of energy has to bring to be worth it.

    Returns:
        The index in points; None where accuracy or energy was not measured, or nothing was used.
    """
    accuracy = result["summary"]["test_accuracy_mean"]
    return _points(accuracy, energy_multiple(result, baseline, "charged_kwh"), weight)


def _points(accuracy: float | None, multiple: float | None, weight: float) -> float | None:
    if accuracy is None or (weight and not multiple):
        return None
    return float(100 * accuracy - (weight * math.log2(multiple) if weight and multiple else 0.0))


def green_index_std(result: dict[str, Any], baseline: dict[str, Any] | None, weight: float) -> float | None:
    """Sample standard deviation of the index over repeats that came to a model: of their accuracies and their energies.

    The baseline's energy is its mean: it moves all repeats alike, and so no deviation. None of fewer than two repeats,
    or where something was not measured. Arguments as of :func:`green_index`.
    """
    models = [repeat for repeat in result["repeats"] if repeat["test"]]
    charged_uj = [repeat["charged_uj"] for repeat in models]
    mean = energy_multiple(result, baseline, "charged_kwh")
    multiples: list[float | None] = [None] * len(models)
    if mean and None not in charged_uj and sum(charged_uj):
        # What was charged to repeats without a model makes all others dearer alike.
        multiples = [mean * uj * len(models) / sum(charged_uj) for uj in charged_uj]
    points = [
        _points(one["test"]["accuracy"], multiple, weight) for one, multiple in zip(models, multiples, strict=True)
    ]
    known = [one for one in points if one is not None]
    return statistics.stdev(known) if len(known) == len(models) > 1 else None


def with_green_index(results: list[dict[str, Any]], baseline: str, weight: float) -> None:
    """Put the index into result documents, as ``green_index`` beside what it is made of."""
    base = next((result for result in results if result["strategy"] == baseline), None)
    for result in results:
        result["green_index"] = {
            "points": green_index(result, base, weight),
            "points_std": green_index_std(result, base, weight),
            "points_per_doubling": weight,
            "baseline": baseline,
        }


def formula(weight: float, baseline: str) -> str:
    """The index in words, for wherever it is printed."""
    return (
        f"Green index: test accuracy in points - {weight:g} x log2(energy as run / that of {baseline}), so each "
        f"doubling of energy takes {weight:g} from it; +- is the deviation over repeats. The weight is a judgement "
        "(--green-weight); rows are not ranked by it."
    )
