"""What the suite itself promises."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import pytest_collection_finish
from tests.energy.machine import FakeGpu, gpus  # noqa: F401 - a fixture


def test_tests_of_the_cpu_and_what_they_start_see_no_gpu(gpus):  # noqa: F811
    from kdtune.energy.sensors.node import NodeSensors

    gpus(FakeGpu("GPU-a", 1))
    assert NodeSensors().gpus == []
    assert not torch.cuda.is_available()
    seen = "import os; print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')))"
    told = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert told.stdout == "''\n"


@pytest.mark.parametrize(("marks", "hidden"), [(["gpu", "gpu"], False), (["gpu", None], True), ([None], True)])
def test_gpus_are_hidden_unless_every_test_wants_them(monkeypatch, request, marks, hidden):
    class Item:
        def __init__(self, mark):
            self.get_closest_marker = {mark: True}.get

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    pytest_collection_finish(type("Session", (), {"items": list(map(Item, marks))}))
    assert ("CUDA_VISIBLE_DEVICES" in os.environ) == hidden
