"""Measurement of the time and energy of this process's own work, with the node's energy counters if it has any.

It serves estimates only. What a study is charged is measured by :mod:`kdtune.energy.meter`.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from kdtune.energy.intervals import cpu_uj, gpu_uj
from kdtune.energy.ledger import Record
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.forecast.strategy_estimate import WorkUsage, modelled_cpu_uj, sum_or_none

#: Key of the CPU among the UUIDs of GPUs.
CPU = "cpu"


@dataclass(frozen=True)
class Lap:
    """Measurements of a period of time.

    Attributes:
        wall_s: Elapsed seconds.
        cpu_s: CPU seconds of this process.
        counted_uj: Energy of each device that has a counter, used by any process, in microjoules.
    """

    wall_s: float
    cpu_s: float
    counted_uj: dict[str, int] = field(default_factory=dict)


class Stopwatch:
    """A stopwatch that measures consecutive laps. The first begins when it is created."""

    def __init__(self, hardware: Hardware, sensors: NodeSensors | None = None) -> None:
        """Start the first lap.

        Args:
            hardware: This node's hardware.
            sensors: This node's sensors; by default they are created if the hardware has counters.
        """
        self.hardware = hardware
        self._devices = [*([CPU] if hardware.cpu_quality == "counter" else []), *hardware.gpus]
        # All GPUs of the node are read, as the meter does, although Ray shows a worker only the GPUs that it may use.
        self._sensors = (sensors or NodeSensors(hardware.gpus)) if self._devices else None
        self._idle_uw: dict[str, float] = {}
        self._last = self._reading()

    @property
    def has_counters(self) -> bool:
        """Whether the node has energy counters."""
        return bool(self._devices)

    def lap(self) -> Lap:
        """End the current lap, start the next one, and return the measurements."""
        (since_s, since_cpu_s, before), self._last = self._last, self._reading()
        now_s, cpu_s, after = self._last
        counted = {device: self._used_uj(device, before, after) for device in self._devices}
        return Lap(now_s - since_s, cpu_s - since_cpu_s, counted)

    def _reading(self) -> tuple[float, float, Record | None]:
        """Return the wall and CPU clocks in seconds, and a record with the counters (None without counters)."""
        record = Record("sample", "", 0, self._sensors.read(), 0) if self._sensors else None
        return time.perf_counter(), time.process_time(), record

    def measure_idle_uw(self, seconds: float) -> float | None:
        """Sleep, and measure the power of the devices that have counters meanwhile.

        It is subtracted by :meth:`usage` from then on.

        Args:
            seconds: Time to sleep; without counters, this method returns at once.

        Returns:
            Power of all counted devices in microwatts; 0 without counters, None if a counter did not move.
        """
        if not self.has_counters:
            return 0.0
        self.lap()
        time.sleep(seconds)
        idle = self.lap()
        self._idle_uw = {device: used / idle.wall_s for device, used in idle.counted_uj.items()}
        return sum(self._idle_uw.values()) if all(idle.counted_uj.values()) else None

    def spare_gpu_uw(self, gpus: Collection[str]) -> float:
        """Return the mean idle power of the GPUs that some work does not use, in microwatts; 0 if it uses all.

        Args:
            gpus: UUIDs of the GPUs that the work uses.
        """
        others = [power for device, power in self._idle_uw.items() if device != CPU and device not in gpus]
        return sum(others) / len(others) if others else 0.0

    def usage(self, lap: Lap, gpus: Collection[str] = ()) -> WorkUsage:
        """Return time and energy of this process's work in a lap, without the energy that idle devices use.

        Args:
            lap: The lap.
            gpus: UUIDs of the GPUs that the work used.

        Returns:
            The usage; its energy is None if a counter did not move because the lap was too short.
        """
        is_counted = CPU in self._devices
        parts = [self._active_uj(lap, CPU) if is_counted else modelled_cpu_uj(self.hardware, lap.cpu_s)]
        parts += [self._active_uj(lap, uuid) for uuid in gpus]
        return WorkUsage(lap.wall_s, lap.cpu_s, sum_or_none(*parts))

    def _active_uj(self, lap: Lap, device: str) -> float | None:
        """Return the energy of a device above its idle energy, in microjoules; None if its counter did not move."""
        if not lap.counted_uj.get(device):
            return None
        return max(0.0, lap.counted_uj[device] - self._idle_uw.get(device, 0.0) * lap.wall_s)

    def _used_uj(self, device: str, before: Record | None, after: Record | None) -> int:
        assert before is not None and after is not None
        return cpu_uj(self.hardware, before, after) if device == CPU else gpu_uj(before, after, device)
