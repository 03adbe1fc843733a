import pytest

from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import record_session_strategies, unstarted_sessions
from kdtune.results.trial_log import TrialLog


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path)


def begin(folder, strategy, session):
    path = folder.strategy(strategy).path
    path.mkdir(parents=True, exist_ok=True)
    (path / "study.toml").touch()
    TrialLog.read(folder.strategy(strategy).trials).session(session)


def test_a_session_without_a_started_strategy_belongs_to_all_of_its_strategies(folder):
    record_session_strategies(folder.session("1"), ["grid", "stochastic"])
    record_session_strategies(folder.session("2"), ["grid"])
    assert unstarted_sessions(folder, "grid") == ["1", "2"]
    assert unstarted_sessions(folder, "stochastic") == ["1"]
    assert unstarted_sessions(folder, "random") == []


def test_a_session_that_started_one_strategy_does_not_belong_to_the_others(folder):
    record_session_strategies(folder.session("1"), ["grid", "stochastic"])
    begin(folder, "grid", "1")
    assert unstarted_sessions(folder, "stochastic") == []


def test_a_session_of_an_abandoned_run_does_not_belong_to_the_next_run(folder):
    record_session_strategies(folder.session("1"), ["grid"])
    begin(folder, "grid", "1")
    folder.put_aside(["grid"])
    assert unstarted_sessions(folder, "grid") == []


def test_a_session_of_an_earlier_version_without_a_note_is_ignored(folder):
    folder.session("1").mkdir(parents=True)
    assert unstarted_sessions(folder, "grid") == []
