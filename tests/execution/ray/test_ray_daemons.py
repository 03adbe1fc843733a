import os
import subprocess
import sys
import threading

import pytest

from kdtune.energy.processes import identity_of, is_alive
from kdtune.errors import RayError
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.ray.ray_daemons import RayDaemons


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_dead_daemon_is_named_even_if_it_is_a_zombie(child):
    daemons = RayDaemons([("raylet", identity_of(child.pid))])
    daemons.check()
    child.kill()
    while is_alive(identity_of(child.pid)):
        pass
    with pytest.raises(RayError, match=rf"^Ray's raylet \(process {child.pid}\) died$"):
        daemons.check()
    child.wait()
    with pytest.raises(RayError, match="raylet"):
        daemons.check()


def test_another_process_with_the_same_pid_is_not_the_daemon(child):
    pid, started = identity_of(child.pid)
    assert is_alive((pid, started)) and not is_alive((pid, started + 1))


def test_processes_that_are_no_daemons_of_ray_are_not_watched(child):
    daemons = RayDaemons.of_this_process()
    child.kill()
    daemons.check()


class Waits(threading.Event):
    """An event whose waits take no time and are noted."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return self.is_set()


def _end(monkeypatch, child, interrupts, before_end=lambda: None):
    """Watch a daemon that has died; return the exit codes with which the process ends, and the seconds of all waits."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    daemons = RayDaemons([("gcs_server", (1, 0)), ("raylet", identity_of(child.pid))])
    daemons._over = waits = Waits()
    daemons._watch("Resume the study.", interrupts, lambda: (before_end(), daemons.unwatch()))
    return codes, waits.seconds[:-1]  # without that after the end


def test_no_worker_of_a_dead_ray_writes_into_a_ledger_that_is_being_ended(monkeypatch):
    starts_a_worker = "import subprocess; w = subprocess.Popen(['sleep', '60']); print(w.pid, flush=True); w.wait()"
    with subprocess.Popen([sys.executable, "-c", starts_a_worker], stdout=subprocess.PIPE, text=True) as daemon:
        worker = identity_of(int(daemon.stdout.readline()))
        living = []
        _end(monkeypatch, daemon, Interrupts(), lambda: living.append(is_alive(worker)))
    assert living == [False]


@pytest.mark.parametrize(
    ("requested", "code", "waits", "words"),
    [
        (False, RayError.exit_code, [1, 5, 10], "error: Ray's gcs_server (process 1) died"),
        (True, 130, [1, 5], "Interrupted."),
    ],
    ids=["Ray died", "interrupted"],
)
def test_if_a_signal_has_ended_ray_as_well_the_study_is_interrupted_and_ends_sooner(
    monkeypatch, capsys, child, requested, code, waits, words
):
    interrupts = Interrupts()
    interrupts.requested = requested
    assert _end(monkeypatch, child, interrupts) == ([code], waits)
    assert capsys.readouterr().err == f"{words}\nResume the study.\n"
