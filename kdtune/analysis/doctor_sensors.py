"""Checks of the machine's energy sensors, with advice on how to get better measurements."""

import os
import time
from pathlib import Path

from kdtune.analysis.doctor_finding import Finding
from kdtune.energy.intervals import cpu_uj
from kdtune.energy.ledger import Record
from kdtune.energy.neighbours import MeterRegistry, shared_folder
from kdtune.energy.sensors.cpu import power_in_words
from kdtune.energy.sensors.node import Counters, Hardware, NodeSensors
from kdtune.storage.wording import counted

#: Folder of the RAPL zones on Linux.
POWERCAP = Path("/sys/class/powercap")

#: Seconds between two readings, long enough for counters that are updated ten times a second.
WATCHED_S = 0.3

#: Advice after an error of a driver or of codecarbon.
_REMEDY = "remove the cause named here"


def examine_sensors() -> list[Finding]:
    """Return findings about the CPU, each GPU, the memory, and the meters of other studies."""
    try:
        sensors = NodeSensors()
        hardware = sensors.hardware()
        before = sensors.read()
        time.sleep(WATCHED_S)
        after = sensors.read()
    except Exception as error:  # studies would fail too
        return [Finding("energy", "fault", f"the sensors cannot be read: {error!r}", _REMEDY)]
    elapsed_s = (after.t_ns - before.t_ns) / 1e9
    gpus = [_gpu(hardware, uuid, before, after, elapsed_s) for uuid in hardware.gpus] or [_no_gpu()]
    memory = Finding("energy: memory", "ok", f"modelled at a constant {hardware.ram_uw / 1e6:g} W; it has no sensor")
    left_out = [
        Finding(
            f"energy: {part}",
            "warning",
            f"it cannot be read ({cause}), so studies do not measure it, and their results say so",
            _REMEDY,
        )
        for part, cause in hardware.left_out.items()
    ]
    found = [*gpus, *([memory] if hardware.ram_uw else [])]
    return [_cpu(hardware, before, after, elapsed_s), *found, *left_out, _meters()]


def _cpu(hardware: Hardware, before: Counters, after: Counters, elapsed_s: float) -> Finding:
    name = "energy: CPU"
    if hardware.cpu_quality == "counter":
        zones = hardware.rapl_range_uj
        if not zones.keys() <= before.rapl_uj.keys() & after.rapl_uj.keys():
            return Finding(name, "warning", "RAPL's counter cannot be read now", "check the kernel's log")
        used = cpu_uj(hardware, Record("sample", "", 0, before, 0), Record("sample", "", 1, after, 0))
        return Finding(name, "ok", f"RAPL counter of {counted(len(zones), 'zone')}, {used / 1e6 / elapsed_s:.0f} W now")
    power = power_in_words(hardware.tdp_uw / 1e6, known=hardware.tdp_known)
    found = f"modelled: busy share x {power} ({hardware.cpu_model})"
    if list(POWERCAP.glob("*rapl*")):
        return Finding(
            name,
            "warning",
            f"{found}; RAPL exists, but this user is not allowed to read it",
            f"sudo chmod -R a+r {POWERCAP.resolve()}/*rapl*",
        )
    return Finding(name, "warning", f"{found}; the kernel shows no RAPL", "virtual machines have no RAPL: use the host")


def _gpu(hardware: Hardware, uuid: str, before: Counters, after: Counters, elapsed_s: float) -> Finding:
    name = f"energy: {hardware.gpus[uuid]}"
    if uuid not in before.gpu_mj or uuid not in after.gpu_mj:
        return Finding(name, "warning", f"{uuid}: its energy cannot be read now", "check nvidia-smi")
    watts = f"{max(0, after.gpu_mj[uuid] - before.gpu_mj[uuid]) / 1e3 / elapsed_s:.0f} W now"
    if hardware.gpu_quality[uuid] == "counter":
        return Finding(name, "ok", f"{uuid}: NVML's energy counter, {watts}")
    return Finding(
        name,
        "warning",
        f"{uuid}: NVML's power, polled once a second, {watts}",
        "GPUs since Volta have energy counters, but most virtual GPUs do not",
    )


def _no_gpu() -> Finding:
    if Path("/proc/driver/nvidia").exists():
        return Finding(
            "energy: GPU",
            "warning",
            "an NVIDIA driver is loaded, but NVML shows no usable GPU",
            "check nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
    return Finding("energy: GPU", "ok", "no NVIDIA GPU here, so none to measure")


def _meters() -> Finding:
    own_id = f"doctor-{os.getpid()}"
    registry = MeterRegistry(own_id)
    registry.register()
    joined = any(shared_folder().glob(f"{own_id}.*"))  # joining creates a file with this name
    with registry.locked(0) as history:
        others = history[-1].others if history else 0
        registry.deregister(0)
    if not joined:
        found = f"{shared_folder()} cannot be used: studies that run at the same time would not know of each other"
        remedy = f"sudo chmod 1777 {shared_folder()}, or remove the file in its place, or run one study at a time"
        return Finding("energy: other studies", "warning", found, remedy)
    found = f"{counted(others, 'other meter')} on this machine" if others else "no other meter on this machine"
    return Finding("energy: other studies", "ok", found)
