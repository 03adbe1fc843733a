import errno
import fcntl
import json
import math
import os
import shutil
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from kdtune.errors import KdtuneError, UsageError
from kdtune.results.folder import StudyFolder
from kdtune.storage.files import (
    exclusive_lock,
    in_use,
    read_whole,
    replaced_atomically,
    unused,
    write_json,
)
from kdtune.storage.journal import Journal, append_lines
from tests.waiting import wait_for

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
RECORDS = st.dictionaries(st.text(), VALUES | st.lists(VALUES, max_size=3), max_size=4)
FEW = settings(max_examples=25)  # each line is synced to disk


def test_a_replaced_file_has_the_new_content_and_no_temporary_file_remains(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replaced_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replaced_atomically(path) as file:
        file.write(b"ne")
        file.flush()
        assert path.read_bytes() == b"old"


@pytest.mark.parametrize("sync", [True, False])
def test_the_old_file_stays_when_writing_fails(tmp_path, sync):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half way"), replaced_atomically(path, sync=sync) as file:
        file.write(b"ne")
        raise RuntimeError("half way")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def link(tmp_path):
    """A symbolic link out of a folder that others can write to."""
    (tmp_path / "victim").write_text("precious, without an end of line")
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "link"


def locked(path):
    with exclusive_lock(path.parent, path.name):
        pass


def replaced(path):
    with replaced_atomically(path) as file:
        file.write(b"new")


def test_the_target_of_a_link_is_not_changed(link, tmp_path):
    link.symlink_to(tmp_path / "victim")
    for write in (lambda path: append_lines(path, {"n": 1}), locked):
        with pytest.raises(OSError, match="symbolic link"):
            write(link)
    replaced(link)
    assert not link.is_symlink() and link.read_bytes() == b"new"
    assert (tmp_path / "victim").read_text() == "precious, without an end of line"


def test_a_link_in_place_of_a_temporary_file_is_not_followed(link, tmp_path):
    link.with_name(f".link.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")
    replaced(link)
    assert link.read_bytes() == b"new"
    assert (tmp_path / "victim").read_text() == "precious, without an end of line"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_devices_and_pipes_are_not_read(tmp_path, make):
    make(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match=r"log\.jsonl: cannot be read"):
        Journal(tmp_path / "log.jsonl", dict, "record", "delete it").read()
    with pytest.raises(OSError):
        read_whole(tmp_path / "log.jsonl")


def test_no_file_appears_when_the_first_writing_fails(tmp_path):
    with pytest.raises(RuntimeError), replaced_atomically(tmp_path / "file"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_json_document_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, 2.5, None]}


def test_a_document_that_is_not_valid_json_leaves_the_old_one(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(KdtuneError):
        write_json(tmp_path / "a.json", {"n": math.nan})
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 1}


# Locks


@pytest.mark.parametrize("asks", [False, True], ids=["just waits", "asks again and again"])
def test_processes_that_wait_for_a_removed_folder_still_exclude_each_other(tmp_path, asks, monkeypatch):
    """A lock on a removed lock file does not exclude processes that come later."""
    folder, inside, most, asking = tmp_path / "made", [], [], set()
    flock = fcntl.flock

    def noted(descriptor, how):
        asking.add(threading.get_ident())
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", noted)

    def wait(acquire):
        while not acquire():
            time.sleep(0.01)

    def make():
        with exclusive_lock(folder, wait=wait if asks else None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.2)
            inside.pop()
            (folder / f"{len(most)}").touch()

    makers = [threading.Thread(target=make) for _ in range(3)]
    with unused(folder) as free:
        assert free
        for maker in makers[:2]:
            maker.start()
        wait_for(lambda: {maker.ident for maker in makers[:2]} <= asking)  # both have opened the lock's file
        shutil.rmtree(folder)
        makers[2].start()  # finds no lock's file, and makes one while the others wait for the removed one
        time.sleep(0.1)
        assert {*most} <= {1}
    for maker in makers:
        maker.join()
    assert most == [1, 1, 1] and {"1", "2", "3"} <= {path.name for path in folder.iterdir()}


def test_a_read_only_folder_can_be_used(tmp_path):
    (tmp_path / "file").touch()
    with in_use(tmp_path / "file" / "store"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_as_the_cause_with_a_remedy(tmp_path, monkeypatch, number):
    """NFS without a lock service and some file systems in user space raise these errors."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    for lock in (exclusive_lock(tmp_path), in_use(tmp_path)):
        with pytest.raises(UsageError, match=r"no file locks .*set KDTUNE_CACHE_DIR"), lock:
            pass
    with pytest.raises(UsageError, match=r"no file locks .*--out DIR"), StudyFolder(tmp_path / "study").locked():
        pass
    assert not (tmp_path / "study").exists()
