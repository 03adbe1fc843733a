from pathlib import Path

from kdtune.results.study_result import StudyResult
from kdtune.specs import load_study
from tests.results.typed import strategy_result
from tests.studies import small_study


def ended(status):
    return strategy_result({"strategy": "grid", "status": status})


def test_a_study_with_one_failed_strategy_fails():
    study, done = load_study(small_study()), [ended("completed")]
    assert StudyResult(study, Path("results"), done, False, True).exit_code == 0
    assert StudyResult(study, Path("results"), done, False, False, errors=("grid: Ray died",)).exit_code == 1


def test_an_error_after_all_work_is_done_is_not_a_failure():
    study, done = load_study(small_study()), [ended("completed")]
    after = StudyResult(
        study,
        Path("results"),
        done,
        False,
        True,
        errors=("grid: Ray died",),
    )
    assert after.exit_code == 0
    failed = StudyResult(
        study,
        Path("results"),
        [ended("incomplete")],
        False,
        True,
        errors=("grid: no trial",),
    )
    assert failed.exit_code == 1
