"""What a stretch of this process's own work takes, by the node's counters where it has any.

For looking ahead only: what is charged is counted by the meter.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from kdtune.energy.intervals import cpu_uj, gpu_uj
from kdtune.energy.ledger import Record
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.forecast.strategy_estimate import Usage, add, modelled_cpu_uj

#: Stands for the CPU beside the UUIDs of GPUs.
CPU = "cpu"


@dataclass(frozen=True)
class Stretch:
    """Some time, as it was measured.

    Attributes:
        wall_s: Seconds that passed.
        cpu_s: CPU seconds of this process.
        counted_uj: Energy of each device that has a counter, whoever used it, in microjoules.
    """

    wall_s: float
    cpu_s: float
    counted_uj: dict[str, int] = field(default_factory=dict)


class Stopwatch:
    """Measures from one lap to the next, from its making on."""

    def __init__(self, hardware: Hardware, sensors: NodeSensors | None = None) -> None:
        """Start.

        Args:
            hardware: Of this node.
            sensors: Of this node; made here where the hardware has counters.
        """
        self.hardware = hardware
        self._devices = [*([CPU] if hardware.cpu_quality == "counter" else []), *hardware.gpus]
        # All of the node's GPUs are read, as the meter reads them; Ray shows a worker only those that it may use.
        self._sensors = (sensors or NodeSensors(hardware.gpus)) if self._devices else None
        self._idle_uw: dict[str, float] = {}
        self._last = self._now()

    @property
    def counts(self) -> bool:
        """Whether there are any counters to read."""
        return bool(self._devices)

    def lap(self) -> Stretch:
        """What happened since the last lap."""
        (since_s, since_cpu_s, before), self._last = self._last, self._now()
        now_s, cpu_s, after = self._last
        counted = {device: self._used_uj(device, before, after) for device in self._devices}
        return Stretch(now_s - since_s, cpu_s - since_cpu_s, counted)

    def _now(self) -> tuple[float, float, Record | None]:
        record = Record("sample", "", 0, self._sensors.read(), 0) if self._sensors else None
        return time.perf_counter(), time.process_time(), record

    def rest(self, seconds: float) -> float | None:
        """Do nothing for a while, to see what the counted devices draw without work.

        Returns:
            Their power in microwatts, 0 where nothing is counted; None where a counter did not move.
        """
        if not self.counts:
            return 0.0
        self.lap()
        time.sleep(seconds)
        idle = self.lap()
        self._idle_uw = {device: used / idle.wall_s for device, used in idle.counted_uj.items()}
        return sum(self._idle_uw.values()) if all(idle.counted_uj.values()) else None

    def spare_gpu_uw(self, gpus: Collection[str]) -> float:
        """What one of the other GPUs drew at rest, the mean of them, in microwatts; 0 where there are none.

        Args:
            gpus: UUIDs of the GPUs that the work uses.
        """
        others = [power for device, power in self._idle_uw.items() if device != CPU and device not in gpus]
        return sum(others) / len(others) if others else 0.0

    def usage(self, stretch: Stretch, gpus: Collection[str] = ()) -> Usage:
        """What one's own work took beyond what was drawn at rest.

        Args:
            stretch: When it was done.
            gpus: UUIDs of the GPUs that it used.

        Returns:
            Its energy is None where a counter did not move: the stretch was too short to tell.
        """
        if CPU in self._devices:
            parts = [self._active_uj(stretch, CPU)]
        else:
            parts = [modelled_cpu_uj(self.hardware, stretch.cpu_s)]
        parts += [self._active_uj(stretch, uuid) for uuid in gpus]
        return Usage(stretch.wall_s, stretch.cpu_s, add(*parts))

    def _active_uj(self, stretch: Stretch, device: str) -> float | None:
        if not stretch.counted_uj.get(device):
            return None
        return max(0.0, stretch.counted_uj[device] - self._idle_uw.get(device, 0.0) * stretch.wall_s)

    def _used_uj(self, device: str, before: Record | None, after: Record | None) -> int:
        assert before is not None and after is not None
        return cpu_uj(self.hardware, before, after) if device == CPU else gpu_uj(before, after, device)
