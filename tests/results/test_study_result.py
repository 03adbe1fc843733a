from pathlib import Path

from kdtune.results.study_result import StudyResult
from kdtune.specs import load_study
from tests.studies import small_study


def test_a_study_of_which_a_strategy_could_not_be_carried_through_is_no_success_though_the_others_are():
    done = {"status": "completed"}
    study = load_study(small_study())
    assert StudyResult(study, Path("results"), [done], False, True).exit_code == 0
    assert StudyResult(study, Path("results"), [done], False, False, errors=("grid: Ray died",)).exit_code == 1


def test_what_happened_when_all_was_done_does_not_make_it_a_failure():
    study = load_study(small_study())
    after = StudyResult(study, Path("results"), [{"status": "completed"}], False, True, errors=("grid: Ray died",))
    assert after.exit_code == 0
    failed = StudyResult(study, Path("results"), [{"status": "incomplete"}], False, True, errors=("grid: no trial",))
    assert failed.exit_code == 1
