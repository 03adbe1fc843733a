"""A machine made of files and functions, as pytest fixtures: codecarbon's own code runs on top of it."""

import functools
import time
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from codecarbon.core import cpu as codecarbon_cpu

from kdtune.energy.sensors import busy_time


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """Neither RAPL nor a GPU, whatever this machine has, until a test puts them in."""
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
    """Makes RAPL zones as Linux shows them."""
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
    """What NVML knows of one GPU; None is a value that it refuses to tell."""

    def __init__(self, uuid: str, energy_mj: int | None, power_mw: int | None = 50_000) -> None:
        self.uuid = uuid
        self.energy_mj = energy_mj
        self.power_mw = power_mw


def fails_with(code: int) -> None:
    """What NVML does where it fails."""
    raise pynvml.NVMLError(code)


def told(value: int | None) -> int:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


@pytest.fixture
def gpus(monkeypatch):
    """Puts GPUs behind NVML."""

    def put_in(*devices: FakeGpu) -> tuple[FakeGpu, ...]:
        functions = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: len(devices),
            "nvmlDeviceGetHandleByIndex": lambda index: devices[index],
            "nvmlDeviceGetName": lambda gpu: "NVIDIA Test GPU",
            "nvmlDeviceGetUUID": lambda gpu: gpu.uuid,
            "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: told(gpu.energy_mj),
            "nvmlDeviceGetPowerUsage": lambda gpu: told(gpu.power_mw),
        }
        for name, function in functions.items():
            monkeypatch.setattr(pynvml, name, function)
        return devices

    return put_in


@pytest.fixture
def clock(monkeypatch):
    """Sets the time since boot, in nanoseconds."""
    now = SimpleNamespace(ns=1_000_000_000_000)
    fake = SimpleNamespace(clock_gettime_ns=lambda which: now.ns, CLOCK_MONOTONIC=time.CLOCK_MONOTONIC)
    monkeypatch.setattr(busy_time, "time", fake)
    return now


@pytest.fixture
def known_cpu(monkeypatch):
    """Skips codecarbon's look-up of the CPU, which takes seconds."""
    monkeypatch.setattr(
        codecarbon_cpu,
        "TDP",
        lambda: SimpleNamespace(model="Test CPU", tdp=65.5, _get_cpu_power_from_registry=lambda model: 65.5),
    )
