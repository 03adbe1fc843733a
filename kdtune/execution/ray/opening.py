"""Opens the executor that runs a study through Ray. Ray is not imported before its environment is set."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from kdtune.energy.logger_levels import level_of
from kdtune.execution.executor import Executor
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.ray.ray_environment import ray_environment
from kdtune.planning.resources import cluster_address
from kdtune.results.folder import StudyFolder


@contextmanager
def opened_ray(
    folder: StudyFolder,
    cpus: float,
    gpus: float | None,
    address: str | None,
    interrupts: Interrupts,
    tell: Callable[[str], None],
) -> Iterator[Executor]:
    """Start Ray, or join a cluster; see :class:`kdtune.execution.executor_choice.ExecutorChoice`."""
    with ray_environment(address):
        tell("starting Ray and the energy meter")
        # In a notebook without ipywidgets, Ray would print that they are missing when it is imported.
        with interrupts.delayed(), level_of("ray.widgets.util", logging.WARNING):
            from kdtune.execution.ray.ray_executor import RayExecutor

        executor = RayExecutor(folder, cpus, gpus, address, tell, interrupts)
        try:
            # Ray's start cannot be broken off cleanly; joining a cluster that does not answer can.
            with interrupts.delayed() if cluster_address(address) is None else nullcontext():
                executor.start()
            yield executor
        finally:
            executor.stop()
