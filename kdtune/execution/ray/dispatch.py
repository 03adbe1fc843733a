"""Runs a job in a worker of the cluster and waits for it; tells what went wrong there."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from kdtune.errors import KdtuneError, MachineError, RayError
from kdtune.storage.files import cannot_be_written

#: Ray colours parts of its messages for terminals.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_job(
    session: Any,
    function: Any,
    *args: Any,
    poll: Callable[[], object] = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run a function in a worker with a trial's resources, and wait for it.

    Args:
        session: Ray, and what a trial gets.
        function: One of :mod:`kdtune.execution.jobs`.
        args: Its arguments.
        poll: Called about twice a second while it runs.
        environment: Variables of a worker that is started for this alone; None takes any worker.

    Raises:
        KdtuneError: The function raised one, or its worker or Ray died.
    """
    return run_jobs(session, function, [args], poll, environment)[0]


def run_jobs(
    session: Any,
    function: Any,
    calls: Sequence[tuple[Any, ...]],
    poll: Callable[[], object] = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> list[Any]:
    """Run a function several times, side by side as far as the cluster allows; see :func:`run_job`.

    Args:
        session: Ray, and what a trial gets.
        function: One of :mod:`kdtune.execution.jobs`.
        calls: The arguments of each.
        poll: Called about twice a second while they run.
        environment: Variables of workers that are started for these alone; None takes any workers.
    """
    given = session.resources
    options: dict[str, Any] = {"num_cpus": given.cpus, "num_gpus": given.gpus, "max_retries": 0}
    if environment is not None:  # no other worker has these, and this one is not kept
        options |= {"runtime_env": {"env_vars": dict(environment)}, "max_calls": 1}
    if not calls:
        return []
    session.wait_for_room(poll)
    remote = ray.remote(**options)(_without_warnings)
    left = references = [remote.remote(function, *args) for args in calls]
    try:
        while left:
            done, left = ray.wait(left, num_returns=len(left), timeout=0.5)
            session.check()
            session.meter_new_nodes()
            ray.get(done)  # a failure ends the others at once
            poll()
        return list(ray.get(references))
    except RayError:  # nobody is left to be told
        raise
    except ray.exceptions.RayError as error:
        _cancel(left)
        raise plainly(error) from None
    except BaseException:  # interrupted, or the poll found a reason to stop
        _cancel(left)
        raise


def plainly(error: BaseException) -> KdtuneError:
    """What went wrong in a worker, in the meter or on a disk, in one line and without Ray's wrapping."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, KdtuneError):
        return cause
    if isinstance(cause, OSError):
        return cannot_be_written(cause, "the disk")
    if isinstance(cause, ray.exceptions.RayError):
        return MachineError(f"a worker died: {last_line(cause)}")
    return KdtuneError(f"{type(cause).__name__}: {cause}")


def last_line(error: BaseException) -> str:
    """Returns the last line of an error's message that says something: Ray puts the cause below its own frames."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)


def _without_warnings(function: Callable[..., Any], *args: Any) -> Any:
    """Runs in the worker, whose warnings of other libraries' imports somebody's Ray would print in the driver."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def _cancel(references: Sequence[Any]) -> None:
    for reference in references:
        ray.cancel(reference, force=True)
