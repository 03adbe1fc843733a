import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from codecarbon.core import cpu as codecarbon_cpu
from codecarbon.external import ram as codecarbon_ram

from kdtune.energy.ledger import Record
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.sensors import cpu, nvidia
from kdtune.energy.sensors.cpu import CpuPower, power_in_words
from kdtune.energy.sensors.node import NodeSensors
from tests.energy.machine import FakeGpu, fails_with

pytestmark = pytest.mark.usefixtures("bare_machine")

# --- RAPL ------------------------------------------------------------------------------------------------------


def test_rapl_packages_are_read_in_microjoules(zone):
    first, second = zone("0", "package-0", 123_456_789), zone("1", "package-1", 42)
    assert NodeSensors().read().rapl_uj == {first: 123_456_789, second: 42}


def test_zones_inside_and_around_a_package_are_not_counted_twice(zone):
    package = zone("0", "package-0", 1_000_000_000)
    zone("0:0", "core", 400_000_000)
    zone("0:1", "dram", 200_000_000)
    zone("1", "psys", 3_000_000_000)
    assert list(NodeSensors().read().rapl_uj) == [package]


def test_rapl_is_read_again_each_time(zone):
    package = zone("0", "package-0", 100)
    sensors = NodeSensors()
    Path(package).write_text("250\n")
    assert sensors.read().rapl_uj == {package: 250}


def test_a_node_with_rapl_has_quality_counter_and_wrap_limits(zone, known_cpu):
    package = zone("0", "package-0", 100, limit=262_143_328_850)
    hardware = NodeSensors().hardware()
    assert hardware.rapl_range_uj == {package: 262_143_328_850}
    assert hardware.cpu_quality == hardware.quality == "counter"


@pytest.mark.parametrize(
    ("energy", "limit"), [("no number", 10**12), (9_000_000_000, None), (9_000_000_000, "no number")]
)
def test_a_zone_that_cannot_be_read_is_left_out(zone, energy, limit):
    package = zone("0", "package-0", 5_000_000_000)
    zone("1", "package-1", energy, limit)
    assert list(NodeSensors().read().rapl_uj) == [package]


def test_a_zone_with_a_failed_reading_is_missing_only_in_that_reading(zone):
    package = zone("0", "package-0", 5)
    sensors = NodeSensors()
    Path(package).write_text("")
    assert sensors.read().rapl_uj == {}
    Path(package).write_text("9")
    assert sensors.read().rapl_uj == {package: 9}


def test_duplicate_zones_count_once(zone):
    zone("0", "package-0-die-0", 81_234_567_890)
    zone("1", "package-0-die-1", 81_234_567_890)
    assert len(NodeSensors().read().rapl_uj) == 1


# --- GPUs ------------------------------------------------------------------------------------------------------


def test_a_gpu_with_a_counter_is_read_in_millijoules(gpus, known_cpu):
    gpus(FakeGpu("GPU-aaa", 987_654_321), FakeGpu("GPU-bbb", 5))
    sensors = NodeSensors()
    assert sensors.read().gpu_mj == {"GPU-aaa": 987_654_321, "GPU-bbb": 5}
    hardware = sensors.hardware()
    assert hardware.gpus == {"GPU-aaa": "NVIDIA Test GPU", "GPU-bbb": "NVIDIA Test GPU"}
    assert hardware.gpu_quality == {"GPU-aaa": "counter", "GPU-bbb": "counter"}


def test_unwanted_gpus_are_neither_read_nor_listed(gpus, known_cpu, monkeypatch):
    gpus(FakeGpu("GPU-aaa", 1), FakeGpu("GPU-bbb", 2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for wanted, seen in ((None, ["GPU-aaa"]), (["GPU-bbb", "GPU-xxx"], ["GPU-bbb"]), ((), [])):
        sensors = NodeSensors(wanted)
        assert list(sensors.read().gpu_mj) == list(sensors.hardware().gpus) == seen


def test_a_gpu_without_a_counter_is_polled(gpus, known_cpu):
    gpus(FakeGpu("GPU-aaa", 1), FakeGpu("GPU-old", None))
    hardware = NodeSensors().hardware()
    assert hardware.gpu_quality == {"GPU-aaa": "counter", "GPU-old": "polled"}


def test_polled_power_is_integrated_to_millijoules(gpus, clock):
    [gpu] = gpus(FakeGpu("GPU-old", None, power_mw=50_000))
    sensors = NodeSensors()
    before = sensors.read().gpu_mj["GPU-old"]
    clock.ns += 2_000_000_000
    gpu.power_mw = 100_000
    assert sensors.read().gpu_mj["GPU-old"] - before == 200_000  # 2 s x 100 W, in millijoules
    clock.ns += 500_000_000
    assert sensors.read().gpu_mj["GPU-old"] - before == 250_000


def test_a_polled_counter_never_decreases(gpus, clock):
    [gpu] = gpus(FakeGpu("GPU-old", None))
    sensors = NodeSensors()
    readings = []
    for power_mw in (70_000, 0, 300_000, 10_000, 0):
        gpu.power_mw = power_mw
        clock.ns += 30_000_000_000
        readings.append(sensors.read().gpu_mj["GPU-old"])
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def charged_for(sensors: NodeSensors, gpu: FakeGpu, counters: list[int | None], power_mw: int | None) -> int:
    """Return the energy of a node for readings of a GPU's counter, in millijoules."""
    gpu.power_mw = power_mw
    records = []
    hardware = replace(sensors.hardware(), tdp_uw=0, ram_uw=0)
    for seq, gpu.energy_mj in enumerate(counters):
        kind = "sample" if seq else "start"
        records.append(Record(kind, "meter", seq, sensors.read(), 0, hardware=None if seq else hardware))
    return account_of_ledger(records).node_uj // 1000


def test_a_counter_that_fails_once_is_not_charged_from_zero(gpus, known_cpu):
    [gpu] = gpus(FakeGpu("GPU-aaa", 7_000_000_000))
    sensors = NodeSensors()
    charged_mj = charged_for(sensors, gpu, [7_000_000_000, None, 7_000_000_900], power_mw=50_000)
    assert charged_mj == 900


def test_a_failed_reading_of_a_gpu_does_not_stop_the_others(gpus):
    [gpu] = gpus(FakeGpu("GPU-aaa", 7_000_000_000))
    sensors = NodeSensors()
    gpu.energy_mj = gpu.power_mw = None
    assert sensors.read().gpu_mj == {}


def test_an_unreadable_gpu_is_left_out_of_the_reading(gpus):
    [gpu] = gpus(FakeGpu("GPU-aaa", 7_000_000_000))
    sensors = NodeSensors()
    sensors.read()
    gpu.energy_mj = gpu.power_mw = None
    assert sensors.read().gpu_mj == {}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1", ["GPU-bbb1"]),
        ("2,0", ["GPU-aaa", "GPU-bbb2"]),
        ("GPU-bbb2", ["GPU-bbb2"]),
        ("GPU-a", ["GPU-aaa"]),
        (" GPU-aaa , GPU-bbb1 ", ["GPU-aaa", "GPU-bbb1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_only_gpus_in_cuda_visible_devices_are_counted(gpus, monkeypatch, visible, expected):
    gpus(FakeGpu("GPU-aaa", 1), FakeGpu("GPU-bbb1", 2), FakeGpu("GPU-bbb2", 3))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert sorted(NodeSensors().read().gpu_mj) == expected


# --- without sensors -------------------------------------------------------------------------------------------


def test_a_node_without_sensors_is_modelled(known_cpu):
    sensors = NodeSensors()
    hardware = sensors.hardware()
    assert hardware.cpu_quality == hardware.quality == "modelled"
    assert hardware.tdp_uw == 7_500_000
    assert (hardware.rapl_range_uj, hardware.gpus) == ({}, {})
    counters = sensors.read()
    assert (counters.rapl_uj, counters.gpu_mj) == ({}, {})


def test_the_quality_is_the_worst_of_cpu_and_gpus(zone, gpus, known_cpu):
    zone("0", "package-0", 1)
    gpus(FakeGpu("GPU-aaa", 1), FakeGpu("GPU-old", None))
    assert NodeSensors().hardware().quality == "polled"


def test_the_clock_is_that_of_the_machine():
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    counters = NodeSensors().read()
    assert before <= counters.t_ns <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert counters.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_lost_gpu_does_not_end_a_study_on_another(gpus, monkeypatch):
    lost, well = FakeGpu("GPU-lost", 1), FakeGpu("GPU-well", 2)
    gpus(lost, well)
    sensors = NodeSensors()

    def read(gpu):
        return gpu.energy_mj if gpu is well else fails_with(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", read)
    assert sensors.read().gpu_mj == {"GPU-well": 2}


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_a_machine_without_a_driver_has_no_gpu_and_nothing_is_left_out(monkeypatch, known_cpu, code):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: fails_with(code))
    hardware = NodeSensors().hardware()
    assert (hardware.gpus, hardware.left_out) == ({}, {})


def test_a_failing_driver_is_reported_as_left_out(monkeypatch, known_cpu):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: fails_with(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    hardware = NodeSensors().hardware()
    assert hardware.gpus == {} and "Version Mismatch" in hardware.left_out["GPUs"].title()
    assert NodeSensors(()).hardware().left_out == {}  # a study on CPUs does not read GPUs


def test_a_polled_counter_continues_in_a_later_process(gpus, clock):
    [gpu] = gpus(FakeGpu("GPU-old", None, power_mw=50_000))
    earlier = NodeSensors()
    earlier.read()
    clock.ns += 2_000_000_000
    before = earlier.read().gpu_mj["GPU-old"]
    later = NodeSensors()
    later.restore(json.loads(json.dumps(earlier.as_state())))
    clock.ns += 1_000_000_000
    assert later.read().gpu_mj["GPU-old"] - before == 50_000


PROBES = [
    (codecarbon_cpu, "is_rapl_available", "RAPL"),
    (nvidia, "NvidiaGpu", "GPUs"),
    (codecarbon_cpu.TDP, "_get_matching_cpu", "CPU power"),
    (codecarbon_ram, "RAM", "memory"),
]


@pytest.mark.parametrize(("module", "probe", "part"), PROBES)
def test_a_sensor_that_cannot_be_read_is_left_out_and_named(monkeypatch, known_cpu, gpus, module, probe, part):
    gpus(FakeGpu("GPU-aaa", 1))

    def fails(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "scontrol")

    monkeypatch.setattr(module, probe, fails)
    sensors = NodeSensors()
    hardware = sensors.hardware()
    assert list(hardware.left_out) == [part] and "scontrol" in hardware.left_out[part]
    assert sensors.read().busy_us > 0 and hardware.cores and hardware.tdp_uw > 0
    assert (hardware.ram_uw == 0) == (part == "memory")


def test_a_slurm_job_does_not_change_the_hardware_of_the_node():
    """Run in a new process, since codecarbon looks for the job when it is imported."""
    code = """
import json
from kdtune.energy.sensors.node import NodeSensors
print(json.dumps(NodeSensors().hardware().as_record()))
"""
    job = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "8192", "PATH": str(Path(sys.executable).parent)}
    done = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **extra}, check=True
        ).stdout
        for extra in ({}, job)
    ]
    assert json.loads(done[0]) == json.loads(done[1]) and json.loads(done[0])["left_out"] == {}


# --- codecarbon ------------------------------------------------------------------------------------------------


def test_the_private_parts_of_codecarbon_that_are_used_exist(zone):
    zone("0", "package-0", 1)
    [file] = codecarbon_cpu.IntelRAPL()._rapl_files
    assert Path(file.path).name == "energy_uj"
    assert Path(file.max_path).name == "max_energy_range_uj"
    assert codecarbon_cpu.is_rapl_available()


def test_codecarbon_finds_power_for_cpu_and_memory_of_this_machine():
    hardware = NodeSensors().hardware()
    assert hardware.cpu_model
    assert hardware.cores == os.cpu_count()
    assert hardware.tdp_uw >= 1_000_000
    assert 1_000_000 <= hardware.ram_uw <= 1_000_000_000


@pytest.mark.parametrize("cpu_info", ["/proc/cpuinfo", "/proc/nowhere", "/proc/version"])
def test_the_cpu_is_the_one_that_codecarbon_detects(monkeypatch, cpu_info):
    monkeypatch.setattr(cpu, "CPU_INFO", Path(cpu_info))
    found, expected = NodeSensors().hardware(), codecarbon_cpu.TDP()
    assert (found.cpu_model, found.tdp_uw) == (expected.model, 1e6 * expected.tdp)


NAMES = [
    "Cortex-A72",
    "intel xeon e5-2620 v4",
    "Intel(R) Xeon(R) CPU E5-2620 v4 @ 2.10GHz",
    "AMD EPYC 7763",
    "Xeon",
    "?",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_power_of_a_cpu_is_that_of_codecarbons_own_look_up(monkeypatch, tmp_path, name):
    (tmp_path / "cpuinfo").write_text(f"model name\t: {name}\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    power_w = codecarbon_cpu.TDP()._get_cpu_power_from_registry(name)
    assert cpu.look_up_cpu() == CpuPower(name, power_w or 0.0, known=power_w is not None)
    assert (power_w is None) == (name in ("Xeon", "?"))


def test_a_meter_and_the_carbon_intensity_need_no_pandas():
    code = """
import sys
from kdtune.energy.carbon import resolve_carbon
from kdtune.energy.sensors.node import NodeSensors
NodeSensors().hardware()
resolve_carbon()
assert not {"pandas", "numpy", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_codecarbon_is_silent_during_probes_and_keeps_its_log_level(monkeypatch):
    logger, levels = logging.getLogger("codecarbon"), []
    monkeypatch.setattr(codecarbon_cpu.TDP, "_get_matching_cpu", lambda *_: levels.append(logger.getEffectiveLevel()))
    monkeypatch.setattr(logger, "level", logging.WARNING)
    NodeSensors().hardware()
    assert levels == [logging.CRITICAL] and logger.level == logging.WARNING


def test_codecarbon_is_silent_in_a_new_process():
    code = """
from kdtune.energy.sensors.node import NodeSensors
sensors = NodeSensors()
sensors.hardware()
sensors.read()
"""
    environment = {key: value for key, value in os.environ.items() if not key.lower().startswith("codecarbon")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout + done.stderr == ""


def test_an_unknown_cpu_is_described_as_unknown(monkeypatch):
    monkeypatch.setattr(cpu, "CPU_INFO", Path("/proc/nowhere"))
    monkeypatch.setattr(codecarbon_cpu, "detect_cpu_model", lambda: "A VM's CPU")
    hardware = NodeSensors().hardware()
    assert (hardware.cpu_model, hardware.tdp_known) == ("A VM's CPU", False)
    assert hardware.tdp_uw == 4_000_000 * hardware.cores == 1e6 * codecarbon_cpu.TDP().tdp
    assert power_in_words(8.0, known=False) == "8 W, which is codecarbon's default for an unknown CPU"


def test_a_cpu_without_a_name_gets_the_default_power(monkeypatch):
    monkeypatch.setattr(cpu, "CPU_INFO", Path("/proc/nowhere"))
    monkeypatch.setattr(codecarbon_cpu, "detect_cpu_model", lambda: None)
    hardware = NodeSensors().hardware()
    assert hardware.cpu_model == "Unknown" and hardware.tdp_uw == 4_000_000 * hardware.cores and not hardware.tdp_known
