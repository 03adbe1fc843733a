"""Ledger files that a meter keeps for a driver on another machine."""

import os
import tempfile
import time

import pytest

from kdtune.execution.ledger_outbox import LedgerOutbox, drop_abandoned


@pytest.fixture
def outbox(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return LedgerOutbox("session")


def test_only_complete_lines_are_given_from_where_the_last_ones_ended(outbox):
    assert outbox.lines_since("/results/ledger", "b", 0) == b""
    file = outbox.file("/results/ledger", "b")
    file.parent.mkdir()
    file.write_bytes(b"one\ntwo\nthr")  # as a meter leaves it that is killed while it writes
    assert outbox.lines_since("/results/ledger", "b", 0) == b"one\ntwo\n"
    file.write_bytes(b"one\ntwo\nthree\n")  # its successor first removes the incomplete line
    assert outbox.lines_since("/results/ledger", "b", len(b"one\ntwo\n")) == b"three\n"
    assert outbox.lines_since("/results/another", "b", 0) == b""


def test_files_of_sessions_that_ended_days_ago_are_removed(outbox, tmp_path):
    for session in ("session", "killed", "running"):
        file = LedgerOutbox(session).file("/results/ledger", "b")
        file.parent.mkdir()
        file.write_bytes(b"one\n")
        if session != "session":
            for one in (file.parent.parent, file.parent, file):
                os.utime(one, (0, time.time() - 2 * 24 * 3600))
    file.touch()  # the meter of the running session has just added a line
    (tmp_path / "someone-else").mkdir()
    drop_abandoned()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "kdtune-ledgers-running",
        "kdtune-ledgers-session",
        "someone-else",
    ]
    outbox.remove()
    assert not (tmp_path / "kdtune-ledgers-session").exists()
