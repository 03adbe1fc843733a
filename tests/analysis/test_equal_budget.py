"""Strategies at an equal budget, from hand-written results."""

import json

import pytest

from kdtune.analysis.comparison import compare
from kdtune.analysis.equal_budget import at_budget
from kdtune.report.html.drawing import Series
from kdtune.report.html.training_figures import search_history
from kdtune.report.reported_study import read_study
from kdtune.results.folder import StudyFolder
from tests.results.several import ran
from tests.studies import here

POINTS = [{"tau": tau} for tau in (2, 4, 6)]


@pytest.fixture
def folder(tmp_path):
    values = [[0.5, 0.7, 0.6], [0.6, 0.5, 0.8]]
    ran(tmp_path / "results", "grid", [0.6, 0.6], points=POINTS, val=values, trial_s=[4, 4])
    ran(tmp_path / "results", "stochastic", [0.6, 0.6], val=[[0.65], [0.66]], trial_s=[4, 4])
    return tmp_path / "results" / "small"


def grid_at(folder, kwh):
    return at_budget(compare(folder), kwh).strategies[0]


def test_the_curve_ends_at_the_charge_and_rises_with_every_training(folder):
    found = compare(folder)
    grid, stochastic = at_budget(found, 1.0).strategies
    per_repeat = found.outcomes[0].cost.per_repeat_kwh
    assert grid.curve[-1].kwh == pytest.approx(per_repeat) and grid.curve[-1].validation == pytest.approx(0.75)
    # Nothing is shared, so three equal trainings take a third of the charge each.
    ends = sorted({round(step.kwh / per_repeat, 6) for step in grid.curve})
    assert ends == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-5)
    assert (grid.repeats, grid.trials, grid.kwh_needed) == (2, 3, pytest.approx(per_repeat / 3))
    assert stochastic.validation.mean == pytest.approx(0.655) and stochastic.trials == 1


def test_a_smaller_budget_has_what_was_finished_by_then(folder):
    per_repeat = compare(folder).outcomes[0].cost.per_repeat_kwh
    two = grid_at(folder, 0.9 * per_repeat)
    assert (two.trials, two.validation.mean) == (2, pytest.approx(0.65))
    none = grid_at(folder, 0.3 * per_repeat)
    assert (none.repeats, none.trials, none.validation) == (0, 0, None)


def test_a_strategy_that_chooses_its_model_ends_with_its_choice(tmp_path):
    values = [[0.5, 0.7, 0.6], [0.6, 0.5, 0.8]]
    ran(tmp_path, "grid", [0.6, 0.6], points=POINTS, val=values, chosen=[2, 0], trial_s=[4, 4])
    found = compare(tmp_path / "small")
    [whole] = at_budget(found, 1.0).strategies
    assert whole.validation.mean == whole.curve[-1].validation == found.outcomes[0].summary.val_accuracy_mean == 0.6
    shown = read_study(StudyFolder(tmp_path / "small"), list(found.folders))
    assert search_history(shown, {"grid": Series("grid", 0)}).rows[-1] == ["3", "60.0"]
    [two] = at_budget(found, 0.9 * found.outcomes[0].cost.per_repeat_kwh).strategies
    assert two.validation.mean == pytest.approx(0.65), "before the end it has chosen nothing"


def test_without_energies_nothing_is_known(tmp_path):
    ran(tmp_path, "grid", [0.6, 0.6], points=POINTS)
    [grid] = at_budget(compare(tmp_path / "small"), 1.0).strategies
    assert (grid.validation, grid.trials, grid.kwh_needed, grid.curve) == (None, None, None, ())


def test_the_command_shows_it_in_all_formats(folder, tmp_path):
    for flag, start in (([], " grid"), (["--markdown"], "| grid")):
        done = here("compare", str(folder), "--at-kwh", "1", *flag, cwd=tmp_path)
        table = done.stdout[done.stdout.index("At 1 kWh for one model") :]
        row = next(line for line in table.splitlines() if line.startswith(start))
        assert done.returncode == 0 and "75.0" in row
    document = json.loads(here("compare", str(folder), "--at-kwh", "1", "--json", cwd=tmp_path).stdout)
    [one] = document["at_kwh"]
    assert (one["kwh"], len(one["strategies"]), len(document["statistics"])) == (1, 2, 1)
    assert "at_kwh" not in json.loads(here("compare", str(folder), "--json", cwd=tmp_path).stdout)
    refused = here("compare", str(folder), "--at-kwh", "0", cwd=tmp_path)
    assert refused.returncode == 2 and "--at-kwh: must be greater than 0 kWh" in refused.stderr
    assert here("compare", "--paper", "--at-kwh", "1", cwd=tmp_path).returncode == 2
