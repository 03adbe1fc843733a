"""The Ray worker that calls a study, such as a trial of an outer Tuner: the study's trials cannot use what it holds."""

from collections import Counter
from collections.abc import Iterable, Mapping

import ray

from kdtune.errors import UsageError
from kdtune.planning.resources import Resources


def is_worker() -> bool:
    """Return whether this process is a worker of Ray, which runs a task or an actor, rather than a driver."""
    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def held_resources() -> dict[str, float]:
    """Return the resources of the task, the actor or the placement group that this process runs; empty in a driver."""
    if not is_worker():
        return {}
    group = ray.util.get_current_placement_group()
    if group is None:
        return dict(ray.get_runtime_context().get_assigned_resources())
    held = Counter[str]()
    for bundle in group.bundle_specs:
        held.update(bundle)
    return dict(held)


def check_room(needed: Resources, nodes: Iterable[Mapping[str, float]]) -> None:
    """Refuse a study whose trials would wait forever for what the process that calls it holds.

    Args:
        needed: Resources of each trial.
        nodes: Resources of each node of the cluster.

    Raises:
        UsageError: The cluster has too little beside this task, actor or placement group.
    """
    held, has = held_resources(), Counter[str]()
    for node in nodes:
        has.update(node)
    for name, amount in (("CPU", needed.cpus), ("GPU", needed.gpus)):
        left = round(has[name] - held.get(name, 0), 4)  # in Ray's units; with plain floats, 2 - 1.6 is less than 0.4
        if round(amount, 4) > left and held.get(name):
            raise UsageError(
                f"this study runs in a Ray task, actor or placement group that holds {held[name]:g} of the "
                f"{has[name]:g} {name}s of the cluster, and its trials need {needed} beside it; start the task or "
                "actor with num_cpus=0, or run the study with inline=True"
            )
