"""The node's meter as a Ray actor, pinned to its node, and how a session starts and ends it."""

import logging
import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.meter_start import MeterStart
from kdtune.energy.sensors.node import NodeSensors
from kdtune.execution.node_meter import NodeMeter, registry_of, state_of
from kdtune.execution.ray.trial_actors import ActorsOfTrials

#: Ray's namespace for kdtune's named actors; explicit, since trials of other pipelines have their own.
NAMESPACE = "kdtune"

#: A meter that dies is started again so often; a machine on which it dies more often has another fault.
MAX_RESTARTS = 100


class NodeMeterActor(NodeMeter):
    """A node's meter in a process of its own.

    If its process is killed, Ray starts it again and repeats the calls under way; it goes on where it left off.
    """

    def __init__(self, session_id: str, *, trials_start_workers: bool = False, counts_gpus: bool = True) -> None:
        registry = registry_of(session_id)
        registry.register()
        super().__init__(
            NodeSensors(None if counts_gpus else ()),
            registry,
            state_of(session_id, os.uname().nodename),
            ActorsOfTrials() if trials_start_workers else None,
        )


def actor_name(session_id: str, host: str) -> str:
    """The name under which a machine's meter is found."""
    return f"meter-{session_id}-{host}"


def start_meters(
    session_id: str, metered: Container[str] = (), *, trials_start_workers: bool = False, counts_gpus: bool = True
) -> dict[str, Any]:
    """Start the meter of every machine in the cluster, or find those that run, by host name.

    Several of Ray's nodes on one machine have one: its counters are the machine's, and would be counted twice.

    Args:
        session_id: Of the session that is metered.
        metered: Host names that are left out, since they have a meter.
        trials_start_workers: Whether trials may start actors and tasks of their own.
        counts_gpus: Whether GPUs are part of what the nodes use.
    """
    here = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]
    alive.sort(key=lambda node: node["NodeID"] != here)
    nodes: dict[str, str] = {}
    for node in alive:
        nodes.setdefault(node["NodeManagerHostname"], node["NodeID"])
    how = {"trials_start_workers": trials_start_workers, "counts_gpus": counts_gpus}
    left = {host: node_id for host, node_id in nodes.items() if host not in metered}
    return {host: _start_meter(session_id, host, node_id, how) for host, node_id in left.items()}


def begin_meters(meters: Mapping[str, Any], folder: Path, since: MeterStart | None) -> list[Any]:
    """Let meters begin to count into a ledger folder; returns what to wait for.

    Args:
        meters: By host name.
        folder: Gets a file a machine.
        since: From when on this machine is counted, with this process; other machines are counted from now on.
    """
    here, nodes = os.uname().nodename, sorted(meters) if len(meters) > 1 else []
    return [meter.begin.remote(str(folder), since if host == here else None, nodes) for host, meter in meters.items()]


def _start_meter(session_id: str, host: str, node_id: str, how: Mapping[str, bool]) -> Any:
    """It takes no core from the trials."""
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


def end_meters(meters: Iterable[Any]) -> None:
    """End meters on a Ray that goes on; one that has died already has said what it had to say."""
    for meter in meters:
        try:
            try:
                ray.get(meter.switch.remote(None))
            finally:
                ray.kill(meter)
        except (ray.exceptions.RayError, ValueError):  # ValueError: the Ray that it ran on is gone
            logging.getLogger(__name__).warning("an energy meter did not end well", exc_info=True)
