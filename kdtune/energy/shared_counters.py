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
        """Prepare. Nothing is read yet.

        Args:
            sensors: The node's sensors.
            registry: Registry of the meters on the node, in which this study's meter is registered.
        """
        self._sensors = sensors
        self._registry = registry
        self._announced: tuple[int, dict[str, int]] | None = None

    def read(
        self, last: Record | None, windows: Iterable[Window], *, leaving: bool = False
    ) -> tuple[Counters, tuple[Neighbours, ...]]:
        """Read the counters, and what other studies have held since the last record.

        What this study holds is announced whenever it differs from the last announcement. So a window that could not
        be recorded, for example because the disk is full, is withdrawn with the next reading.

        Args:
            last: The last record; None before the first one.
            windows: Windows that are open from now on.
            leaving: Whether this is the last reading.

        Returns:
            The counters, and the states of the other studies, oldest first.
        """
        held = held_milli(list(windows))
        with self._registry.locked(last.counters.t_ns if last else 0) as neighbours:
            counters = self._sensors.read()
            if leaving:
                self._registry.deregister(counters.t_ns)
            elif held != self._announced:
                self._announced = held if self._registry.announce(counters.t_ns, *held) else None
        return counters, tuple(neighbours)


def append_stop(
    path: Path, sensors: NodeSensors, study_us_since_last: int, last: Record, registry: MeterRegistry
) -> None:
    """Append the last record to a ledger whose meter has ended with Ray.

    Since the counters are absolute, the record covers the time since the meter's last record.

    Args:
        path: The ledger file.
        sensors: Sensors of the same node.
        study_us_since_last: CPU time of the study's processes since ``last``, in microseconds.
        last: The ledger's last record.
        registry: Registry of the meters on the node, in which this process has registered with the meter's id.
    """
    counters, neighbours = SharedCounters(sensors, registry).read(last, (), leaving=True)
    counters, study_us = without_polled(counters, sensors), last.study_us + study_us_since_last
    write(path, Record("stop", uuid.uuid4().hex[:12], 0, counters, study_us, neighbours=neighbours))


def without_polled(counters: Counters, sensors: NodeSensors) -> Counters:
    """Return counters without those of polled GPUs, which each reader computes for itself.

    Args:
        counters: Counters that another reader has read.
        sensors: This reader's sensors.
    """
    return replace(counters, gpu_mj={u: mj for u, mj in counters.gpu_mj.items() if u not in sensors.polled})
