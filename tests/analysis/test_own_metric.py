"""Every reader of results judges a study by the direction of its own metric."""

import pytest

from kdtune.analysis.baseline_comparisons import statistics_of
from kdtune.analysis.comparison import compare
from kdtune.analysis.equal_budget import at_budget
from kdtune.analysis.green_index import green_index
from kdtune.analysis.recommendation import recommend
from kdtune.catalog.metric import Metric
from kdtune.paper.claims import judge_claims
from kdtune.report.budget_table import budget_markdown
from kdtune.report.cost_rows import columns, cost_rows
from kdtune.report.export.model_card import model_card
from kdtune.report.html.accuracy_figures import accuracy_over_energy
from kdtune.report.html.drawing import Series
from kdtune.report.recommendation_text import recommendation_text
from kdtune.report.reported_study import read_study
from kdtune.report.statistics_table import statistics_markdown
from kdtune.results.folder import StudyFolder
from kdtune.results.strategy_result import StrategyResult
from kdtune.storage.records import parsed
from tests.results.own_metric import own_task
from tests.results.several import ran

ERROR = Metric("error", higher_is_better=False)
FIXED = [0.400, 0.412, 0.395, 0.404, 0.388, 0.407]
GRID = [0.370, 0.392, 0.370, 0.373, 0.366, 0.379]
NONE = [0.470, 0.482, 0.465, 0.474, 0.458, 0.477]
STRATEGIES = {"grid": {}, "fixed": {}, "none": {}}


def study(place, metric, scale=1.0):
    """A study whose grid has the lowest values, and ``none`` the highest, also on the validation images."""
    own = own_task(place, metric)
    for name, values, points in (
        ("grid", GRID, [{"tau": 2}, {"tau": 4}]),
        ("fixed", FIXED, [{"tau": 4}]),
        ("none", NONE, [{"loss": "ce"}]),
    ):
        val = [[scale * (one + 0.01 * place) for place, _ in enumerate(points)] for one in values]
        tested = [scale * one for one in values]
        ran(place, name, tested, points=points, val=val, trial_s=[4.0] * 6, strategies=STRATEGIES, **own)
    return place / "small"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return study(tmp_path_factory.mktemp("falling"), ERROR)


def test_a_result_carries_the_metric_and_leaves_out_what_its_name_says(folder, tmp_path):
    grid, *_ = compare(folder).outcomes
    assert grid.deciding == ERROR and grid.as_json()["objective_info"]["higher_is_better"] is False
    assert parsed(grid.as_json(), StrategyResult) == grid
    assert grid.repeats[0].val_objective == pytest.approx(GRID[0])
    rising, *_ = compare(study(tmp_path, Metric("score"))).outcomes
    assert rising.deciding == Metric("score") and "objective_info" not in rising.as_json()


def test_the_recommendation_prefers_lower_values(folder):
    [found] = recommend(folder)
    assert (found.advice, found.use, found.search_gain.verdict) == ("search", "grid", "better")
    assert found.search_gain.better_share.mean == 1
    text = recommendation_text(found)
    assert "grid (2 trainings) gains +2.6 " in text and "Distillation with grid gains +9.6 " in text


def test_comparisons_call_lower_values_better(folder):
    grid, none = statistics_of(compare(folder), "fixed").comparisons
    assert (grid.strategy, grid.verdict, grid.better_share.mean) == ("grid", "better", 1)
    assert (none.strategy, none.verdict, none.better_share.mean) == ("none", "worse", 0)
    assert grid.difference.mean < 0


def test_a_budget_keeps_the_lowest_value(folder):
    found = {one.strategy: one for one in at_budget(compare(folder), 1.0).strategies}
    assert found["grid"].validation.mean == pytest.approx(sum(GRID) / 6)


def test_the_green_index_falls_with_the_metric(folder):
    results = {one.strategy: one for one in compare(folder).outcomes}
    fixed, grid = (green_index(results[name], results["fixed"], 0.0) for name in ("fixed", "grid"))
    assert grid > fixed and fixed == pytest.approx(-100 * sum(FIXED) / 6)


def test_the_report_and_the_card_show_the_best_by_lower_values(folder):
    shown = read_study(StudyFolder(folder), [StudyFolder(folder).strategy(name) for name in STRATEGIES])
    assert ": grid" in model_card(shown)
    series = {one.name: Series(one.name, place) for place, one in enumerate(shown.strategies)}
    figure = accuracy_over_energy(shown, series)
    assert "Further down is better" in figure.description
    assert {row[0]: row[-1] for row in figure.rows} == {"grid": "yes", "fixed": "yes", "none": "no"}


def test_a_claim_of_a_task_without_accuracy_is_judged_by_lower_values(tmp_path):
    own = own_task(tmp_path, ERROR)
    ran(tmp_path, "grid", [0.50, 0.51, 0.49], **own)
    ran(tmp_path, "stochastic", [0.30, 0.32, 0.31], **own)  # no worse: it has fewer errors
    claim = next(one for one in judge_claims([tmp_path]) if one.claim.id == "hkd-matches")
    [found] = claim.evidence
    assert found.interval.mean == pytest.approx(-0.19) and found.sides["stochastic"] == pytest.approx(0.31)
    assert found.verdict == "supported"


def test_values_are_shown_in_the_unit_of_the_metric(tmp_path):
    folder = study(tmp_path, Metric("distance", higher_is_better=False, unit="px", resolution=0.01), scale=10)
    found = compare(folder)
    rows = [dict(zip(columns(found.outcomes), row, strict=True)) for row in cost_rows(found.outcomes)]
    assert (rows[0]["test distance px"], rows[0]["strategy"]) == ("3.75 +- 0.09", "grid")
    text = statistics_markdown(statistics_of(found, "fixed"))
    assert "| grid | -0.26 (" in text and "0.005 px" in text and "test distance px" in text
    assert "points" not in text and "test distance px %" not in text
    assert "| grid | 3.75 (" in budget_markdown(at_budget(found, 1.0))
    [advice] = recommend(folder)
    said = recommendation_text(advice)
    assert "gains +0.26 (" in said and " px over fixed" in said and "margin of 0.005 px" in said
    shown = read_study(StudyFolder(folder), list(found.folders))
    assert "Test distance: 3.75 +- 0.09 px, over 6 repeats." in model_card(shown)
