"""Forecasts from hand-written grids."""

import json
import re
from itertools import combinations
from statistics import fmean

import pytest

from kdtune.analysis.replay_forecast import forecast
from kdtune.errors import ResultsError, SpecError
from tests.results.several import ran
from tests.studies import here

TAUS = [2, 4, 6, 8, 10, 12]
VAL = [[0.50, 0.61, 0.58, 0.60, 0.55, 0.40], [0.52, 0.57, 0.63, 0.59, 0.54, 0.41]]
SPACE = {"search_space": {"tau": {"values": TAUS}}, "strategies": {"grid": {}, "random": {"trials": 3}, "none": {}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("recorded")
    ran(place, "grid", [0.6, 0.6], points=[{"tau": tau} for tau in TAUS], val=VAL, trial_s=[4, 4], **SPACE)
    return place / "small"


def test_random_search_has_the_expectations_that_can_be_counted(folder):
    [found], remarks = forecast(folder, ["random"], replays=4000)
    best_of_three = [fmean(max(drawn) for drawn in combinations(values, 3)) for values in VAL]
    last = found.curve[-1]
    assert (found.replays, found.recorded_repeats, found.trials, last.trials) == (4000, 2, 3, 3) and remarks == []
    assert last.validation == pytest.approx(fmean(best_of_three), abs=0.002)
    assert last.regret == pytest.approx(fmean([0.61, 0.63]) - last.validation)
    assert [point.found_best for point in found.curve] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)
    # A core (4 W) and half the memory (10 W) for 4 s.
    assert [point.training_kwh for point in found.curve] == pytest.approx([56 / 3.6e6 * n for n in (1, 2, 3)])
    assert found.curve[0].validation == pytest.approx(fmean(VAL[0] + VAL[1]), abs=0.003)


def test_the_grid_finds_its_best_and_the_other_repeats_value_the_choice_without_flattery(folder):
    [found], _ = forecast(folder, ["grid"], replays=2)
    last = found.curve[-1]
    assert (last.regret, last.found_best, last.validation) == (0, 1, pytest.approx(0.62))
    assert last.elsewhere == pytest.approx(fmean([0.57, 0.58]))  # tau 4 in the second repeat, tau 6 in the first
    assert (found.searches_run, found.same_choice) == (2, 2)


def test_options_can_be_changed(folder):
    [found], _ = forecast(folder, ["random"], replays=50, overrides=["strategies.random.trials=6"])
    assert (found.trials, found.curve[-1].found_best) == (6, 1)


def test_by_default_all_strategies_are_replayed_that_can_be(folder):
    found, remarks = forecast(folder, replays=10)
    assert [one.strategy for one in found] == ["grid", "random"]
    assert remarks == ["small: none is left out: it trains once and searches for nothing"]
    with pytest.raises(ResultsError, match="none: loss ce is not in the recorded grid, so it cannot be replayed"):
        forecast(folder, ["none"])
    with pytest.raises(SpecError, match="--strategy: unknown strategy 'rando'"):
        forecast(folder, ["rando"])


def test_only_the_grid_is_replayed_though_other_strategies_trained_other_points(tmp_path):
    space = {**SPACE, "strategies": {"grid": {}, "fixed": {"tau": 5}, "fixed-4": {"strategy": "fixed", "tau": 4}}}
    ran(tmp_path, "grid", [0.6, 0.6], points=[{"tau": tau} for tau in TAUS], val=VAL, **space)
    ran(tmp_path, "fixed", [0.6, 0.6], points=[{"tau": 5}], **space)
    ran(tmp_path, "fixed-4", [0.6, 0.6], points=[{"tau": 4}], **space)
    found, remarks = forecast(tmp_path / "small", replays=2)
    assert [one.strategy for one in found] == ["grid"]
    assert [remark.split(" is left out: ")[0] for remark in remarks] == ["small: fixed", "small: fixed-4"]
    with pytest.raises(ResultsError, match="fixed: tau 5 is not in the recorded grid"):
        forecast(tmp_path / "small", ["fixed"], replays=2)
    [named], _ = forecast(tmp_path / "small", ["fixed-4"], replays=2)
    assert named.trials == 1 and named.curve[0].validation == pytest.approx(fmean([0.61, 0.57]))


def test_without_a_complete_grid_there_is_nothing_to_replay(tmp_path):
    ran(tmp_path, "random", [0.6], points=[{"tau": 2}], **SPACE)
    frozen = tmp_path / "small" / "random" / "study.toml"
    command = re.escape(f"run 'kdtune study {frozen} -s grid --out {tmp_path}' first")
    with pytest.raises(ResultsError, match=f"no repeat has every point .* {command}"):
        forecast(tmp_path / "small")
    ran(tmp_path, "grid", [0.6], name="open", search_space={"tau": {"low": 2, "high": 4}})
    with pytest.raises(ResultsError, match="has no 'step' or 'values'"):
        forecast(tmp_path / "open")


def test_code_that_a_results_folder_names_is_not_imported(tmp_path):
    grid = ran(tmp_path, "grid", [0.6], points=[{"tau": tau} for tau in TAUS], val=VAL[:1], **SPACE)
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    own = {"grid": {}, "mine": {"strategy": f"{tmp_path}/mine.py:Mine"}}
    grid.write_study(grid.read_study().model_copy(update={"strategies": own}), grid.resolved())
    with pytest.raises(ResultsError, match=r"mine: it is not built in, and results never import other code"):
        forecast(tmp_path / "small", ["mine"], replays=1)


def test_the_command_prints_a_table_or_one_json_document(folder, tmp_path):
    done = here("replay", str(folder), "--replays", "20", cwd=tmp_path)
    assert done.returncode == 0
    row = next(line for line in done.stdout.splitlines() if line.strip().startswith("random"))
    assert row.split()[1] == "1" and "val. acc. %" in done.stdout
    assert "grid: 20 replays on 2 recorded repeats, 6 trainings on average. It was really run in 2: " in done.stdout
    assert "small: none is left out" in done.stdout
    done = here("replay", str(folder), "-s", "random", "--replays", "20", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    [one] = document["forecasts"]
    assert (document["schema_version"], one["strategy"], one["metric"], len(one["curve"])) == (
        1,
        "random",
        "accuracy",
        3,
    )
    assert set(one["curve"][0]) == {"trials", "training_kwh", "validation", "elsewhere", "regret", "found_best"}
    assert here("replay", "elsewhere", cwd=tmp_path).returncode == 2
