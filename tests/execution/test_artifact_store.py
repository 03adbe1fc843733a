"""Artifacts that another command is making or has made."""

import fcntl
import json
import threading
import time
from contextlib import contextmanager
from itertools import count

import pytest

import kdtune
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.watcher import Watcher
from tests.studies import small_study

pytestmark = pytest.mark.study

STUDY = small_study(name="shares", strategies={"fixed": {}}, repeats=1, teacher_logits="live")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A study that trained its teacher: its folder and its result."""
    outcome = kdtune.run_study(STUDY, out=tmp_path_factory.mktemp("first"), inline=True)
    return outcome.folder, outcome.results[0]


class _Listening(Watcher):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


@contextmanager
def another_command_trains(first, cache_folder, seconds):
    """Hold the teacher's lock for some seconds after another process begins to wait for it."""
    key = json.loads((first[0] / "fixed" / "shared.json").read_text())["teacher"]["key"]
    watcher, over = _Listening(), threading.Event()

    def release():
        while not any("another command" in text for text in watcher.messages) and not over.is_set():
            time.sleep(0.05)
        over.wait(seconds)
        lock.close()

    lock = (cache_folder / "teachers" / key / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    releaser = threading.Thread(target=release)
    releaser.start()
    yield watcher
    over.set()
    releaser.join()


def test_budget_reached_while_waiting_stops_the_command_and_a_larger_one_continues_to_wait(
    first, tmp_path, cache_folder
):
    for factor in count(1):
        limit_kwh = factor * 0.8 * first[1]["cost"]["charged_kwh"]  # enough to reach the teacher, if not much is slower
        out = tmp_path / str(factor)
        with another_command_trains(first, cache_folder, seconds=3600) as watcher:  # longer than any test may take
            outcome = kdtune.run_study(STUDY, out=out, watcher=watcher, max_kwh=limit_kwh, inline=True)
        assert outcome.exit_code == 4 and "--max-kwh" in outcome.over_budget
        if any("another command" in text for text in watcher.messages):
            break
    # No strategy was begun.
    assert outcome.results == [] and not (outcome.folder / "fixed").exists()
    assert (outcome.folder / "run.toml").exists()

    earlier, began_s = set(outcome.folder.glob("sessions/*")), time.monotonic()
    with another_command_trains(first, cache_folder, seconds=2) as watcher:
        resumed = kdtune.resume_study(outcome.folder, max_kwh=1.0, watcher=watcher)
    assert (resumed.exit_code, resumed.results[0]["status"]) == (0, "completed")
    assert watcher.messages.count("another command is making the teacher; waiting for it") == 1
    # No strategy is charged for the wait, only for the rest of both commands.
    session, waiting = sorted(set(outcome.folder.glob("sessions/*")) - earlier)
    assert waiting.name == f"{session.name}-waiting"
    waited = account_of_nodes(read_folder(waiting))
    assert 2 <= waited.duration_ns / 1e9 < time.monotonic() - began_s and waited.charged_uj() > 0
    sessions = json.loads((outcome.folder / "fixed" / "shared.json").read_text())["sessions"]
    assert len(sessions) == 2 and session.name in sessions
    billed = sum(account_of_nodes(read_folder(outcome.folder / "sessions" / name)).charged_uj() for name in sessions)
    assert resumed.results[0]["cost"]["shared_uj"]["session"] == billed


def test_energy_of_a_partly_metered_teacher_is_unknown(first, cache_folder, tmp_path):
    """A study began the training, and a user's own pipeline finished it."""
    key = json.loads((first[0] / "fixed" / "shared.json").read_text())["teacher"]["key"]
    epochs = cache_folder / "teachers" / key / "epochs.jsonl"
    whole = epochs.read_bytes()
    epochs.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
    try:
        cost = kdtune.run_study(STUDY, out=tmp_path, inline=True).results[0]["cost"]
    finally:
        epochs.write_bytes(whole)
    assert first[1]["cost"]["teacher_kwh"] > 0 and "teacher_unmetered" not in first[1]["cost"]["flags"]
    assert cost["teacher_kwh"] is None and cost["flags"]["teacher_unmetered"] == 1
