import errno
import json
import math
import os
import shutil
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtune.errors import KdtuneError, UsageError
from kdtune.results.folder import StudyFolder
from kdtune.storage.files import (
    alone_in,
    append_lines,
    in_use,
    read_lines,
    read_whole,
    replaced_atomically,
    unused,
    write_json,
)

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
RECORDS = st.dictionaries(st.text(), VALUES | st.lists(VALUES, max_size=3), max_size=4)
FEW = settings(max_examples=25)  # each line is forced to the disk


def appended(path, records):
    for record in records:
        append_lines(path, record)
    return path


@FEW
@given(st.lists(RECORDS, max_size=5))
def test_what_was_appended_is_read_back_in_order(records):
    with TemporaryDirectory() as folder:
        assert read_lines(appended(Path(folder) / "log.jsonl", records)) == records


def test_a_missing_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "absent.jsonl") == []


def test_an_empty_file_has_no_lines(tmp_path):
    (tmp_path / "log.jsonl").touch()
    assert read_lines(tmp_path / "log.jsonl") == []


@FEW
@given(RECORDS, st.data())
def test_a_torn_last_line_is_left_out(record, data):
    with TemporaryDirectory() as folder:
        path = appended(Path(folder) / "log.jsonl", [{"n": 1}])
        whole = path.stat().st_size
        content = appended(path, [record]).read_bytes()
        path.write_bytes(content[: data.draw(st.integers(whole, len(content) - 1))])
        assert read_lines(path) == [{"n": 1}]


@FEW
@given(RECORDS, st.data())
def test_the_next_append_cuts_a_torn_last_line_off(record, data):
    with TemporaryDirectory() as folder:
        path = appended(Path(folder) / "log.jsonl", [{"n": 1}])
        whole = path.stat().st_size
        content = appended(path, [record]).read_bytes()
        path.write_bytes(content[: data.draw(st.integers(whole, len(content) - 1))])
        assert read_lines(appended(path, [{"n": 2}])) == [{"n": 1}, {"n": 2}]


def test_a_torn_first_line_is_cut_off_too(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":')
    assert read_lines(path) == []
    assert read_lines(appended(path, [{"n": 1}])) == [{"n": 1}]


@pytest.mark.parametrize("damage", [b'{"n":', b"", b"\x00\x00\x00", b"\xff\xfe", b"[2]", b"3"])
def test_a_damaged_line_in_the_middle_is_named_by_file_and_number(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":1}\n' + damage + b'\n{"n":3}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2: damaged"):
        read_lines(path)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_json_cannot_say_is_refused_and_leaves_the_log_as_it_was(tmp_path, number):
    path = appended(tmp_path / "log.jsonl", [{"n": 1}])
    with pytest.raises(KdtuneError, match="n is (nan|inf), no finite number"):
        append_lines(path, {"n": number})
    assert read_lines(path) == [{"n": 1}]


def test_a_replaced_file_has_the_new_content_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replaced_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
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
    """Leads out of a folder that others may write to."""
    (tmp_path / "victim").write_text("precious, without an end of line")
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "link"


def locked(path):
    with alone_in(path.parent, path.name):
        pass


def replaced(path):
    with replaced_atomically(path) as file:
        file.write(b"new")


def test_what_a_link_leads_to_is_neither_appended_to_nor_locked_nor_emptied(link, tmp_path):
    link.symlink_to(tmp_path / "victim")
    for write in (lambda path: append_lines(path, {"n": 1}), locked):
        with pytest.raises(OSError, match="symbolic link"):
            write(link)
    replaced(link)
    assert not link.is_symlink() and link.read_bytes() == b"new"
    assert (tmp_path / "victim").read_text() == "precious, without an end of line"


def test_a_link_that_was_laid_where_a_file_is_made_is_not_written_through(link, tmp_path):
    link.with_name(f".link.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")
    replaced(link)
    assert link.read_bytes() == b"new"
    assert (tmp_path / "victim").read_text() == "precious, without an end of line"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_has_no_end_is_not_read(tmp_path, make):
    make(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match=r"log\.jsonl: cannot be read"):
        read_lines(tmp_path / "log.jsonl")
    with pytest.raises(OSError):
        read_whole(tmp_path / "log.jsonl")


def test_no_file_appears_when_the_first_writing_fails(tmp_path):
    with pytest.raises(RuntimeError), replaced_atomically(tmp_path / "file"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_json_document_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, 2.5, None]}


def test_a_document_that_json_cannot_say_leaves_the_old_one(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(KdtuneError):
        write_json(tmp_path / "a.json", {"n": math.nan})
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 1}


# Locks


@pytest.mark.parametrize("asks", [False, True], ids=["just waits", "asks again and again"])
def test_two_that_waited_for_a_folder_which_was_removed_are_still_alone_one_after_the_other(tmp_path, asks):
    """A lock's file that was removed locks nobody out who comes later."""
    folder, inside, most, waiting = tmp_path / "made", [], [], []

    def wait(is_had):
        waiting.append(1)
        while not is_had():
            time.sleep(0.01)

    def make():
        with alone_in(folder, wait=wait if asks else None):
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
        time.sleep(0.3)
        shutil.rmtree(folder)
        makers[2].start()  # finds no lock's file, and makes one while the others wait for the removed one
        time.sleep(0.1)
        assert not folder.exists() or most == [1]
    for maker in makers:
        maker.join()
    assert most == [1, 1, 1] and {"1", "2", "3"} <= {path.name for path in folder.iterdir()}


def test_a_folder_in_which_nothing_can_be_written_can_be_used(tmp_path):
    (tmp_path / "file").touch()
    with in_use(tmp_path / "file" / "store"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_as_the_cause_with_a_remedy(tmp_path, monkeypatch, number):
    """As NFS without a lock service says it, and some file systems in user space."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    for lock in (alone_in(tmp_path), in_use(tmp_path)):
        with pytest.raises(UsageError, match=r"no file locks .*set KDTUNE_CACHE_DIR"), lock:
            pass
    with pytest.raises(UsageError, match=r"no file locks .*--out DIR"), StudyFolder(tmp_path / "study").locked():
        pass
    assert not (tmp_path / "study").exists()
