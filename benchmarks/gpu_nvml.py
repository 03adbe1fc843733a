"""Measurement of how often NVML's energy counter changes, and whether it agrees with the integral of the power."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from kdtune.energy.sensors.node import NodeSensors

#: Seconds of each phase (idle or working, alternately), and number of phases of each kind; then for a smoke test.
SLICE_S, TURNS = 3.0, 2
SMOKE_SLICE_S, SMOKE_TURNS = 0.1, 1

#: Time between two readings, in seconds.
EVERY_S = 0.002

#: Power in watts of the sensor that replaces a GPU in a smoke test, and changes of its counter per second.
SIMULATED_W, SIMULATED_HZ = 100.0, 50.0


@dataclass(frozen=True)
class Sensor:
    """Functions that read one GPU.

    Attributes:
        energy_mj: Returns the energy counter, in millijoules.
        power_w: Returns the current power, in watts.
    """

    energy_mj: Callable[[], int]
    power_w: Callable[[], float]


def run(device: torch.device, *, synthetic: bool, smoke: bool) -> dict[str, Any]:
    """Observe a GPU, idle and working, or a simulated sensor in a smoke test without a GPU.

    Args:
        device: A GPU, or a CPU in a smoke test.
        synthetic: Ignored, since the work always consists of random matrices.
        smoke: Whether to observe for a moment only.
    """
    slice_s, turns = (SMOKE_SLICE_S, SMOKE_TURNS) if smoke else (SLICE_S, TURNS)
    is_gpu = device.type == "cuda"
    sensor = of_gpu(device) if is_gpu else _simulated()
    work = _work(device) if is_gpu else (lambda: None)
    kinds: dict[str, Callable[[], None]] = {"rest": lambda: None, "work": work}
    slices = [{"kind": kind, **watch(sensor, slice_s, kinds[kind])} for kind in list(kinds) * turns]
    sensors = NodeSensors()
    return {
        "simulated": not is_gpu,
        "uuid": _uuid(device) if is_gpu else None,
        "uuids_that_kdtune_sees": sensors.gpus,
        "without_a_counter": sorted(sensors.polled),
        "slices": slices,
    }


def watch(sensor: Sensor, seconds: float, work: Callable[[], None]) -> dict[str, float | None]:
    """Read a sensor as often as possible for some time, with some work between readings.

    Args:
        sensor: The sensor.
        seconds: Duration.
        work: A unit of work, done before each reading.

    Returns:
        The energy in joules by the counter and by integrating the power, between the first and the last change of the
        counter; their ratio; and the median intervals between changes of the counter and of the power, in
        milliseconds. A value is None if its counter changed fewer than two times.
    """
    counted: list[tuple[float, int, float]] = []  # time of each change of the counter, its value, integrated joules
    powers: list[float] = []
    integrated_j, power_w = 0.0, sensor.power_w()
    began_s = at_s = time.perf_counter()
    last_mj = sensor.energy_mj()
    while at_s - began_s < seconds:
        work()
        time.sleep(EVERY_S)
        now_s, energy_mj, now_w = time.perf_counter(), sensor.energy_mj(), sensor.power_w()
        integrated_j += (now_s - at_s) * (power_w + now_w) / 2
        if energy_mj != last_mj:
            counted.append((now_s, energy_mj, integrated_j))
        if now_w != power_w:
            powers.append(now_s)
        at_s, last_mj, power_w = now_s, energy_mj, now_w
    found: dict[str, float | None] = {
        "counter_j": None,
        "integrated_j": None,
        "counter_over_integrated": None,
        "counter_interval_ms": _interval_ms([moved_s for moved_s, _, _ in counted]),
        "power_interval_ms": _interval_ms(powers),
    }
    if len(counted) > 1:
        (_, first_mj, first_j), (_, end_mj, end_j) = counted[0], counted[-1]
        found["counter_j"], found["integrated_j"] = (end_mj - first_mj) / 1e3, end_j - first_j
        found["counter_over_integrated"] = (end_mj - first_mj) / 1e3 / (end_j - first_j)
    return found


def _interval_ms(moments_s: list[float]) -> float | None:
    if len(moments_s) < 2:
        return None
    return 1e3 * median(after - before for before, after in itertools.pairwise(moments_s))


def _uuid(device: torch.device) -> str:
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def of_gpu(device: torch.device) -> Sensor:
    """Return the sensor of the GPU that torch calls ``device``."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(_uuid(device))
    return Sensor(
        energy_mj=lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
        power_w=lambda: float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1e3,
    )


def _simulated() -> Sensor:
    def energy_mj() -> int:
        return int(int(time.perf_counter() * SIMULATED_HZ) / SIMULATED_HZ * SIMULATED_W * 1e3)

    return Sensor(energy_mj, lambda: SIMULATED_W)


def _work(device: torch.device) -> Callable[[], None]:
    one, other = (torch.randn(4096, 4096, device=device) for _ in range(2))

    def multiply() -> None:
        torch.mm(one, other)
        torch.cuda.synchronize(device)

    return multiply
