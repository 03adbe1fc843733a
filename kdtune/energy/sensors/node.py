"""What a node can tell of its energy: brings the sensors of its CPU, memory and GPUs together.

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
from kdtune.energy.sensors.cpu import CpuPower, default_power_w, look_up_cpu
from kdtune.energy.sensors.memory import memory_uw
from kdtune.energy.sensors.nvidia import NvidiaGpu, PolledEnergy, find_gpus
from kdtune.energy.sensors.rapl import Zone, find_zones

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
        left_out: Parts that could not be probed, each with the error; their energy is not counted, or in the
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
        """The UUIDs of the GPUs that have no counter."""
        return set(self._polled)

    def read(self) -> Counters:
        """All counters, now."""
        t_ns, busy_us = self._busy.read()
        rapl_uj = {name: value for name, zone in self._zones.items() if (value := zone.energy_uj()) is not None}
        gpu_mj = {uuid: value for uuid in self._gpus if (value := self._gpu_mj(uuid, t_ns)) is not None}
        return Counters(self._boot_id, t_ns, time.time(), busy_us, rapl_uj, gpu_mj)

    def _gpu_mj(self, uuid: str, t_ns: int) -> int | None:
        """A GPU's counter, in millijoules; None where it cannot be read now."""
        if uuid not in self._polled:
            return self._gpus[uuid].energy_mj()
        power_mw = self._gpus[uuid].power_mw()
        return None if power_mw is None else self._polled[uuid].add(power_mw, t_ns)

    def as_state(self) -> dict[str, Any]:
        """What a later process needs to go on with the counters of its own making; JSON."""
        read = {uuid: polled for uuid, polled in self._polled.items() if polled.at_ns is not None}
        return {
            "polled_mj": {uuid: polled.energy_mj for uuid, polled in read.items()},
            "polled_at_ns": {uuid: polled.at_ns for uuid, polled in read.items()},
            "stepped_us": self._busy.stepped_us,
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`as_state` of an earlier process of this node gave."""
        for uuid, energy_mj in state["polled_mj"].items():
            if uuid in self._polled:
                self._polled[uuid] = PolledEnergy(energy_mj, state["polled_at_ns"][uuid])
        self._busy.stepped_us = int(state["stepped_us"])

    @_silent_codecarbon()
    def hardware(self) -> Hardware:
        """What the counters mean on this node. Looks the CPU up in codecarbon's table."""
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
        """Returns what a probe finds; a part that it fails on is left out, which must not end a study."""
        try:
            with _whole_node():
                return probe()
        except Exception as error:  # whatever a driver, a missing program or a broken sysfs raises
            self._left_out[part] = f"{type(error).__name__}: {error}"
            return otherwise


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
