"""What strategies share, while another command is at work on it."""

import fcntl
import json
import threading
import time
from contextlib import contextmanager

import pytest
import ray

import kdtune
from kdtune.energy.attribution import charge_all
from kdtune.energy.ledger import read_folder
from kdtune.watch import Watcher
from tests.studies import small_study

pytestmark = pytest.mark.study

STUDY = small_study(name="shares", strategies={"fixed": {}}, repeats=1, teacher_logits="live")


@pytest.fixture(scope="module")
def running_ray():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def first(running_ray, tmp_path_factory):
    """A study that trained its teacher: its folder and its result."""
    outcome = kdtune.run_study(STUDY, out=tmp_path_factory.mktemp("first"))
    return outcome.folder, outcome.results[0]


class _Listening(Watcher):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


@contextmanager
def another_command_trains(first, cache_folder, seconds):
    """The teacher's lock is held, and the seconds begin once somebody waits for it."""
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


def test_the_wait_for_another_command_is_told_and_on_nobodys_bill(first, tmp_path, cache_folder):
    with another_command_trains(first, cache_folder, seconds=4) as watcher:
        outcome = kdtune.run_study(STUDY, out=tmp_path, watcher=watcher)
    assert watcher.messages.count("another command is making the teacher; waiting for it") == 1
    (session,) = json.loads((outcome.folder / "fixed" / "shared.json").read_text())["sessions"]
    waited = charge_all(read_folder(outcome.folder / "sessions" / f"{session}-waiting"))
    billed = charge_all(read_folder(outcome.folder / "sessions" / session))
    assert 3.5 < waited.duration_ns / 1e9 < 8 and waited.charged_uj() > 0
    assert outcome.results[0]["cost"]["shared_uj"]["session"] == billed.charged_uj()


def test_a_budget_that_is_reached_while_waiting_stops_the_command_before_it_begins_a_strategy(
    first, tmp_path, cache_folder
):
    limit_kwh = 1.2 * first[1]["cost"]["charged_kwh"]
    with another_command_trains(first, cache_folder, seconds=60) as watcher:
        began_s = time.monotonic()
        outcome = kdtune.run_study(STUDY, out=tmp_path, watcher=watcher, max_kwh=limit_kwh)
        assert time.monotonic() - began_s < 40
    assert outcome.exit_code == 4 and "--max-kwh" in outcome.over_budget
    assert outcome.results == [] and not (outcome.folder / "fixed").exists()
    assert (outcome.folder / "run.toml").exists()
    resumed = kdtune.resume_study(outcome.folder, max_kwh=1.0)
    assert (resumed.exit_code, resumed.results[0]["status"]) == (0, "completed")
