"""Figures of trainings from hand-written results."""

from kdtune.report.html.drawing import series_of
from kdtune.report.html.page import read_studies
from kdtune.report.html.training_figures import accuracy_over_tau, most_telling
from tests.results.several import ran


def test_a_figure_with_many_lines_shows_the_baseline_and_the_best(tmp_path):
    labels = {f"drawn-{number}": {"strategy": "single", "temperature": "stochastic"} for number in range(10)}
    strategies = {"grid": {}, "stochastic": {}, **labels}
    ran(tmp_path, "grid", [0.6], points=[{"tau": tau} for tau in (2, 4, 6)], strategies=strategies)
    for number, label in enumerate(["stochastic", *labels]):
        point = {"temperature": "stochastic"}
        ran(tmp_path, label, [0.6], points=[point], val=[[0.5 + number / 100]], strategies=strategies)
    [study] = read_studies(tmp_path)
    others = [one for one in study.strategies if one.name != "grid"]
    shown = [one.name for one in most_telling(study, others)]
    assert shown == ["stochastic", *(f"drawn-{number}" for number in range(3, 10))]
    assert most_telling(study, others[:8]) == others[:8]
    figure = accuracy_over_tau(study, series_of([one.name for one in study.strategies]))
    assert [one.name for one in figure.legend] == ["grid", *shown]
    assert "of 11 strategies, the baseline and the best are drawn" in figure.description
