"""Energy that counts towards the budget of a resumed study: a run uses 280 J itself and its session 204 J."""

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
    """A teacher in the cache, which was trained for a second."""
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), tmp_path / "cache" / "t1" / "ledger")
    return tmp_path / "cache" / "t1"


def spent(study):
    return spent_uj(study, dedicated=True)


def test_strategies_sessions_and_created_artifacts_count_once(study, teacher, tmp_path):
    for name, session in (("grid", "s1"), ("stochastic", "s1"), ("none", "s2")):
        finished(tmp_path, name, session=session)
    for session in ("s1", "s2"):  # the second session continued the training
        record_created_artifact(study.session(session), teacher)
    assert spent(study) == 3 * OWN + 2 * SESSION + TEACHER


def test_a_study_started_again_with_fresh_has_its_whole_budget_again(study, teacher, tmp_path):
    finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), teacher)
    study.put_aside(["grid"])
    assert spent(study) == 0
    finished(tmp_path, "grid", session="s2")
    assert spent(study) == OWN + SESSION


def test_a_session_that_worked_on_a_kept_strategy_counts(study, teacher, tmp_path):
    for name in ("grid", "stochastic"):
        finished(tmp_path, name, session="s1")
    record_created_artifact(study.session("s1"), teacher)
    study.put_aside(["grid"])
    assert spent(study) == OWN + SESSION + TEACHER


def test_a_session_that_ended_before_any_strategy_began_counts(study, tmp_path):
    finished(tmp_path, "grid", session="s1")
    study.put_aside(["grid"])
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), study.session("s2"))
    record_session_strategies(study.session("s2"), ["grid"])
    assert spent(study) == 24 * J


def test_a_removed_artifact_counts_from_the_copies_in_shared_json(study, teacher, tmp_path):
    folder = finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), tmp_path / "cache" / "gone")
    summary = ledger_summary(teacher / "ledger", dedicated=True)
    write_shared(folder, None, {"gone": TeacherLogitsInput(1, summary)})
    assert spent(study) == OWN + SESSION + TEACHER


def test_a_removed_compilation_counts_from_the_copy_in_shared_json(study, teacher, tmp_path):
    folder = finished(tmp_path, "grid", session="s1")
    record_created_artifact(study.session("s1"), tmp_path / "cache" / "gone")
    summary = ledger_summary(teacher / "ledger", dedicated=True)
    write_shared(folder, None, None, {"gone": CompilationInput(summary)})
    assert spent(study) == OWN + SESSION + TEACHER


def test_energy_of_other_processes_does_not_count_and_idle_energy_only_if_charged(study, tmp_path):
    finished(tmp_path, "grid", session="s1", attribution="shared")
    assert spent_uj(study, dedicated=False) == (40 + 60 + 4) * J
