"""All sensors of a node: CPU, memory and GPUs.

Counters are absolute and stored as they are read (microjoules of RAPL zones, millijoules of GPUs, busy microseconds of
the CPU), so no energy is lost between two readings, even if different processes take them.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import psutil
from pydantic import Field

from kdtune.energy.logger_levels import level_of
from kdtune.energy.sensors.busy_time import BusyTime
from kdtune.energy.sensors.cpu import CpuPower, default_power_w, look_up_cpu
from kdtune.energy.sensors.memory import memory_uw
from kdtune.energy.sensors.nvidia import NvidiaGpu, PolledEnergy, find_gpus
from kdtune.energy.sensors.rapl import Zone, find_zones
from kdtune.storage.field_types import Count
from kdtune.storage.records import exact

T = TypeVar("T")

Quality = Literal["counter", "polled", "modelled"]

#: From the most to the least reliable.
QUALITIES: tuple[Quality, ...] = ("counter", "polled", "modelled")


@exact
@dataclass(frozen=True)
class Counters:
    """All counters of a node at one moment.

    Attributes:
        boot_id: Id of the boot; all counters restart with each boot.
        t_ns: Time since boot in nanoseconds, on a clock that all processes share. It stops while the machine is
            suspended, when it draws almost no power, so a model of power times time does not count that time.
        wall_s: Seconds since 1970, for display only, since this clock may be set back.
        busy_us: Busy time of all cores together, in microseconds.
        rapl_uj: Energy of each readable RAPL zone, in microjoules.
        gpu_mj: Energy of each GPU by its UUID, in millijoules.
    """

    boot_id: str
    t_ns: Count
    wall_s: float
    busy_us: Count
    rapl_uj: dict[str, Count] = field(default_factory=dict)
    gpu_mj: dict[str, Count] = field(default_factory=dict)


@exact
@dataclass(frozen=True)
class Hardware:
    """Hardware of a node, which is needed to convert its counters to energy.

    Attributes:
        node: Name of the host.
        cpu_model: Model name that the CPU reports.
        cores: Number of logical cores.
        cpu_quality: ``counter`` with RAPL, otherwise ``modelled``.
        tdp_uw: Power of the whole CPU in the model, in microwatts; not used with RAPL.
        tdp_known: Whether ``tdp_uw`` is the design power of this CPU; otherwise it is a default for each thread.
        ram_uw: Modelled power of the memory, in microwatts.
        rapl_range_uj: RAPL zones of the CPU, each with the energy at which its counter wraps, in microjoules.
        gpus: Names of the GPUs that Ray may allocate, by UUID.
        gpu_quality: ``counter`` or ``polled`` for each GPU, by UUID.
        left_out: Sensors that could not be read, each with the error. Their energy is not counted, except that of the
            CPU, which is modelled with the default power.
    """

    node: str
    cpu_model: str
    cores: Annotated[int, Field(ge=1, lt=2**31)]
    cpu_quality: Quality
    tdp_uw: Count
    ram_uw: Count
    rapl_range_uj: dict[str, Count] = field(default_factory=dict)
    gpus: dict[str, str] = field(default_factory=dict)
    gpu_quality: dict[str, Quality] = field(default_factory=dict)
    tdp_known: bool = True
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.gpus.keys() != self.gpu_quality.keys():
            raise ValueError("gpus and gpu_quality must list the same GPUs")

    @property
    def quality(self) -> Quality:
        """The least reliable quality among the CPU and the GPUs."""
        return max((self.cpu_quality, *self.gpu_quality.values()), key=QUALITIES.index)

    def as_record(self) -> dict[str, Any]:
        """Return the JSON object that is written to the ledger."""
        return asdict(self)


def boot_id() -> str:
    """Return the id of the current boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextmanager
def _silent_codecarbon() -> Iterator[None]:
    """Suppress codecarbon's messages about sensors that it does not find."""
    import codecarbon  # noqa: F401 - the import sets the level, so it must come first

    with level_of("codecarbon", logging.CRITICAL):
        yield


class NodeSensors:
    """Reads the counters of the node that it runs on."""

    @_silent_codecarbon()
    def __init__(self, gpus: Collection[str] | None = None) -> None:
        """Find the counters.

        Args:
            gpus: UUIDs of the GPUs to read, whether or not this process may use them; None reads all GPUs, or those in
                CUDA_VISIBLE_DEVICES.
        """
        self._boot_id = boot_id()
        self._left_out: dict[str, str] = {}
        self._zones: dict[str, Zone] = self._probed("RAPL", find_zones, {})
        self._gpus: dict[str, NvidiaGpu] = self._probed("GPUs", partial(find_gpus, gpus), {})
        self._polled = {uuid: PolledEnergy() for uuid, gpu in self._gpus.items() if gpu.energy_mj() is None}
        self._busy = BusyTime()

    @property
    def gpus(self) -> list[str]:
        """The UUIDs of the node's GPUs."""
        return list(self._gpus)

    @property
    def polled(self) -> set[str]:
        """The UUIDs of the GPUs that have no energy counter."""
        return set(self._polled)

    def read(self) -> Counters:
        """Read and return all counters."""
        t_ns, busy_us = self._busy.read()
        rapl_uj = {name: value for name, zone in self._zones.items() if (value := zone.energy_uj()) is not None}
        gpu_mj = {uuid: value for uuid in self._gpus if (value := self._gpu_mj(uuid, t_ns)) is not None}
        return Counters(self._boot_id, t_ns, time.time(), busy_us, rapl_uj, gpu_mj)

    def _gpu_mj(self, uuid: str, t_ns: int) -> int | None:
        """Return a GPU's counter, in millijoules; None if it cannot be read now."""
        if uuid not in self._polled:
            return self._gpus[uuid].energy_mj()
        power_mw = self._gpus[uuid].power_mw()
        return None if power_mw is None else self._polled[uuid].add(power_mw, t_ns)

    def as_state(self) -> dict[str, Any]:
        """Return, as a JSON object, the state of the counters that this class computes itself."""
        read = {uuid: polled for uuid, polled in self._polled.items() if polled.at_ns is not None}
        return {
            "polled_mj": {uuid: polled.energy_mj for uuid, polled in read.items()},
            "polled_at_ns": {uuid: polled.at_ns for uuid, polled in read.items()},
            "stepped_us": self._busy.stepped_us,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the state that :meth:`as_state` returned in an earlier process on this node."""
        for uuid, energy_mj in state["polled_mj"].items():
            if uuid in self._polled:
                self._polled[uuid] = PolledEnergy(energy_mj, state["polled_at_ns"][uuid])
        self._busy.stepped_us = int(state["stepped_us"])

    @_silent_codecarbon()
    def hardware(self) -> Hardware:
        """Return the node's hardware. The call looks the CPU up in codecarbon's table."""
        cpu = self._probed("CPU power", look_up_cpu, CpuPower("", 0.0, known=False))
        ranges = {name: limit for name, zone in self._zones.items() if (limit := zone.range_uj()) is not None}
        cores = psutil.cpu_count(logical=True) or 1
        return Hardware(
            node=os.uname().nodename,
            cpu_model=cpu.model,
            cores=cores,
            cpu_quality="counter" if ranges else "modelled",
            tdp_uw=round((cpu.tdp_w or default_power_w(cores)) * 1e6),
            tdp_known=cpu.known,
            ram_uw=self._probed("memory", memory_uw, 0),
            rapl_range_uj=ranges,
            gpus={uuid: gpu.name for uuid, gpu in self._gpus.items()},
            gpu_quality={uuid: "polled" if uuid in self._polled else "counter" for uuid in self._gpus},
            left_out=dict(self._left_out),
        )

    def _probed(self, part: str, probe: Callable[[], T], otherwise: T) -> T:
        """Return the result of a probe. If it fails, note the error and return a default, so that the study goes on."""
        try:
            with _whole_node():
                return probe()
        except Exception as error:  # drivers, missing programs and broken sysfs files raise many types of errors
            self._left_out[part] = f"{type(error).__name__}: {error}"
            return otherwise


@contextmanager
def _whole_node() -> Iterator[None]:
    """Hide a SLURM job from codecarbon, which would otherwise return the job's share of the memory, not the node's."""
    from codecarbon.core import util
    from codecarbon.external import ram

    before = util.SLURM_JOB_ID
    util.SLURM_JOB_ID = ram.SLURM_JOB_ID = None
    try:
        yield
    finally:
        util.SLURM_JOB_ID = ram.SLURM_JOB_ID = before
