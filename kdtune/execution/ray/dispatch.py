"""Runs jobs in workers of the cluster, and converts their errors."""

import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import ray

from kdtune.errors import KdtuneError, MachineError, RayError
from kdtune.execution import error_conversion
from kdtune.execution.ray.calling_worker import is_worker
from kdtune.execution.ray.meter_link import meter_reached
from kdtune.execution.shared_folders import SharedFolders
from kdtune.planning.resources import Resources, cluster_nodes

#: Ray colours parts of its messages for terminals.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: Keeps a task out of a placement group that captures the tasks of the process which runs the study, such as that of an
#: outer trial of Tune: its resources may be in use by this very process, and the task would wait for them forever. The
#: trials of the study are in placement groups of their own anyway.
OUTSIDE: Final = "DEFAULT"

#: Number of times that jobs begin again because their machine died.
MAX_NODE_DEATHS = 3

#: Seconds within which work that has just ended frees its cores; so short a wait is not recorded.
MOMENT_S = 2.0

#: Seconds of waiting for free cores after which a message is shown.
MESSAGE_AFTER_S = 5.0


def run_jobs(
    executor: Any,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    poll: Callable[[], object],
    environment: Mapping[str, str] | None = None,
) -> list[Any]:
    """Run a function several times, in parallel as far as the cluster allows; see :meth:`.Executor.run_jobs`."""
    options = _options_of(executor.resources)
    if environment is not None:  # a new worker with these variables, which ends after the job
        options |= {"runtime_env": {"env_vars": dict(environment)}, "max_calls": 1}
    if not calls:
        return []
    wait_for_room(executor, poll)
    remote = ray.remote(**options)(in_worker)

    def begun(index: int) -> Any:
        return remote.remote(executor.id, executor.shared, function, *calls[index])

    running, results, deaths = {begun(index): index for index in range(len(calls))}, dict[int, Any](), 0
    try:
        while running:
            done, _ = ray.wait(list(running), num_returns=len(running), timeout=0.5)
            executor.check()
            executor.keep_up()
            for reference in done:  # a failed job ends the other jobs at once
                index = running.pop(reference)
                try:
                    results[index] = ray.get(reference)
                except ray.exceptions.NodeDiedError as error:
                    deaths += 1
                    if deaths > MAX_NODE_DEATHS:
                        raise
                    executor.tell(f"a machine died during a job, which begins again elsewhere ({last_line(error)})")
                    running[begun(index)] = index
            poll()
        return [results[index] for index in range(len(calls))]
    except RayError:  # Ray is dead, so no job can be cancelled
        raise
    except BaseException:  # a job failed, or the poll found a reason to stop
        _cancel(list(running))
        raise


def wait_for_room(executor: Any, poll: Callable[[], object]) -> None:
    """Wait until the cluster has free resources for a trial, and show a message if that takes long.

    No strategy is charged for the wait.

    Args:
        executor: The executor.
        poll: Called about twice a second during the wait.

    Raises:
        UsageError: The cluster no longer has the resources that a trial needs.
    """
    needed, free = executor.resources, ray.available_resources()
    if free.get("CPU", 0) >= needed.cpus and free.get("GPU", 0) >= needed.gpus:
        return
    probe = ray.remote(**_options_of(needed))(_occupy_for_a_moment).remote()
    message_at_s: float | None = time.monotonic() + MESSAGE_AFTER_S
    try:
        if ray.wait([probe], timeout=MOMENT_S)[0]:
            return
        with executor.charging(executor.waiting):
            while not ray.wait([probe], timeout=0.5)[0]:
                executor.check()
                executor.keep_up()
                poll()
                if message_at_s is not None and time.monotonic() >= message_at_s:
                    needed.check_fit(cluster_nodes())
                    words = f"waiting for {needed}: other work uses the cluster's resources"
                    executor.tell(words)
                    if is_worker():  # where nobody may see what a watcher shows
                        logging.getLogger(__name__).warning("a study is %s", words)
                    message_at_s = None
    except BaseException:
        ray.cancel(probe, force=True)
        raise


def _options_of(resources: Resources) -> dict[str, Any]:
    """Return the options of a Ray task that has the resources of a trial."""
    others = dict(resources.for_ray)
    return {
        "num_cpus": others.pop("CPU"),
        "num_gpus": others.pop("GPU"),
        "resources": others,
        "max_retries": 0,
        "scheduling_strategy": OUTSIDE,
    }


def _occupy_for_a_moment() -> None:
    """Do nothing; runs in a worker as soon as the cluster has free resources for a trial."""


@contextmanager
def ray_errors_converted() -> Iterator[None]:
    """Turn Ray's exceptions into kdtune's.

    Raises:
        KdtuneError: The body raised an exception of Ray.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        raise as_kdtune_error(error) from None


def as_kdtune_error(error: BaseException) -> KdtuneError:
    """Return the error of a worker, a meter or a disk in one line and without the frames of Ray."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, ray.exceptions.RayError):
        return MachineError(f"a worker died: {last_line(cause)}")
    return error_conversion.as_kdtune_error(cause)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message that is not empty: Ray puts the cause below its own frames."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)


def in_worker(session_id: str, shared: SharedFolders | None, function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in the worker, without warnings from imports, which an existing Ray would print in the driver.

    Args:
        session_id: Identifier of the metered session.
        shared: Folders that the worker's machine shares with the driver; None on the driver's own Ray.
        function: The function.
        *args: Its arguments.

    Raises:
        MachineError: The worker's machine does not share the folders.
    """
    with warnings.catch_warnings(), shared.used() if shared else nullcontext(), meter_reached(session_id):
        warnings.simplefilter("ignore")
        return function(*args)


def _cancel(references: Sequence[Any]) -> None:
    for reference in references:
        ray.cancel(reference, force=True)
