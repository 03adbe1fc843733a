"""Folders that all machines of a study share. Other machines are represented by other paths and other locks."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from kdtune.errors import MachineError
from kdtune.execution.shared_folders import SharedFolders
from kdtune.storage.paths import cache_dir


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "results").mkdir()
    return SharedFolders("session", str(tmp_path / "results"), str(tmp_path / "cache"))


def test_a_machine_that_sees_both_markers_uses_the_cache_of_the_driver(shared, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", "/elsewhere")
    with shared.marked():
        assert shared.faults() == []
        with shared.used():
            assert str(cache_dir()) == shared.cache
        assert str(cache_dir()) == "/elsewhere"
        monkeypatch.delenv("KDTUNE_CACHE_DIR")
        with shared.used():
            assert str(cache_dir()) == shared.cache
        assert "KDTUNE_CACHE_DIR" not in os.environ
    assert not [*Path(shared.results).iterdir(), *Path(shared.cache).iterdir()]


@pytest.mark.parametrize("missing", ["results", "cache"])
def test_a_machine_that_misses_a_folder_does_no_work_and_names_it(shared, missing, tmp_path):
    (tmp_path / "other").mkdir()
    there = SharedFolders("session", *(str(tmp_path / (n if n != missing else "other")) for n in ("results", "cache")))
    with shared.marked(), pytest.raises(MachineError) as told, there.used():
        raise AssertionError("it worked")
    assert os.uname().nodename in str(told.value) and f"{tmp_path / 'other'}" in str(told.value)
    assert "\n" not in str(told.value)  # Ray Tune passes on the first line


def test_a_marker_of_another_session_does_not_count(shared):
    with shared.marked():
        assert len(SharedFolders("another", shared.results, shared.cache).faults()) == 2


def test_locks_that_do_not_reach_this_machine_are_refused(shared, monkeypatch):
    """As on NFS that is mounted with ``nolock``: each machine has locks of its own."""
    with shared.marked():
        flock, asked = fcntl.flock, []

        def local(descriptor, how):
            asked.append(how)

        monkeypatch.setattr(fcntl, "flock", local)
        faults = shared.faults()
        monkeypatch.setattr(fcntl, "flock", flock)
        assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB] * 2
    assert len(faults) == 2 and all("does not see file locks of the driver" in fault for fault in faults)


def test_markers_of_killed_commands_are_removed(shared):
    """A command that runs for days holds the lock of its marker; one that has just begun may not hold it yet."""
    running = SharedFolders("running", shared.results, shared.cache)
    with running.marked():
        places = [Path(folder) for folder in (shared.results, shared.cache)]
        for place in places:
            (place / ".shared-killed").touch()
            for name in ("running", "killed"):
                os.utime(place / f".shared-{name}", (0, time.time() - 2 * 24 * 3600))
            (place / ".shared-begins").touch()
        with shared.marked():
            for place in places:
                assert sorted(one.name for one in place.iterdir()) == [
                    f".shared-{name}" for name in ("begins", "running", "session")
                ]
