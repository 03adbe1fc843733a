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
    for name in ("grid", "stochastic"):
        finished(tmp_path, name)
    folder = StudyFolder(tmp_path / "small")
    folder.write_run({"strategies": ["grid", "stochastic", "optuna", "none"]})
    expected = f"Not begun yet: optuna, none. Continue with: kdtune resume {folder.path}"
    assert compare([tmp_path]).warnings == [expected]
    assert compare([folder.path / "grid"]).warnings == []
    folder.run_toml.write_text("strategies = 3")
    assert compare([tmp_path]).warnings == []
