"""The moment from which a meter counts, when that is earlier than the meter itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kdtune.energy.processes import CpuScope, Identity, snapshot
from kdtune.energy.sensors.node import Counters


@dataclass(frozen=True)
class Start:
    """What was read before there was a meter, so that the meter can count from then on.

    A process that has ended by the time the meter begins may have passed its CPU time on to its parent or not, so a
    sum of CPU times would not do: the meter needs to know which processes there were and what each had used.

    Attributes:
        counters: The node's counters.
        roots: The study's processes at that moment.
        scope: State of the :class:`~kdtune.energy.processes.CpuScope` of ``roots``, which stands at 0.
    """

    counters: Counters
    roots: tuple[Identity, ...]
    scope: dict[str, Any]

    @classmethod
    def of(cls, counters: Counters, roots: Iterable[Identity]) -> "Start":
        """Take note of processes, to be called right after the counters were read.

        Args:
            counters: The node's counters, read just now.
            roots: The processes that, with all they have started and will start, are the study's.
        """
        scope = CpuScope(roots, snapshot())
        return cls(counters, tuple(scope.roots), scope.as_state())
