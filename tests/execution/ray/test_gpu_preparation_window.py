"""The GPU of a worker is charged to orchestration while the worker is prepared."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kdtune.artifacts.logit_store import LogitShape, LogitStore
from kdtune.artifacts.shared_code import SharedCode
from kdtune.artifacts.shared_logits import SharedLogits
from kdtune.artifacts.shared_teacher import SharedTeacher
from kdtune.energy.ledger import Window, read_folder
from kdtune.execution.gpu_preparation_window import open_preparation_window
from kdtune.execution.inspection_job import inspect_study
from kdtune.execution.meter_handle import MeterHandle
from kdtune.execution.ray.meter_link import find_meter, meter_reached
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.ray.trainable import DistillTrainable
from kdtune.execution.worker_jobs import make_part
from kdtune.planning.resources import Resources
from kdtune.specs import load_study
from tests.studies import small_study

pytestmark = [pytest.mark.study, pytest.mark.usefixtures("running_ray")]

SESSION = "gpu-hold"
ONE_GPU = Resources(1.0, 1.0)


@pytest.fixture(scope="module")
def meters(running_ray, tmp_path_factory):
    """Of a session that meters."""
    meters = NodeMeters(SESSION)
    meters.start()
    meters.begin(tmp_path_factory.mktemp("meters") / "ledger", None)
    meters.settle()
    yield meters
    meters.end()


@pytest.fixture
def ledger(meters, tmp_path):
    """Gives what opened and closed in a ledger of the test's own."""

    def windows():
        (records,) = read_folder(tmp_path / "ledger").values()
        return [(one.kind, one.window, one.reason) for one in records if one.window]

    meters.switch(tmp_path / "ledger")
    meters.settle()
    yield windows
    for window in {window.id for _, window, _ in windows()}:
        meters.ask("close", window, "the test ended")


@pytest.fixture
def gpu(monkeypatch):
    """torch finds one GPU, but cannot compute on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="a"))


def test_the_gpu_is_charged_until_the_work_of_the_process_begins(ledger):
    meter = MeterHandle(find_meter(SESSION))
    open_preparation_window(meter, {"GPU-a": 0.5})
    meter.open(Window("trial/1", "trials", os.getpid(), 1.0, {"GPU-a": 0.5}))
    meter.close("trial/1", "done")
    kinds = [(kind, window.bucket, reason) for kind, window, reason in ledger()]
    assert kinds == [
        ("open", "orchestration", None),
        ("close", "orchestration", "its process was taken over"),
        ("open", "trials", None),
        ("close", "trials", "done"),
    ]
    held = ledger()[0][1]
    assert (held.pid, held.cpus, held.gpus) == (os.getpid(), 0.0, {"GPU-a": 0.5})


def test_without_a_gpu_or_a_session_no_window_opens(ledger):
    open_preparation_window(MeterHandle(find_meter(SESSION)), {})
    open_preparation_window(MeterHandle(None), {"GPU-a": 1.0})
    assert ledger() == []


def _made(artifact_of, part=None):
    def job(study, data):
        make_part(study, ONE_GPU, data, SESSION, artifact_of(study, Path(data)), part)

    return job


PREPARED = {
    "inspection": lambda study, data: inspect_study(study, ONE_GPU, data, session_id=SESSION),
    "compilation": _made(lambda study, folder: SharedCode(folder, False, "")),
    "teacher": _made(lambda study, folder: SharedTeacher(folder, study, None)),
    "teacher's logits": _made(lambda study, folder: SharedLogits(LogitStore(folder, LogitShape(1, 1, 1)), 0), [0]),
}


@pytest.mark.parametrize("job", PREPARED)
def test_the_gpu_of_a_job_is_charged_before_it_computes(ledger, gpu, tmp_path, job):
    with meter_reached(SESSION), pytest.raises((RuntimeError, AssertionError)):  # of torch, as there is no GPU
        PREPARED[job](load_study(small_study()), str(tmp_path))
    assert [(kind, window.bucket, window.gpus) for kind, window, _ in ledger()] == [
        ("open", "orchestration", {"GPU-a": 1.0})
    ]


def test_the_gpu_of_a_trial_is_charged_before_it_warms_up(ledger, gpu, tmp_path):
    trainable = DistillTrainable.__new__(DistillTrainable)
    trainable._trial_info = SimpleNamespace(
        trial_resources=SimpleNamespace(required_resources={"CPU": 1.0, "GPU": 0.25})
    )
    config = {"study": small_study(), "tau": 4, "run": {"session": SESSION, "window": "trial/1"}}
    with pytest.raises((RuntimeError, AssertionError)):
        trainable.setup(config)
    assert [(kind, window.bucket, window.gpus) for kind, window, _ in ledger()] == [
        ("open", "orchestration", {"GPU-a": 0.25})
    ]
