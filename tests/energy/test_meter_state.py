import os
import time
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
    state.save({"drivers": drivers, "mark": 7})
    return state


def test_the_state_can_be_loaded_while_its_study_runs(path):
    state = kept(path, identity_of(os.getpid()))
    assert state.load(snapshot())["mark"] == 7
    assert path.exists()


def test_a_state_that_belongs_to_another_user_is_ignored(path, monkeypatch):
    state = kept(path, identity_of(os.getpid()))
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert state.load(snapshot()) is None and path.exists()


def test_the_state_of_a_dead_study_is_removed(path):
    assert kept(path, DEAD).load(snapshot()) is None
    assert not path.exists()


def test_an_outdated_state_is_removed_if_the_disk_is_full(path, monkeypatch):
    state = kept(path, identity_of(os.getpid()))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kdtune.energy.meter_state.replaced_atomically", full)
        state.save({"drivers": [], "mark": 8})
    assert state.load(snapshot()) is None


def test_only_states_of_dead_studies_are_removed(tmp_path):
    kept(tmp_path / "dead.state", DEAD)
    kept(tmp_path / "living.state", identity_of(os.getpid()))
    (tmp_path / "half.state").write_text("{")
    kept(tmp_path / "elsewhere.state")  # of a study whose driver is on another machine
    kept(tmp_path / "abandoned.state")
    os.utime(tmp_path / "abandoned.state", (0, time.time() - 2 * 24 * 3600))
    drop_stale(tmp_path, snapshot())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["elsewhere.state", "half.state", "living.state"]
