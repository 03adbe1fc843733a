"""The device of a training."""

import pytest
import torch

from kdtune.artifacts.device_choice import pick_device
from kdtune.errors import KdtuneError


@pytest.fixture
def gpu(monkeypatch):
    """Make torch report a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_without_a_gpu_a_training_runs_on_the_cpu(gpu):
    assert pick_device(0.0) == torch.device("cpu")


@pytest.mark.parametrize("gpus", [0.25, 1.0])
def test_a_gpu_or_a_share_of_one_is_trained_on(gpu, gpus):
    assert pick_device(gpus) == torch.device("cuda", 0)
    assert pick_device(gpus, [3]) == torch.device("cuda", 3)


def test_a_trial_that_holds_more_gpus_than_it_uses_is_refused(gpu):
    with pytest.raises(KdtuneError, match="given 2 GPUs, but a training uses only one; give each trial at most 1"):
        pick_device(2.0)


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KdtuneError, match="give --gpus-per-trial 0"):
        pick_device(1.0)
