"""Two GPUs on each machine of a cluster that are not there: Ray assigns and NVML meters them; networks use the CPU."""

import os
import sys
import time
from types import SimpleNamespace

import pynvml

#: Power of each GPU.
POWER_W = 100

_HANDLES = [SimpleNamespace(uuid=f"GPU-{os.uname().nodename}-{index}") for index in range(2)]

#: NVML's functions for these GPUs.
NVML = {
    "nvmlInit": lambda: None,
    "nvmlDeviceGetCount": lambda: len(_HANDLES),
    "nvmlDeviceGetHandleByIndex": _HANDLES.__getitem__,
    "nvmlDeviceGetName": lambda gpu: "make-believe GPU",
    "nvmlDeviceGetUUID": lambda gpu: gpu.uuid,
    "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: time.monotonic_ns() * POWER_W // 1_000_000,
}


def put_into_worker():
    """Put the GPUs into this process, a worker of Ray, whether or not it has imported kdtune already.

    A training, which lasts until nodes have joined and died, leaves the CPU to them.
    """
    from kdtune.execution.trial_training import TrialTraining
    from kdtune.planning import resources

    for name, function in NVML.items():
        setattr(pynvml, name, function)
    shares = resources.gpu_shares
    for module in list(sys.modules.values()):
        if vars(module).get("gpu_shares") is shares:
            module.gpu_shares = _shares
    sys.modules["kdtune.artifacts.device_choice"] = SimpleNamespace(pick_device=_cpu)
    epoch = TrialTraining._epoch

    def epoch_after_a_pause(training):
        time.sleep(0.2)
        return epoch(training)

    TrialTraining._epoch = epoch_after_a_pause


def _shares(gpus):
    import ray

    given = ray.get_runtime_context().get_accelerator_ids().get("GPU", []) if gpus else []
    return {_HANDLES[int(index)].uuid: min(1.0, gpus) for index in given}


def _cpu(gpus, indices=(0,)):
    import torch

    return torch.device("cpu")
