"""A real study on a GPU, with an independent log of NVML's power: its cost, numerics and estimate, and the power."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_nvml import Sensor, of_gpu
from benchmarks.record import print_progress

#: Time between two readings of the power, in seconds.
EVERY_S = 0.05

LARGE = ["cifar100-hkd", "-s", "grid", "-s", "stochastic", "-s", "none", "--epochs", "2"]
LARGE += ["--set", "teacher_training.epochs=5", "--repeats", "1"]
SMALL = ["digits-hkd", "-s", "grid", "-s", "stochastic", "-s", "none", "--repeats", "1"]
SMOKE = ["digits-hkd", "-s", "none", "--epochs", "1", "--repeats", "1", "--inline"]

TIMEOUT_S = 540.0


def run(device: torch.device, *, synthetic: bool, smoke: bool) -> dict[str, Any]:
    """Run a study as a user would.

    Args:
        device: A GPU, or a CPU in a smoke test.
        synthetic: Whether to use the bundled digits instead of CIFAR-100.
        smoke: Whether to train a single student for one epoch.
    """
    arguments = SMOKE if smoke else SMALL if synthetic else LARGE
    log = _PowerLog(of_gpu(device)) if device.type == "cuda" else None
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "kdtune", "study", *arguments, "--out", folder, "--json"]
        print_progress(" ".join(command[2:-3]))
        began_s = time.perf_counter()
        if log:
            log.start()
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        wall_s = time.perf_counter() - began_s
        gpu_j = log.end() if log else None
        if ended.returncode:
            raise SystemExit(f"the study ended with exit code {ended.returncode}: {ended.stderr[-2000:]}")
        strategies = {path.parent.name: _strategy(path) for path in sorted(Path(folder).rglob("result.json"))}
        estimates = [json.loads(path.read_text()) for path in sorted(Path(folder).rglob("estimate.json"))]
    return {
        "study": arguments,
        "wall_s": wall_s,
        "gpu_j_by_integrated_power": gpu_j,
        "mean_gpu_w": gpu_j / wall_s if gpu_j is not None else None,
        "gpu_w": log.powers if log else None,
        "strategies": strategies,
        "estimates": estimates,
        "said": ended.stderr[-4000:],
    }


def _strategy(path: Path) -> dict[str, Any]:
    """Return the cost, the accuracy and the numerics from a strategy's ``result.json``."""
    document = json.loads(path.read_text())
    cost = document["cost"]
    kept = ("energy_uj", "sources_uj", "gap_uj", "shared_parts_uj", "flags", "wall_s", "gpu_hours", "trials")
    return {
        "status": document["status"],
        "test_accuracy": [one["test"]["accuracy"] for one in document["repeats"]],
        "computed": document["computed"],
        "cost": {key: cost[key] for key in kept},
    }


class _PowerLog(threading.Thread):
    """A thread that reads a GPU's power and integrates it over time."""

    def __init__(self, sensor: Sensor) -> None:
        super().__init__(daemon=True)
        self._sensor = sensor
        self._ended = threading.Event()
        self._energy_j = 0.0
        #: The power at each reading, in watts.
        self.powers: list[float] = []

    def run(self) -> None:
        at_s = time.perf_counter()
        while not self._ended.wait(EVERY_S):
            power_w, now_s = self._sensor.power_w(), time.perf_counter()
            self._energy_j += power_w * (now_s - at_s)
            self.powers.append(power_w)
            at_s = now_s

    def end(self) -> float:
        """Stop, and return the energy since the start in joules."""
        self._ended.set()
        self.join()
        return self._energy_j
