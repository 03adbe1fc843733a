"""Findings of ``kdtune doctor`` about each sensor, on simulated machines."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdtune.analysis import doctor_sensors
from kdtune.analysis.doctor_finding import Finding
from kdtune.analysis.doctor_sensors import examine_sensors
from kdtune.energy import neighbours
from kdtune.energy.neighbours import MeterRegistry
from tests.energy.machine import FakeGpu, reported

pytestmark = pytest.mark.usefixtures("bare_machine", "known_cpu", "powercap", "meeting_place")


@pytest.fixture
def powercap(monkeypatch, tmp_path) -> Path:
    """Return a substitute for Linux's folder of links to RAPL zones, empty until a test adds zones."""
    folder = tmp_path / "class" / "powercap"
    folder.mkdir(parents=True)
    monkeypatch.setattr(doctor_sensors, "POWERCAP", folder)
    return folder


def show(powercap: Path, tmp_path: Path) -> None:
    """Link the existing zones, as the kernel does."""
    control = tmp_path / "powercap" / "intel-rapl"
    for path in (control, *control.iterdir()):
        (powercap / path.name).symlink_to(path)


@pytest.fixture
def meeting_place(monkeypatch, tmp_path) -> Path:
    """Use a separate shared folder, so that studies that run at the same time are not seen."""
    folder = tmp_path / "meters"
    for module in (neighbours, doctor_sensors):
        monkeypatch.setattr(module, "shared_folder", lambda: folder)
    return folder


@pytest.fixture
def between_readings(monkeypatch, clock):
    """Lets two seconds pass between the doctor's two readings and changes the machine meanwhile."""

    def let(happen=lambda: None) -> None:
        def sleep(seconds: float) -> None:
            clock.ns += 2_000_000_000
            happen()

        monkeypatch.setattr(doctor_sensors, "time", SimpleNamespace(sleep=sleep))

    let()
    return let


def finding(name: str) -> Finding:
    [found] = [one for one in examine_sensors() if one.name == f"energy: {name}"]
    return found


def refuse(file: str) -> None:
    """A counter that cannot be read: opening a folder as a file fails for every user, including root."""
    Path(file).unlink()
    Path(file).mkdir()


def test_there_is_a_finding_for_each_kind_of_sensor_and_a_remedy_for_each_warning(between_readings):
    findings = examine_sensors()
    names = [one.name for one in findings]
    assert names == ["energy: CPU", "energy: GPU", "energy: memory", "energy: other studies"]
    assert all(one.verdict == "ok" or one.remedy for one in findings)


# --- the CPU ---------------------------------------------------------------------------------------------------


def test_rapl_that_can_be_read_is_a_counter_with_its_power_now(zone, powercap, tmp_path, between_readings):
    first, second = zone("0", "package-0", 10_000_000), zone("1", "package-1", 500)
    show(powercap, tmp_path)

    def work() -> None:
        Path(first).write_text("90000000\n")
        Path(second).write_text("20000500\n")

    between_readings(work)
    cpu = finding("CPU")
    assert (cpu.verdict, cpu.remedy) == ("ok", "")
    assert cpu.found == "RAPL counter of 2 zones, 50 W now"  # 80 J and 20 J in 2 s


def test_a_rapl_counter_that_wraps_gives_no_negative_power(zone, between_readings):
    package = zone("0", "package-0", 95_000_000, limit=100_000_000)
    between_readings(lambda: Path(package).write_text("15000000\n"))
    assert finding("CPU").found == "RAPL counter of 1 zone, 10 W now"


def test_unreadable_rapl_is_modelled_and_the_remedy_grants_access(zone, powercap, tmp_path, between_readings):
    refuse(zone("0", "package-0", 1))
    show(powercap, tmp_path)
    cpu = finding("CPU")
    assert cpu.verdict == "warning"
    assert "modelled" in cpu.found and "7.5 W" in cpu.found and "Cortex-A72" in cpu.found
    assert "RAPL exists, but this user is not allowed to read it" in cpu.found
    assert cpu.remedy.startswith("sudo chmod ")


def test_the_remedy_for_rapl_grants_read_but_no_write_access(zone, powercap, tmp_path, between_readings):
    counter = Path(zone("0", "package-0", 1))
    refuse(str(counter))
    show(powercap, tmp_path)
    remedy = finding("CPU").remedy
    counter.rmdir()
    counter.write_text("1\n")
    counter.chmod(0o400)
    subprocess.run(remedy.removeprefix("sudo "), shell=True, check=True)
    assert counter.stat().st_mode & 0o777 == 0o444


def test_without_rapl_the_cpu_is_modelled_by_its_design_power(between_readings):
    cpu = finding("CPU")
    assert cpu.verdict == "warning"
    assert cpu.found == "modelled: busy share x design power of 7.5 W (Cortex-A72); the kernel shows no RAPL"
    assert "host" in cpu.remedy and "chmod" not in cpu.remedy


def test_rapl_that_cannot_be_read_just_now_is_not_called_a_working_counter(zone, between_readings, monkeypatch):
    package = zone("0", "package-0", 1)
    real = doctor_sensors.NodeSensors.hardware

    def then_refuse(sensors):
        known = real(sensors)
        refuse(package)
        return known

    monkeypatch.setattr(doctor_sensors.NodeSensors, "hardware", then_refuse)
    cpu = finding("CPU")
    assert cpu.verdict == "warning" and cpu.remedy
    assert "cannot be read now" in cpu.found


# --- GPUs ------------------------------------------------------------------------------------------------------


def test_a_gpu_with_an_energy_counter_is_counted_with_its_power_now(gpus, between_readings):
    [gpu] = gpus(FakeGpu("GPU-aaa", 1_000_000))

    def work() -> None:
        gpu.energy_mj += 500_000  # 500 J in 2 s

    between_readings(work)
    found = finding("NVIDIA Test GPU")
    assert (found.verdict, found.remedy) == ("ok", "")
    assert found.found == "GPU-aaa: NVML's energy counter, 250 W now"


def test_a_gpu_without_an_energy_counter_is_polled(gpus, between_readings):
    gpus(FakeGpu("GPU-old", None, power_mw=70_000))
    found = finding("NVIDIA Test GPU")
    assert found.verdict == "warning"
    assert found.found == "GPU-old: NVML's power, polled once a second, 70 W now"
    assert "Volta" in found.remedy


def test_each_gpu_has_a_separate_finding(gpus, between_readings):
    gpus(FakeGpu("GPU-aaa", 1), FakeGpu("GPU-old", None))
    found = [one for one in examine_sensors() if one.name == "energy: NVIDIA Test GPU"]
    assert [(one.found.partition(":")[0], one.verdict) for one in found] == [("GPU-aaa", "ok"), ("GPU-old", "warning")]


def test_a_gpu_without_readings_is_a_warning(gpus, between_readings):
    gpus(FakeGpu("GPU-odd", None, power_mw=None))
    found = finding("NVIDIA Test GPU")
    assert found.verdict == "warning" and "cannot be read now" in found.found and "nvidia-smi" in found.remedy


def test_without_nvml_there_is_no_gpu_to_meter(between_readings):
    found = finding("GPU")
    if Path("/proc/driver/nvidia").exists():  # hidden here, but its driver is not
        assert found.verdict == "warning" and "CUDA_VISIBLE_DEVICES" in found.remedy
    else:
        assert found == Finding("energy: GPU", "ok", "no NVIDIA GPU here, so none to measure")


def test_sensors_that_fail_altogether_are_one_fault(gpus, monkeypatch):
    gpus(FakeGpu("GPU-aaa", 1))
    monkeypatch.setattr(doctor_sensors.NodeSensors, "__init__", lambda self: reported(None))
    [found] = examine_sensors()
    assert found.verdict == "fault" and "NotSupported" in found.found and found.remedy


# --- memory and other studies ----------------------------------------------------------------------------------


def test_memory_is_modelled_everywhere(between_readings):
    found = finding("memory")
    assert found.verdict == "ok" and "modelled at a constant" in found.found and " W;" in found.found


def test_other_studies_meters_are_counted_and_none_is_left_behind(between_readings, meeting_place):
    assert finding("other studies").found == "no other meter on this machine"
    meters = [MeterRegistry(name, meeting_place) for name in ("one", "two")]
    for meter in meters:
        meter.register()
        with meter.locked(0):
            meter.announce(1, 0, {})
    assert finding("other studies").found == "2 other meters on this machine"
    with meters[0].locked(0) as told_to_one:
        assert told_to_one[-1].others == 1


def test_an_unusable_shared_folder_is_a_warning(between_readings, meeting_place):
    meeting_place.write_text("in the way")
    found = finding("other studies")
    assert found.verdict == "warning" and "cannot be used" in found.found and found.remedy


@contextmanager
def nobody(*folders: Path) -> Iterator[None]:
    """Act as an unprivileged user, if root runs the tests, who may enter the given folders."""
    modes = {folder: folder.stat().st_mode for folder in folders}
    root = os.geteuid() == 0
    try:
        for folder in folders:
            folder.chmod(0o755)
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_an_unwritable_shared_folder_is_a_warning_and_the_remedy_works(between_readings, meeting_place):
    meeting_place.mkdir()
    meeting_place.chmod(0o555)
    above = [path for path in meeting_place.parents if path.is_relative_to(tempfile.gettempdir())][:-1]
    with nobody(*above):
        found = finding("other studies")
    assert found.verdict == "warning" and "cannot be used" in found.found
    remedy = found.remedy.partition(",")[0]
    assert remedy == f"sudo chmod 1777 {meeting_place}"
    subprocess.run(remedy.removeprefix("sudo "), shell=True, check=True)
    with nobody(*above):
        assert finding("other studies") == Finding("energy: other studies", "ok", "no other meter on this machine")
