import os
from pathlib import Path

import pytest

from kdtune.energy.meter_state import MeterState, drop_stale
from kdtune.energy.processes import identity_of, snapshot

DEAD = (2**22 + 1, 1)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "one.state"


def kept(path, *drivers) -> MeterState:
    state = MeterState(path)
    state.keep({"drivers": drivers, "mark": 7})
    return state


def test_what_was_kept_is_found_while_its_study_runs(path):
    state = kept(path, identity_of(os.getpid()))
    assert state.load(snapshot())["mark"] == 7
    assert path.exists()


def test_what_another_user_put_there_is_not_gone_on_with(path, monkeypatch):
    state = kept(path, identity_of(os.getpid()))
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert state.load(snapshot()) is None and path.exists()


def test_nothing_is_found_of_a_study_that_is_dead(path):
    assert kept(path, DEAD).load(snapshot()) is None
    assert not path.exists()


def test_where_there_is_no_room_nothing_stays_that_would_mislead_a_successor(path, monkeypatch):
    state = kept(path, identity_of(os.getpid()))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kdtune.energy.meter_state.replaced_atomically", full)
        state.keep({"drivers": [], "mark": 8})
    assert state.load(snapshot()) is None


def test_only_what_dead_studies_left_is_removed(tmp_path):
    kept(tmp_path / "dead.state", DEAD)
    kept(tmp_path / "living.state", identity_of(os.getpid()))
    (tmp_path / "half.state").write_text("{")
    drop_stale(tmp_path, snapshot())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["half.state", "living.state"]
