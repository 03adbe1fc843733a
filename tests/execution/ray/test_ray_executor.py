"""Start and end of a Ray session, also after errors."""

import json

import pytest
import ray

from kdtune.energy.ledger import read
from kdtune.errors import RayError, UsageError
from kdtune.execution.ray.ray_executor import RayExecutor
from kdtune.results.folder import StudyFolder
from tests.forked import Forked


@pytest.fixture
def meeting(tmp_path, monkeypatch):
    """Registry folder of meters for this test alone."""
    folder = tmp_path / "meeting"
    monkeypatch.setattr("kdtune.energy.neighbours.shared_folder", lambda: folder)
    return folder


@pytest.fixture
def session(tmp_path, meeting):
    return RayExecutor(StudyFolder(tmp_path / "study"), 1.0, None)


def has_left(meeting) -> bool:
    held = {
        line["meter"]: line["held"] for line in map(json.loads, (meeting / "meters.jsonl").read_text().splitlines())
    }
    return set(held.values()) == {None} and not list(meeting.glob("*.alive"))


def refuses(*_, **__):
    raise RuntimeError("no room")


def test_a_session_whose_ray_does_not_start_leaves_no_registered_meter(session, meeting, monkeypatch):
    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(RayError, match="no room"):
        session.start()
    assert has_left(meeting)


def test_a_session_that_needs_a_larger_cluster_leaves_no_registered_meter(session, meeting, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 0.5}}])
    with pytest.raises(UsageError):
        session.start()
    assert has_left(meeting)
    session.stop()  # as its caller always does
    assert has_left(meeting)


def test_a_cluster_without_gpus_is_joined_with_a_warning_if_this_machine_has_one(tmp_path, meeting, monkeypatch):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr("kdtune.planning.resources._DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 0.5}}])
    told = []
    with pytest.raises(UsageError, match="--cpus-per-trial 1: the cluster has 0.5"):
        RayExecutor(StudyFolder(tmp_path / "study"), 1.0, None, tell=told.append).start()
    assert told == ["this machine has a GPU, but no node of the Ray cluster has one: trials run on CPUs"]


@pytest.mark.parametrize(
    ("given", "environment", "joined"),
    [(None, None, "local"), (None, "10.0.0.1:6379", "10.0.0.1:6379"), ("auto", "10.0.0.1:6379", "auto")],
)
def test_only_a_named_cluster_is_joined(given, environment, joined, tmp_path, meeting, monkeypatch):
    asked = []

    def init(**options):
        asked.append(options["address"])
        raise RuntimeError("seen")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    with pytest.raises(RayError, match="seen"):
        RayExecutor(StudyFolder(tmp_path / "study"), 1.0, None, given).start()
    assert asked == [joined]


def test_the_advice_of_ray_about_tokens_is_shown(session, monkeypatch):
    def refused(**_):
        try:
            raise RuntimeError(
                "Failed to connect.\n  File gcs.py\nAuthenticationError: no token. Set RAY_AUTH_MODE=token.\n"
            )
        except RuntimeError as error:
            raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379") from error

    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(RayError) as told:
        session.start()
    assert str(told.value).endswith("at 10.0.0.1:6379: AuthenticationError: no token. Set RAY_AUTH_MODE=token.")


WAITS_FOR_A_DEAD_RAY = """
import os, signal, sys, time
from pathlib import Path
from kdtune.energy.processes import snapshot
from kdtune.execution.ray import ray_daemons
from kdtune.execution.ray.ray_executor import RayExecutor
from kdtune.results.folder import StudyFolder

ray_daemons.GRACE_S = ray_daemons.FURTHER_GRACE_S = 0.0
session = RayExecutor(StudyFolder(Path(sys.argv[1])), 1.0, None)
session.start()
session.settle()
[gcs] = [one.pid for one in snapshot().values() if one.parent == os.getpid() and one.name == "gcs_server"]
os.kill(gcs, signal.SIGKILL)
time.sleep(3600)  # as a request that never returns
"""


@pytest.mark.study
def test_a_command_that_waits_for_a_dead_ray_is_ended_with_its_ledger(tmp_path):
    folder = tmp_path / "study"
    command = Forked(WAITS_FOR_A_DEAD_RAY, [str(folder)], forks_workers=True)
    _, said = command.communicate()
    assert command.returncode == 1
    assert "Ray's gcs_server (process" in said and "Traceback" not in said
    [path] = folder.rglob("*.jsonl")
    assert read(path)[-1].kind == "stop"
