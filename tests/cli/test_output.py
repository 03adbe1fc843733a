import pytest
import typer
from rich.console import Console

from kdtune.cli.output import show_outcome
from kdtune.results.outcome import build_result
from kdtune.results.study_result import StudyResult
from kdtune.specs import load_study
from tests.results.finished import CARBON, finished
from tests.studies import small_study


def told(folder, *, with_report=True, **fields):
    """Return the output for an outcome, by default without results, and the exit code."""
    usual = {"outcomes": [], "interrupted": False, "is_settled": False}
    result = StudyResult(load_study(small_study()), folder, **{**usual, **fields})
    console = Console(width=200, no_color=True)
    with console.capture() as captured, pytest.raises(typer.Exit) as end:
        show_outcome(result, console, as_json=False, with_report=with_report)
    return captured.get(), end.value.exit_code


def test_an_outcome_without_a_started_strategy_names_the_command_to_start(tmp_path):
    words, code = told(tmp_path, over_budget="--max-co2 0.02 is reached: 0.0212 g", can_resume=False)
    assert code == 4
    assert "No strategy was started. To start one, run the same command with a larger --max-co2." in words
    words, code = told(tmp_path, interrupted=True, can_resume=False)
    assert code == 130 and "To start one, run the same command." in words


def test_an_unfinished_outcome_names_the_command_to_resume(tmp_path):
    words, code = told(tmp_path, over_budget="--max-kwh 1 is reached: 1.1 kWh")
    assert code == 4 and f"Continue with: kdtune resume {tmp_path} --max-kwh MORE" in words


def test_an_error_after_everything_was_finished_is_no_failure(tmp_path):
    words, code = told(tmp_path, is_settled=True, errors=("grid: Ray died",))
    assert code == 0 and "Everything was finished when this happened: grid: Ray died" in words and "Failed" not in words


@pytest.mark.parametrize(("interrupted", "wanted", "code"), [(False, True, 0), (True, True, 130), (False, False, 0)])
def test_a_study_that_was_not_interrupted_writes_its_report_if_wanted_and_names_it(tmp_path, interrupted, wanted, code):
    folder = finished(tmp_path)
    outcome = build_result(folder, CARBON)
    fields = {"outcomes": [outcome], "interrupted": interrupted, "is_settled": True}
    words, ended = told(folder.study.path, with_report=wanted, **fields)
    written = folder.study.path / "report.html"
    is_written = wanted and not interrupted
    assert (ended, written.is_file(), f"Report: {written}" in words) == (code, is_written, is_written)


def test_a_report_that_cannot_be_written_changes_no_outcome(tmp_path):
    folder = finished(tmp_path)
    (folder.study.path / "report.html").mkdir()
    words, code = told(folder.study.path, outcomes=[build_result(folder, CARBON)], is_settled=True)
    assert code == 0 and "No report was written: " in words and "report.html: cannot be written" in words
