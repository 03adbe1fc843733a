"""Jobs whose machines die, and messages about failed workers, which name the cause without the frames of Ray."""

from types import SimpleNamespace

import pytest
import ray

from kdtune.errors import MachineError
from kdtune.execution.ray import dispatch
from kdtune.execution.ray.dispatch import MAX_NODE_DEATHS, as_kdtune_error, last_line, run_jobs
from kdtune.planning.resources import Resources

#: Message of Ray 2.60, with colours.
IN_ITS_CREATION = """The actor died because of an error raised in creation, \x1b[36mray::Meter.__init__()\x1b[39m
  File "meter_actor.py", line 50, in __init__
    hardware = sensors.hardware()
\x1b[36mFileNotFoundError\x1b[39m: [Errno 2] No such file or directory: 'scontrol'
"""


def test_the_last_line_of_an_actors_error_is_its_cause():
    assert last_line(Exception(IN_ITS_CREATION)) == "FileNotFoundError: [Errno 2] No such file or directory: 'scontrol'"
    assert last_line(KeyError()) == "KeyError"
    told = as_kdtune_error(ray.exceptions.RaySystemError(IN_ITS_CREATION))
    assert isinstance(told, MachineError) and str(told).endswith("No such file or directory: 'scontrol'")


@pytest.fixture
def cluster(monkeypatch):
    """A simulated cluster: how many more of its machines die, and what the executor told."""
    there = SimpleNamespace(deaths=0, told=[], begun=0)

    def begin(session, shared, function, *args):
        there.begun += 1
        return there.begun, function, args

    def get(reference):
        _, function, args = reference
        if there.deaths:
            there.deaths -= 1
            raise ray.exceptions.NodeDiedError("the node was dead or unavailable")
        return function(*args)

    monkeypatch.setattr(ray, "remote", lambda **_: lambda function: SimpleNamespace(remote=begin))
    monkeypatch.setattr(ray, "wait", lambda references, **_: (references, []))
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(dispatch, "wait_for_room", lambda *_: None)
    there.executor = SimpleNamespace(
        id="session",
        shared=None,
        resources=Resources(1.0, 0.0),
        check=lambda: None,
        keep_up=lambda: None,
        tell=there.told.append,
    )
    return there


def test_a_job_begins_again_if_its_machine_dies(cluster):
    cluster.deaths = 2
    assert run_jobs(cluster.executor, abs, [(-1,), (-2,), (-3,)], poll=lambda: None) == [1, 2, 3]
    assert cluster.begun == 5
    assert len(cluster.told) == 2 and "begins again elsewhere" in cluster.told[0]


def test_machines_that_keep_dying_end_the_study(cluster):
    cluster.deaths = MAX_NODE_DEATHS + 1
    with pytest.raises(ray.exceptions.NodeDiedError):
        run_jobs(cluster.executor, abs, [(-1,)], poll=lambda: None)
