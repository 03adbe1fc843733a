import pytest

from kdtune.results.folder import StudyFolder
from kdtune.results.session_notes import note_asked, unbegun
from kdtune.results.trial_log import TrialLog


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path)


def begin(folder, strategy, session):
    path = folder.strategy(strategy).path
    path.mkdir(parents=True, exist_ok=True)
    (path / "study.toml").touch()
    TrialLog.read(folder.strategy(strategy).trials).session(session)


def test_a_session_that_came_to_no_strategy_is_of_all_that_it_was_to_run(folder):
    note_asked(folder.session("1"), ["grid", "stochastic"])
    note_asked(folder.session("2"), ["grid"])
    assert unbegun(folder, "grid") == ["1", "2"]
    assert unbegun(folder, "stochastic") == ["1"]
    assert unbegun(folder, "random") == []


def test_a_session_that_began_one_strategy_is_not_of_the_others(folder):
    note_asked(folder.session("1"), ["grid", "stochastic"])
    begin(folder, "grid", "1")
    assert unbegun(folder, "stochastic") == []


def test_what_a_strategy_that_was_put_aside_used_is_not_of_the_next(folder):
    note_asked(folder.session("1"), ["grid"])
    begin(folder, "grid", "1")
    folder.put_aside(["grid"])
    assert unbegun(folder, "grid") == []


def test_a_session_of_an_earlier_version_without_a_note_is_left_alone(folder):
    folder.session("1").mkdir(parents=True)
    assert unbegun(folder, "grid") == []
