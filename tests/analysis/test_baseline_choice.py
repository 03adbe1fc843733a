"""The strategy with which others are compared if the user names none."""

import pytest

from kdtune.analysis.baseline_choice import baseline_of
from kdtune.analysis.comparison import compare
from kdtune.report.reported_study import read_study
from kdtune.results.folder import StudyFolder
from tests.results.several import ran
from tests.studies import here

POINTS = {
    "grid": [{"tau": 2}, {"tau": 4}],
    "stochastic": [{"temperature": "stochastic"}],
    "fixed": [{"tau": 4}],
    "single": [{"tau": 9}],
    "none": [{"loss": "ce"}],
}
VALUES = {"grid": [0.9, 0.8], "fixed": [0.5], "single": [0.6], "none": [0.7], "stochastic": [0.1]}


def made(place, *names):
    for name in names:
        values = [VALUES[name]] * 2
        ran(place, name, [0.5, 0.6], points=POINTS[name], val=values, trial_s=[1.0, 1.0])
    return place / "small"


@pytest.mark.parametrize(
    ("names", "baseline"),
    [
        (["grid", "stochastic", "fixed"], "stochastic"),
        (["grid", "fixed", "single", "none"], "single"),
        (["grid", "none"], "grid"),
        (["none"], "none"),
    ],
)
def test_reports_and_comparisons_choose_the_same_baseline(tmp_path, names, baseline):
    folder = StudyFolder(made(tmp_path, *names))
    assert baseline_of(compare(folder.path).outcomes) == baseline
    assert read_study(folder, folder.strategies()).baseline == baseline


def test_compare_falls_back_to_a_baseline_that_ran_and_names_it(tmp_path):
    made(tmp_path / "results", "grid", "fixed")
    done = here("compare", "results/small", cwd=tmp_path)
    assert "Multiples of the energy of fixed" in done.stdout
    assert "1.00 x" in done.stdout


def test_several_studies_have_no_baseline_until_one_is_named(tmp_path):
    made(tmp_path / "a", "grid")
    ran(tmp_path / "b", "fixed", [0.5], name="other")
    found = compare([tmp_path / "a", tmp_path / "b"], allow_mismatch=True)
    assert baseline_of(found.outcomes) == "stochastic"
