import os
import threading
import time

import pytest
import torch

from kdtune.energy.ledger import Window, read
from kdtune.energy.meter import Meter
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.sensors.node import NodeSensors

pytestmark = pytest.mark.gpu

#: Seconds of work in each of two windows, and of rest after each.
WORK_S, REST_S = 3.0, 1.0

#: Between two readings of NVML's power, in seconds.
EVERY_S = 0.02


class PowerLog(threading.Thread):
    """Integrates the power that NVML reports, independently of any energy counter."""

    def __init__(self, handle):
        super().__init__(daemon=True)
        self._handle = handle
        self._ended = threading.Event()
        self.energy_j = 0.0

    def run(self):
        import pynvml

        at_s = time.monotonic()
        while not self._ended.wait(EVERY_S):
            now_s = time.monotonic()
            self.energy_j += pynvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3 * (now_s - at_s)
            at_s = now_s

    def end(self):
        self._ended.set()
        self.join()


def work(device):
    """Multiplies real-valued matrices, for the power that zeros take is another."""
    one, other = (torch.randn(4096, 4096, device=device) for _ in range(2))
    until_s = time.monotonic() + WORK_S
    while time.monotonic() < until_s:
        for _ in range(20):
            one @ other
        torch.cuda.synchronize(device)


def test_buckets_sum_to_what_nvml_reports(device, tmp_path):
    import pynvml

    pynvml.nvmlInit()
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    sensors = NodeSensors()
    assert uuid in sensors.gpus
    if uuid in sensors.polled:
        pytest.skip("this GPU has no energy counter")
    work(device)  # to its working temperature
    meter = Meter(sensors, sensors.hardware())
    log = PowerLog(handle)
    before_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    log.start()
    meter.begin(tmp_path / "node.jsonl")
    for name in ("one", "other"):
        meter.open(Window(name, "trials", os.getpid(), 1.0, {uuid: 1.0}))
        work(device)
        meter.sample()
        meter.close(name, "done")
        time.sleep(REST_S)
    meter.sample()
    after_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    log.end()
    account = account_of_ledger(read(tmp_path / "node.jsonl"))
    assert sum(account.buckets.values()) == account.node_uj
    ours_j = sum(uj for sources in account.sources.values() for name, uj in sources.items() if name.startswith("gpu"))
    ours_j /= 1e6
    assert ours_j == pytest.approx((after_mj - before_mj) / 1e3, rel=0.03)
    assert ours_j == pytest.approx(log.energy_j, rel=0.1)
    assert account.windows["one"] > 0 and account.windows["other"] > 0
