"""Runs jobs in workers of the cluster, and converts their errors."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from kdtune.errors import KdtuneError, MachineError, RayError
from kdtune.execution import error_conversion
from kdtune.execution.ray.meter_link import meter_reached

#: Ray colours parts of its messages for terminals.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_jobs(
    executor: Any,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    poll: Callable[[], object],
    environment: Mapping[str, str] | None = None,
) -> list[Any]:
    """Run a function several times, in parallel as far as the cluster allows; see :meth:`.Executor.run_jobs`."""
    given = executor.resources
    options: dict[str, Any] = {"num_cpus": given.cpus, "num_gpus": given.gpus, "max_retries": 0}
    if environment is not None:  # a new worker with these variables, which ends after the job
        options |= {"runtime_env": {"env_vars": dict(environment)}, "max_calls": 1}
    if not calls:
        return []
    executor.wait_for_room(poll)
    remote = ray.remote(**options)(in_worker)
    left = references = [remote.remote(executor.id, function, *args) for args in calls]
    try:
        while left:
            done, left = ray.wait(left, num_returns=len(left), timeout=0.5)
            executor.check()
            executor.meter_new_nodes()
            ray.get(done)  # a failed job ends the other jobs at once
            poll()
        return list(ray.get(references))
    except RayError:  # Ray is dead, so no job can be cancelled
        raise
    except BaseException:  # a job failed, or the poll found a reason to stop
        _cancel(left)
        raise


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


def in_worker(session_id: str, function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in the worker, without warnings from imports, which an existing Ray would print in the driver."""
    with warnings.catch_warnings(), meter_reached(session_id):
        warnings.simplefilter("ignore")
        return function(*args)


def _cancel(references: Sequence[Any]) -> None:
    for reference in references:
        ray.cancel(reference, force=True)
