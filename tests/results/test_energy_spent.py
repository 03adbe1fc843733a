"""What a resumed study's budget is held against: by hand, a run is 280 J by itself, and its session 204 J."""

import pytest

from kdtune.results.energy_spent import record_created_artifact, spent_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import record_session_strategies
from kdtune.results.shared_document import CompilationInput, TeacherLogitsInput
from kdtune.results.shared_inputs import ledger_summary, write_shared
from tests.energy.simulated import J, Node, two_cores
from tests.results.finished import finished, write_ledger

OWN, SESSION, TEACHER = 280 * J, 204 * J, 24 * J


@pytest.fixture
def study(tmp_path):
    return StudyFolder(tmp_path / "small")


@pytest.fixture
def teacher(tmp_path):
    """A teacher in the cache, a second's work."""
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), tmp_path / "cache" / "t1" / "ledger")
    return tmp_path / "cache" / "t1"


def spent(study):
    return spent_uj(study, dedicated=True)


def test_strategies_their_sessions_and_what_these_made_count_once(study, teacher, tmp_path):
    for name, session in (("grid", "s1"), ("stochastic", "s1"), ("none", "s2")):
        finished(tmp_path, name, session=session)
    for session in ("s1", "s2"):  # the second one went on with it
        record_created_artifact(study.session(session), teacher)
    assert spent(study) == 3 * OWN + 2 * SESSION + TEACHER


def test_a_study_that_was_begun_afresh_has_its_whole_budget_again(study, teacher, tmp_path):
    finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), teacher)
    study.put_aside(["grid"])
    assert spent(study) == 0
    finished(tmp_path, "grid", session="s2")
    assert spent(study) == OWN + SESSION


def test_a_session_that_worked_on_a_strategy_that_was_kept_counts(study, teacher, tmp_path):
    for name in ("grid", "stochastic"):
        finished(tmp_path, name, session="s1")
    record_created_artifact(study.session("s1"), teacher)
    study.put_aside(["grid"])
    assert spent(study) == OWN + SESSION + TEACHER


def test_a_session_that_came_to_no_strategy_counts(study, tmp_path):
    finished(tmp_path, "grid", session="s1")
    study.put_aside(["grid"])
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), study.session("s2"))
    record_session_strategies(study.session("s2"), ["grid"])
    assert spent(study) == 24 * J


def test_what_was_cleaned_out_of_the_cache_counts_by_the_strategies_copies(study, teacher, tmp_path):
    folder = finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), tmp_path / "cache" / "gone")
    summary = ledger_summary(teacher / "ledger", dedicated=True)
    write_shared(folder, None, {"gone": TeacherLogitsInput(1, summary)})
    assert spent(study) == OWN + SESSION + TEACHER


def test_of_a_compilation_that_was_cleaned_away_the_copy_counts(study, teacher, tmp_path):
    folder = finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), tmp_path / "cache" / "gone")
    summary = ledger_summary(teacher / "ledger", dedicated=True)
    write_shared(folder, None, None, {"gone": CompilationInput(summary)})
    assert spent(study) == OWN + SESSION + TEACHER


def test_what_others_used_does_not_count_and_idle_power_only_where_it_is_charged(study, tmp_path):
    finished(tmp_path, "grid", session="s1", attribution="shared")
    assert spent_uj(study, dedicated=False) == (40 + 60 + 4) * J
