"""Comparison of hand-written results, without a run."""

import pytest

from kdtune.analysis.comparison import compare
from tests.results.finished import finished


@pytest.mark.parametrize(("of_grid", "words"), [("shared", "(grid: shared; stochastic: dedicated)"), ("dedicated", "")])
def test_mixed_attribution_is_a_warning(tmp_path, of_grid, words):
    finished(tmp_path, "stochastic")
    finished(tmp_path, "grid", attribution=of_grid)
    found = compare([tmp_path / "small"])
    assert [result["cost"]["attribution"] for result in found.results] == [of_grid, "dedicated"]
    expected = f"Energy was attributed in different ways and cannot be compared directly {words}."
    assert found.warnings == ([expected] if words else [])
