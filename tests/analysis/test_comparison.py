"""Comparison of hand-written results, without a run."""

import pytest

from kdtune.analysis.comparison import compare
from kdtune.results.folder import StudyFolder
from tests.results.finished import finished


@pytest.mark.parametrize(("of_grid", "words"), [("shared", "(grid: shared; stochastic: dedicated)"), ("dedicated", "")])
def test_mixed_attribution_is_a_warning(tmp_path, of_grid, words):
    finished(tmp_path, "stochastic")
    finished(tmp_path, "grid", attribution=of_grid)
    found = compare([tmp_path / "small"])
    assert [result["cost"]["attribution"] for result in found.results] == [of_grid, "dedicated"]
    expected = f"Energy was attributed in different ways and cannot be compared directly {words}."
    assert found.warnings == ([expected] if words else [])


def test_strategies_of_a_command_that_have_not_begun_are_named_if_its_whole_study_is_compared(tmp_path):
    place = tmp_path / "my results"
    for name in ("grid", "stochastic"):
        finished(place, name)
    folder = StudyFolder(place / "small")
    folder.write_run({"strategies": ["grid", "stochastic", "optuna", "none"]})
    [warning] = compare([place]).warnings
    assert warning.startswith("Not begun yet: optuna, none. ") and warning.endswith(f"kdtune resume '{folder.path}'")
    assert compare([folder.path / "grid"]).warnings == []
    folder.run_toml.write_text("strategies = 3")
    assert compare([place]).warnings == []
