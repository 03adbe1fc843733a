"""Readings of a node's counters, each agreed with the meters of other studies that run on the node."""

import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kdtune.energy.interval_shares import held_milli
from kdtune.energy.ledger import Record, Window, write
from kdtune.energy.neighbours import MeterRegistry, Neighbours
from kdtune.energy.sensors.node import Counters, NodeSensors


class SharedCounters:
    """Reads one study's counters on a node, and announces what the study holds there."""

    def __init__(self, sensors: NodeSensors, registry: MeterRegistry) -> None:
        """Prepare; nothing is read yet.

        Args:
            sensors: The node's.
            registry: Of the other studies' meters, as this study joined it.
        """
        self._sensors = sensors
        self._registry = registry
        self._announced: tuple[int, dict[str, int]] | None = None

    def read(
        self, last: Record | None, windows: Iterable[Window], *, leaving: bool = False
    ) -> tuple[Counters, tuple[Neighbours, ...]]:
        """Read the counters, and what other studies have held since the last record.

        What this study holds is announced whenever it differs from what was announced last: a window that could not be
        recorded, because the disk is full, does not stay announced for long.

        Args:
            last: The last record; None before the first one.
            windows: Those that are open from now on.
            leaving: This is the last reading.
        """
        held = held_milli(list(windows))
        with self._registry.locked(last.counters.t_ns if last else 0) as told:
            counters = self._sensors.read()
            if leaving:
                self._registry.deregister(counters.t_ns)
            elif held != self._announced:
                self._announced = held if self._registry.announce(counters.t_ns, *held) else None
        return counters, tuple(told)


def append_stop(
    path: Path, sensors: NodeSensors, study_us_since_last: int, last: Record, registry: MeterRegistry
) -> None:
    """End a ledger after its meter has gone (Ray is shut down): the counters are absolute, so nothing is lost.

    Args:
        path: The ledger file.
        sensors: Of the same node.
        study_us_since_last: CPU time of the study's processes since ``last``, in microseconds.
        last: The ledger's last record.
        registry: The meter's, as this process joined it.
    """
    counters, neighbours = SharedCounters(sensors, registry).read(last, (), leaving=True)
    counters, study_us = without_polled(counters, sensors), last.study_us + study_us_since_last
    write(path, Record("stop", uuid.uuid4().hex[:12], 0, counters, study_us, neighbours=neighbours))


def without_polled(counters: Counters, sensors: NodeSensors) -> Counters:
    """Leave out what is polled: such a counter is of its reader's own making and means nothing to another one."""
    return replace(counters, gpu_mj={u: mj for u, mj in counters.gpu_mj.items() if u not in sensors.polled})
