"""Meter of a node as a Ray actor on that node, with functions that start and end it."""

import logging
import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.meter_start import MeterStart
from kdtune.energy.meter_state import drop_stale
from kdtune.energy.neighbours import shared_folder
from kdtune.energy.processes import snapshot
from kdtune.energy.sensors.node import NodeSensors
from kdtune.execution.ledger_outbox import LedgerOutbox, drop_abandoned
from kdtune.execution.node_meter import NodeMeter, registry_of, state_of
from kdtune.execution.ray.trial_actors import ActorsOfTrials
from kdtune.execution.shared_folders import SharedFolders

#: Namespace of Ray for the named actors of kdtune; explicit, since trials in other pipelines use other namespaces.
NAMESPACE = "kdtune"

#: Number of times a meter that died is restarted; a machine on which it dies more often has another fault.
MAX_RESTARTS = 100


class NodeMeterActor(NodeMeter):
    """Meter of a node in its own process.

    If its process is killed, Ray restarts it and repeats the current calls; it continues where it stopped.
    """

    def __init__(
        self,
        session_id: str,
        *,
        trials_start_workers: bool = False,
        counts_gpus: bool = True,
        is_elsewhere: bool = False,
    ) -> None:
        """Start or continue.

        Args:
            session_id: Identifier of the metered session.
            trials_start_workers: Whether trials may start actors and tasks.
            counts_gpus: Whether the energy of GPUs is counted.
            is_elsewhere: Whether the driver runs on another machine, so that it has to copy the ledgers from here.
        """
        if is_elsewhere:  # on its own machine, the driver has done this
            drop_stale(shared_folder(), snapshot())
            drop_abandoned()
        registry = registry_of(session_id)
        registry.register()
        super().__init__(
            NodeSensors(None if counts_gpus else ()),
            registry,
            state_of(session_id, os.uname().nodename),
            ActorsOfTrials() if trials_start_workers else None,
            LedgerOutbox(session_id) if is_elsewhere else None,
        )

    def missing_folders(self, shared: SharedFolders) -> list[str]:
        """Return what is wrong with the folders that this machine has to share with the driver."""
        return shared.faults()


def actor_name(session_id: str, host: str) -> str:
    """Return the name of a machine's meter."""
    return f"meter-{session_id}-{host}"


def start_meters(
    session_id: str, metered: Container[str] = (), *, trials_start_workers: bool = False, counts_gpus: bool = True
) -> dict[str, Any]:
    """Start or find the meter of every machine in the cluster, and return the meters by host name.

    Several nodes of Ray on one machine share a meter, since the counters of the machine would be counted twice.

    Args:
        session_id: Identifier of the metered session.
        metered: Host names to skip, since they have a meter.
        trials_start_workers: Whether trials may start actors and tasks.
        counts_gpus: Whether the energy of GPUs is counted.
    """
    driver = os.uname().nodename
    here = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]
    alive.sort(key=lambda node: node["NodeID"] != here)
    nodes: dict[str, str] = {}
    for node in alive:
        nodes.setdefault(node["NodeManagerHostname"], node["NodeID"])
    how = {"trials_start_workers": trials_start_workers, "counts_gpus": counts_gpus}
    left = {host: node_id for host, node_id in nodes.items() if host not in metered}
    return {
        host: _start_meter(session_id, host, node_id, how | {"is_elsewhere": host != driver})
        for host, node_id in left.items()
    }


def begin_meters(meters: Mapping[str, Any], folder: Path, since: MeterStart | None) -> list[Any]:
    """Make meters count into a ledger folder, and return references to wait for.

    Args:
        meters: Meters by host name.
        folder: Ledger folder, with one file for each machine.
        since: Start of metering on this machine, with this process; other machines are counted from now on.
    """
    here, nodes = os.uname().nodename, sorted(meters) if len(meters) > 1 else []
    return [meter.begin.remote(str(folder), since if host == here else None, nodes) for host, meter in meters.items()]


def _start_meter(session_id: str, host: str, node_id: str, how: Mapping[str, bool]) -> Any:
    """Start or find the meter of a node, which uses no core of the trials."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return (
        ray.remote(NodeMeterActor)
        .options(
            num_cpus=0,
            name=actor_name(session_id, host),
            namespace=NAMESPACE,
            get_if_exists=True,
            max_restarts=MAX_RESTARTS,
            max_task_retries=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        .remote(session_id, **how)
    )


def end_meters(meters: Mapping[str, Any], finish: Callable[[str, Any], None]) -> None:
    """End meters on a Ray that keeps running; the ledger of a dead meter ends with its last record.

    Args:
        meters: Meters by host name.
        finish: Called with each host and meter after its last record.
    """
    for host, meter in meters.items():
        try:
            try:
                ray.get(meter.switch.remote(None))
                finish(host, meter)
            finally:
                ray.kill(meter)
        except (ray.exceptions.RayError, ValueError, OSError):  # ValueError: its Ray has ended; OSError: a full disk
            logging.getLogger(__name__).warning("an energy meter did not end cleanly", exc_info=True)
