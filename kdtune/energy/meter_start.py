"""The moment from which a meter counts, if that is before the meter exists.

A command is charged from its beginning, but its meter starts later, for example after Ray. So the command takes a
snapshot first and passes it to the meter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kdtune.energy.processes import CpuScope, Identity, snapshot
from kdtune.energy.sensors.node import Counters


@dataclass(frozen=True)
class MeterStart:
    """A snapshot taken before the meter exists, from which the meter counts.

    A sum of CPU times is not enough: when a process ends before the meter starts, its CPU time may or may not be passed
    on to its parent. So the snapshot contains each process and the CPU time that it had used.

    Attributes:
        counters: The node's counters at that moment.
        roots: The study's processes at that moment, of which all others are descendants.
        scope: State of the :class:`~kdtune.energy.processes.CpuScope` of ``roots``, whose counter is 0.
    """

    counters: Counters
    roots: tuple[Identity, ...]
    scope: dict[str, Any]

    @classmethod
    def of(cls, counters: Counters, roots: Iterable[Identity]) -> "MeterStart":
        """Take the snapshot. Call this right after reading the counters.

        Args:
            counters: The node's counters, just read.
            roots: The processes that belong to the study together with all their descendants.
        """
        scope = CpuScope(roots, snapshot())
        return cls(counters, tuple(scope.roots), scope.as_state())
