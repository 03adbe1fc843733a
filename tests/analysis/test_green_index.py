import math

import pytest

from kdtune.analysis.green_index import check_weight, energy_multiple, green_index, green_index_std, with_green_index
from kdtune.errors import SpecError
from tests.results.typed import strategy_result


def result(strategy, accuracy, kwh, pue=1.0, repeats=2):
    return of_repeats(strategy, [(accuracy, None)] * repeats, accuracy, kwh, pue)


def of_repeats(strategy, repeats, accuracy, kwh, pue=1.0):
    """Return a strategy with the test accuracy and charge of each repeat. Repeats without accuracy have no model."""
    return strategy_result(
        {
            "strategy": strategy,
            "repeats": [{"test": acc and {"accuracy": acc}, "charged_uj": uj} for acc, uj in repeats],
            "summary": {"test_accuracy_mean": accuracy},
            "cost": {"charged_kwh": kwh, "models": len(repeats), "carbon": {"pue": pue}},
        }
    )


BASE = result("stochastic", 0.70, 2.0)


def test_a_doubling_of_energy_takes_the_weight_from_the_accuracy():
    assert green_index(result("grid", 0.75, 4.0), BASE, 1.0) == pytest.approx(74.0)
    assert green_index(result("grid", 0.75, 16.0), BASE, 2.0) == pytest.approx(69.0)
    assert green_index(result("none", 0.65, 1.0), BASE, 1.0) == pytest.approx(66.0)


def test_the_baselines_index_is_its_accuracy_and_weight_0_leaves_accuracy_alone():
    assert green_index(BASE, BASE, 3.0) == pytest.approx(70.0)
    assert green_index(result("grid", 0.75, 400.0), BASE, 0.0) == pytest.approx(75.0)


def test_differences_do_not_depend_on_the_baseline():
    grid, other = result("grid", 0.75, 9.0), result("none", 0.6, 0.7)
    apart = [green_index(BASE, base) - green_index(grid, base) for base in (BASE, grid, other)]
    assert apart == pytest.approx([-5 + math.log2(4.5)] * 3)


def test_what_was_not_measured_has_no_index():
    assert green_index(result("grid", None, 4.0), BASE) is None
    assert green_index(result("grid", 0.7, None), BASE) is None
    assert green_index(result("grid", 0.7, 4.0), None) is None
    assert green_index(result("grid", 0.7, 4.0), result("stochastic", 0.7, None)) is None
    [grid] = with_green_index([result("grid", 0.7, 4.0)], "stochastic", 1.0)
    assert grid.as_json()["green_index"] == {
        "points": None,
        "points_std": None,
        "points_per_doubling": 1.0,
        "baseline": "stochastic",
    }


def test_weight_0_takes_no_energy():
    assert green_index(result("grid", 0.7, None), None, 0.0) == pytest.approx(70.0)
    assert green_index_std(result("grid", 0.7, None), None, 0.0) == pytest.approx(0.0)


def test_the_deviation_is_of_accuracy_and_energy_of_each_repeat():
    grid = of_repeats("grid", [(0.70, 100), (0.72, 400), (None, 500)], 0.7, 5.0)
    # Points 70 and 72, less the weight times the logarithm: 2 apart, a factor of 4 in energy.
    assert green_index_std(grid, BASE, 0.0) == pytest.approx(2**0.5)
    assert green_index_std(grid, BASE, 1.0) == pytest.approx(0.0)
    assert green_index_std(grid, BASE, 2.0) == pytest.approx(2**0.5)
    assert green_index_std(grid, None, 1.0) is None


def test_a_multiple_is_of_energy_for_one_model_without_pue():
    assert energy_multiple(result("grid", 0.7, 6.0, pue=1.5, repeats=4), BASE, "charged_kwh") == pytest.approx(1.0)
    assert energy_multiple(BASE, BASE, "training_kwh") is None


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_an_invalid_weight_is_refused(weight):
    with pytest.raises(SpecError, match="--green-weight"):
        check_weight(weight)
