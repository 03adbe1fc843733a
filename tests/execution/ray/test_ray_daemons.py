import os
import subprocess
import sys

import pytest

from kdtune.energy.processes import identity_of, is_alive
from kdtune.errors import RayError
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


def test_no_worker_of_a_dead_ray_writes_into_a_ledger_that_is_being_ended(monkeypatch):
    starts_a_worker = "import subprocess; w = subprocess.Popen(['sleep', '60']); print(w.pid, flush=True); w.wait()"
    with subprocess.Popen([sys.executable, "-c", starts_a_worker], stdout=subprocess.PIPE, text=True) as daemon:
        worker = identity_of(int(daemon.stdout.readline()))
        living, codes = [], []
        monkeypatch.setattr(os, "_exit", codes.append)
        daemons = RayDaemons([("gcs_server", (1, 0)), ("raylet", identity_of(daemon.pid))])
        monkeypatch.setattr("kdtune.execution.ray.ray_daemons.WATCH_S", 0.0)
        monkeypatch.setattr("kdtune.execution.ray.ray_daemons.GRACE_S", 0.0)
        daemons._watch("Resume the study.", lambda: (living.append(is_alive(worker)), daemons.unwatch()))
    assert (living, codes) == ([False], [RayError.exit_code])
