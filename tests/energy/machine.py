"""Fixtures that simulate a machine's sensors with files and functions, on which codecarbon's own code runs."""

import functools
import time
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from codecarbon.core import cpu as codecarbon_cpu

from kdtune.energy.sensors import busy_time, cpu


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """Hide this machine's RAPL and GPUs; the fixtures ``zone`` and ``gpus`` add simulated ones."""
    use_rapl(monkeypatch, tmp_path / "nothing here" / "intel-rapl")
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: fails_with(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def use_rapl(monkeypatch, folder: Path) -> None:
    real = codecarbon_cpu.IntelRAPL
    real = getattr(real, "func", real)
    probe = getattr(codecarbon_cpu.is_rapl_available, "func", codecarbon_cpu.is_rapl_available)
    monkeypatch.setattr(codecarbon_cpu, "IntelRAPL", functools.partial(real, rapl_dir=str(folder)))
    monkeypatch.setattr(codecarbon_cpu, "is_rapl_available", functools.partial(probe, str(folder)))


@pytest.fixture
def zone(monkeypatch, tmp_path):
    """Return a function that creates a RAPL zone with the files that Linux has; it returns the counter's path."""
    control = tmp_path / "powercap" / "intel-rapl"

    def make(number: str, name: str, energy: object, limit: object = 262_143_328_850) -> str:
        folder = control / f"intel-rapl:{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{energy}\n")
        if limit is not None:
            (folder / "max_energy_range_uj").write_text(f"{limit}\n")
        use_rapl(monkeypatch, control)
        return str(folder / "energy_uj")

    return make


class FakeGpu:
    """Values that NVML reports for a GPU; None is a value that it does not support."""

    def __init__(self, uuid: str, energy_mj: int | None, power_mw: int | None = 50_000) -> None:
        self.uuid = uuid
        self.energy_mj = energy_mj
        self.power_mw = power_mw


def fails_with(code: int) -> None:
    """What NVML does where it fails."""
    raise pynvml.NVMLError(code)


def reported(value: int | None) -> int:
    """Return a value as NVML does, or raise NVML's error if it is None."""
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that makes NVML report simulated GPUs."""

    def put_in(*devices: FakeGpu) -> tuple[FakeGpu, ...]:
        functions = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: len(devices),
            "nvmlDeviceGetHandleByIndex": lambda index: devices[index],
            "nvmlDeviceGetName": lambda gpu: "NVIDIA Test GPU",
            "nvmlDeviceGetUUID": lambda gpu: gpu.uuid,
            "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: reported(gpu.energy_mj),
            "nvmlDeviceGetPowerUsage": lambda gpu: reported(gpu.power_mw),
        }
        for name, function in functions.items():
            monkeypatch.setattr(pynvml, name, function)
        return devices

    return put_in


@pytest.fixture
def clock(monkeypatch):
    """Replace the sensors' monotonic clock; tests set its time ``ns``, in nanoseconds."""
    now = SimpleNamespace(ns=1_000_000_000_000)
    fake = SimpleNamespace(clock_gettime_ns=lambda which: now.ns, CLOCK_MONOTONIC=time.CLOCK_MONOTONIC)
    monkeypatch.setattr(busy_time, "time", fake)
    return now


@pytest.fixture
def known_cpu(monkeypatch, tmp_path):
    """Let the machine have a CPU that is in codecarbon's table, with 7.5 W."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Cortex-A72\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
