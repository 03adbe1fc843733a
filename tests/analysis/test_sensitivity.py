"""Sensitivity to the searched values, from hand-written grids."""

import json
from itertools import combinations
from statistics import fmean

import pytest

from kdtune.analysis.sensitivity import sensitivity
from kdtune.errors import ResultsError
from kdtune.report.sensitivity_table import sensitivity_lines
from tests.results.several import ran
from tests.studies import here

#: Montgomery, Design and Analysis of Experiments, vascular grafts: four extrusion pressures in six batches of resin.
GRAFTS = [
    [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
]


def grid(place, values, **changes):
    """A study with one point for each row of values, and one repeat for each column, which took 4 s a training."""
    taus = list(range(2, 2 + len(values)))
    repeats = [[row[repeat] / 100 for row in values] for repeat in range(len(values[0]))]
    details = {"points": [{"tau": tau} for tau in taus], "val": repeats, "trial_s": [4] * len(repeats)}
    ran(place, "grid", [0.5] * len(repeats), **{**details, "search_space": {"tau": {"values": taus}}, **changes})
    return place / "small"


def test_the_analysis_of_variance_is_montgomerys(tmp_path):
    [found] = sensitivity(grid(tmp_path, GRAFTS))
    variance = found.variance
    assert variance.p == pytest.approx(0.0019, abs=5e-5)
    # Mean squares: pressures 59.39, batches 38.45, error 7.33.
    parts = [(59.39 - 7.33) / 6, (38.45 - 7.33) / 4, 7.33]
    shares = [part / sum(parts) for part in parts]
    assert [variance.points, variance.seeds, variance.rest] == pytest.approx(shares, abs=1e-3)
    assert variance.dimensions == {"tau": pytest.approx(178.17 / (178.17 + 192.25 + 109.89), abs=1e-4)}


def test_points_have_intervals_choices_and_energies(tmp_path):
    [found] = sensitivity(grid(tmp_path, GRAFTS))
    first = found.points[0]
    assert first.point == {"tau": 2} and first.validation.mean == pytest.approx(fmean(GRAFTS[0]) / 100)
    assert first.validation.low < first.validation.mean < first.validation.high
    assert [one.chosen for one in found.points] == [2, 2, 2, 0]
    assert first.training_kwh == pytest.approx(56 / 3.6e6)
    assert "1 of 4 points were chosen in no repeat" in " ".join(sensitivity_lines(found))


def test_budgets_are_the_expectations_over_all_draws(tmp_path):
    [found] = sensitivity(grid(tmp_path, GRAFTS))
    repeats = list(zip(*GRAFTS, strict=True))
    for budget in found.budgets:
        expected = []
        for place, values in enumerate(repeats):
            others = [other for number, other in enumerate(repeats) if number != place]
            for drawn in combinations(range(4), budget.trials):
                chosen = max(drawn, key=lambda point: values[point])
                expected.append(fmean(other[chosen] for other in others) / 100)
        assert budget.elsewhere == pytest.approx(fmean(expected))
    first, second = found.budgets[:2]
    assert first.gain_per_kwh is None
    gain = (second.elsewhere - first.elsewhere) / (second.training_kwh - first.training_kwh)
    assert second.gain_per_kwh == pytest.approx(gain)


def test_a_coarser_grid_loses_what_the_other_repeats_say(tmp_path):
    values = [[50 + point, 50 + point] for point in range(6)]  # the last point is best by one step
    [found] = sensitivity(grid(tmp_path, values))
    [coarser] = found.coarser
    assert (coarser.step, coarser.points) == (2, 3)
    assert coarser.loss == pytest.approx((0.01 + 0) / 2)


def test_the_loss_of_a_coarser_grid_has_the_range_of_the_repeats_and_no_interval(tmp_path):
    values = [[50, 50, 50], [50, 50, 50], [50, 50, 50], [50, 50, 50], [50, 50, 50], [53, 51, 51]]
    [found] = sensitivity(grid(tmp_path, values))
    # Half of the grids lack the last point: they lose the mean gain of the two other repeats.
    losses = [0.5 * 0.01, 0.5 * 0.02, 0.5 * 0.02]
    [record] = found.as_json()["coarser"]
    expected = {"loss": fmean(losses), "smallest_loss": min(losses), "largest_loss": max(losses)}
    assert record == pytest.approx({"step": 2, "points": 3, **expected})
    assert sensitivity_lines(found)[-1].endswith("(mean, and range of the repeats): every 2nd: +0.83 (+0.50 to +1.00).")


def test_equal_points_leave_nothing_to_tune(tmp_path):
    noise = [[50.1, 49.8, 50.3, 49.9], [49.9, 50.2, 49.7, 50.2], [50.0, 50.1, 50.0, 49.9]]
    [found] = sensitivity(grid(tmp_path, noise))
    assert found.variance.p > 0.05 and "so nothing to tune has been found" in sensitivity_lines(found)[0]


def test_several_dimensions_have_main_effects(tmp_path):
    points = [{"tau": tau, "alpha": alpha} for tau in (2, 4) for alpha in (0.1, 0.9)]
    space = {"search_space": {"tau": {"values": [2, 4]}, "alpha": {"values": [0.1, 0.9]}}}
    # alpha adds 10 points, tau 1, and the second seed 0.5.
    values = [[50, 50.5], [60, 60.5], [51, 51.5], [61, 61.5]]
    [found] = sensitivity(grid(tmp_path, values, points=points, **space))
    assert found.variance.dimensions["alpha"] > 0.95 and found.variance.dimensions["tau"] < 0.05
    assert found.coarser == () and "Main effects" in sensitivity_lines(found)[1]


def test_one_repeat_and_failed_points(tmp_path):
    [found] = sensitivity(grid(tmp_path / "one", [[50], [60]]))
    assert found.variance is None and found.budgets == () and "One repeat" in sensitivity_lines(found)[0]
    with pytest.raises(ResultsError, match="no repeat has every point"):
        sensitivity(grid(tmp_path / "two", [[50, 51]], search_space={"tau": {"values": [2, 9]}}))


def test_the_command_prints_a_table_or_one_json_document(tmp_path):
    folder = grid(tmp_path / "results", GRAFTS)
    done = here("sensitivity", str(folder), cwd=tmp_path)
    assert done.returncode == 0 and "small: sensitivity to the searched values" in done.stdout
    document = json.loads(here("sensitivity", str(folder), "--json", cwd=tmp_path).stdout)
    [one] = document["sensitivities"]
    assert document["schema_version"] == 1 and len(one["points"]) == len(one["budgets"]) == 4
    assert one["points"][0]["validation"]["n"] == 6
