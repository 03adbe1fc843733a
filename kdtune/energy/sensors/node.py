"""What a node can tell of its energy: the one adapter over codecarbon's hardware classes.

Counters are absolute and kept raw (microjoules of RAPL zones, millijoules of GPUs, busy microseconds of the
CPU), so that nothing is lost between two readings, whoever takes them.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil

from kdtune.energy.logger_levels import level_of
from kdtune.energy.sensors.busy_time import BusyTime

T = TypeVar("T")

Quality = Literal["counter", "polled", "modelled"]

#: From the most to the least trustworthy.
QUALITIES: tuple[Quality, ...] = ("counter", "polled", "modelled")


@dataclass(frozen=True)
class Counters:
    """All counters of a node at one moment.

    Attributes:
        boot_id: Tells one uptime from the next: the counters start again with each.
        t_ns: Time since boot in nanoseconds, the same clock for all processes. It stands still while the machine is
            suspended: asleep it draws next to nothing, and no model of power times time may count that.
        wall_s: Seconds since 1970, for people only; it may be set back.
        busy_us: CPU time of all cores together that was not idle, in microseconds.
        rapl_uj: Energy of each readable RAPL zone, in microjoules.
        gpu_mj: Energy of each GPU by its UUID, in millijoules.
    """

    boot_id: str
    t_ns: int
    wall_s: float
    busy_us: int
    rapl_uj: dict[str, int] = field(default_factory=dict)
    gpu_mj: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Hardware:
    """What the counters of a node mean.

    Attributes:
        node: The host's name.
        cpu_model: As the CPU calls itself.
        cores: Logical cores of the node.
        cpu_quality: ``counter`` with RAPL, else ``modelled``.
        tdp_uw: Power that the model spreads over the cores, in microwatts; unused with RAPL.
        tdp_known: Whether that is the design power of this CPU; else it is a few watts for each thread.
        ram_uw: Power of the memory, in microwatts; always a model.
        rapl_range_uj: The zones that make up the CPU, each with the energy at which its counter wraps.
        gpus: The GPUs in Ray's pool: UUID to name.
        gpu_quality: UUID to ``counter`` or ``polled``.
        left_out: Parts that codecarbon failed to probe, each with the error; their energy is not counted, or in the
            case of the CPU modelled by the default.
    """

    node: str
    cpu_model: str
    cores: int
    cpu_quality: Quality
    tdp_uw: int
    ram_uw: int
    rapl_range_uj: dict[str, int] = field(default_factory=dict)
    gpus: dict[str, str] = field(default_factory=dict)
    gpu_quality: dict[str, Quality] = field(default_factory=dict)
    tdp_known: bool = True
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def quality(self) -> Quality:
        """The least trustworthy of CPU and GPUs."""
        return max((self.cpu_quality, *self.gpu_quality.values()), key=QUALITIES.index)

    def as_record(self) -> dict[str, Any]:
        """As it stands in the ledger."""
        return asdict(self)


def boot_id() -> str:
    """Tells this uptime of this machine from any other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextmanager
def _silent_codecarbon() -> Iterator[None]:
    """Codecarbon reports at length what it does not find; what was found is in our own tables."""
    import codecarbon  # noqa: F401 - its import sets the level, so it has to come first

    with level_of("codecarbon", logging.CRITICAL):
        yield


class NodeSensors:
    """Reads the counters of the node that it runs on."""

    @_silent_codecarbon()
    def __init__(self, gpus: Collection[str] | None = None) -> None:
        """Find the counters.

        Args:
            gpus: UUIDs of the GPUs to read, whichever of them this process may use; None reads those that
                CUDA_VISIBLE_DEVICES shows it.
        """
        self._boot_id = boot_id()
        self._left_out: dict[str, str] = {}
        self._rapl: dict[str, tuple[Path, Path]] = self._probed("RAPL", _rapl_files, {})
        self._gpus: dict[str, Any] = self._probed("GPUs", partial(_visible_gpus, gpus), {})
        self.polled = {uuid for uuid, device in self._gpus.items() if _energy_mj(device) is None}
        self._polled_mj: dict[str, float] = {}
        self._polled_at_ns: dict[str, int] = {}
        self._busy = BusyTime()

    @property
    def gpus(self) -> list[str]:
        """The UUIDs of the node's GPUs."""
        return list(self._gpus)

    @_silent_codecarbon()
    def read(self) -> Counters:
        """All counters, now."""
        t_ns, busy_us = self._busy.read()
        rapl_uj = {zone: value for zone, files in self._rapl.items() if (value := _read_int(files[0])) is not None}
        gpu_mj = {uuid: value for uuid in self._gpus if (value := self._gpu_mj(uuid, t_ns)) is not None}
        return Counters(self._boot_id, t_ns, time.time(), busy_us, rapl_uj, gpu_mj)

    def _gpu_mj(self, uuid: str, t_ns: int) -> int | None:
        """A GPU's counter, in millijoules; None where it cannot be read now."""
        device = self._gpus[uuid]
        if uuid not in self.polled:
            return _energy_mj(device)
        # Power times the time since the last reading, kept as a counter of our own.
        power_w = _read(device._read_power_watts)
        if power_w is None:
            return None
        elapsed_s = (t_ns - self._polled_at_ns.get(uuid, t_ns)) / 1e9
        self._polled_at_ns[uuid] = t_ns
        self._polled_mj[uuid] = self._polled_mj.get(uuid, 0.0) + power_w * 1e3 * elapsed_s
        return int(self._polled_mj[uuid])

    def as_state(self) -> dict[str, Any]:
        """What a later process needs to go on with the counters of its own making; JSON."""
        return {
            "polled_mj": self._polled_mj,
            "polled_at_ns": self._polled_at_ns,
            "stepped_us": self._busy.stepped_us,
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`as_state` of an earlier process of this node gave."""
        self._polled_mj, self._polled_at_ns = dict(state["polled_mj"]), dict(state["polled_at_ns"])
        self._busy.stepped_us = int(state["stepped_us"])

    @_silent_codecarbon()
    def hardware(self) -> Hardware:
        """What the counters mean on this node. Looks the CPU up in codecarbon's table, which takes a second."""
        from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

        model, tdp_w, known = self._probed("CPU power", _cpu_power, ("", 0.0, False))
        ranges = {zone: limit for zone, files in self._rapl.items() if (limit := _read_int(files[1])) is not None}
        cores = psutil.cpu_count(logical=True) or 1
        return Hardware(
            node=os.uname().nodename,
            cpu_model=model,
            cores=cores,
            cpu_quality="counter" if ranges else "modelled",
            tdp_uw=round((tdp_w or DEFAULT_POWER_PER_CORE * cores) * 1e6),
            tdp_known=known,
            ram_uw=self._probed("memory", _memory_uw, 0),
            rapl_range_uj=ranges,
            gpus={uuid: str(device._gpu_name) for uuid, device in self._gpus.items()},
            gpu_quality={uuid: "polled" if uuid in self.polled else "counter" for uuid in self._gpus},
            left_out=dict(self._left_out),
        )

    def _probed(self, part: str, probe: Callable[[], T], otherwise: T) -> T:
        """Returns what codecarbon finds; a part that it fails to probe is left out, which must not end a study."""
        try:
            with _whole_node():
                return probe()
        except Exception as error:  # whatever a driver, a missing program or a broken sysfs raises
            self._left_out[part] = f"{type(error).__name__}: {error}"
            return otherwise


def power_in_words(tdp_w: float, *, known: bool) -> str:
    """What the model of the CPU goes by."""
    if known:
        return f"design power of {tdp_w:g} W"
    return f"{tdp_w:g} W, which is codecarbon's default for a CPU that it does not know"


@contextmanager
def _whole_node() -> Iterator[None]:
    """Hide a SLURM job from codecarbon, which would ask ``scontrol`` for the job's share: the ledger is the node's."""
    from codecarbon.core import util
    from codecarbon.external import ram

    before = util.SLURM_JOB_ID
    util.SLURM_JOB_ID = ram.SLURM_JOB_ID = None
    try:
        yield
    finally:
        util.SLURM_JOB_ID = ram.SLURM_JOB_ID = before


def _cpu_power() -> tuple[str, float, bool]:
    """The CPU's name, its power in watts (0 where codecarbon has none), and whether that is its design power."""
    from codecarbon.core.cpu import TDP

    tdp = TDP()
    known = bool(tdp.model) and tdp._get_cpu_power_from_registry(tdp.model) is not None
    return str(tdp.model), float(tdp.tdp or 0), known


def _memory_uw() -> int:
    from codecarbon.external.ram import RAM

    power_uw = round(RAM(tracking_mode="machine").total_power().kW * 1e9)
    if not power_uw:  # codecarbon reports an error so
        raise ValueError("codecarbon has no model of its power")
    return power_uw


def _energy_mj(device: Any) -> int | None:
    """A GPU's energy counter in millijoules; None where it has none, or cannot be read now."""
    counter = _read(device._get_total_energy_consumption)
    return None if counter is None else int(counter)


def _read(sensor: Callable[[], T]) -> T | None:
    """The value of one GPU's sensor; a GPU that is lost or reset must not end the study of another."""
    import pynvml

    try:
        return sensor()
    except pynvml.NVMLError:
        return None


def _read_int(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _rapl_files() -> dict[str, tuple[Path, Path]]:
    """Zones that codecarbon would count, each with its energy file and its range file; readable ones only."""
    from codecarbon.core.cpu import IntelRAPL, is_rapl_available

    if not is_rapl_available():
        return {}
    zones = {}
    try:
        rapl = IntelRAPL()
        rapl.start()  # finds counters that mirror one another
    except OSError:  # zones outside the kernel's default folder, or gone since the check
        return {}
    for file in rapl._rapl_files:
        if file.path in rapl._mirrored_candidates:
            continue  # another view of a counter that is counted already
        energy, limit = Path(file.path), Path(file.max_path)
        if _read_int(energy) is not None and _read_int(limit) is not None:
            zones[str(energy)] = (energy, limit)
    return zones


def _visible_gpus(wanted: Collection[str] | None) -> dict[str, Any]:
    """The wanted NVIDIA GPUs by UUID; None wants those that Ray may hand out: all, or those of CUDA_VISIBLE_DEVICES."""
    from codecarbon.core import gpu

    if not (gpu.is_gpu_details_available() and gpu.PYNVML_AVAILABLE):
        return {}
    devices = {str(device._uuid): device for device in gpu.AllGPUDevices().devices}
    if wanted is not None:
        return {uuid: device for uuid, device in devices.items() if uuid in wanted}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return devices
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return {
        uuid: device
        for index, (uuid, device) in enumerate(devices.items())
        if str(index) in names or any(uuid.startswith(name) for name in names if not name.isdigit())
    }
