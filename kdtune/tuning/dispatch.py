"""Runs a job in a worker of the cluster and waits for it."""

from collections.abc import Callable, Sequence
from typing import Any

import ray

from kdtune.errors import KdtuneError


def run_job(resources: Any, function: Any, *args: Any, poll: Callable[[], object] = lambda: None) -> Any:
    """Run a function in a worker with a trial's resources, and wait for it.

    Args:
        resources: What it gets.
        function: One of :mod:`kdtune.tuning.jobs`.
        args: Its arguments.
        poll: Called about twice a second while it runs.

    Raises:
        KdtuneError: The function raised one, or its worker died.
    """
    return run_jobs(resources, function, [args], poll)[0]


def run_jobs(
    resources: Any, function: Any, calls: Sequence[tuple[Any, ...]], poll: Callable[[], object] = lambda: None
) -> list[Any]:
    """Run a function several times, side by side as far as the cluster allows; see :func:`run_job`.

    Args:
        resources: What each gets.
        function: One of :mod:`kdtune.tuning.jobs`.
        calls: The arguments of each.
        poll: Called about twice a second while they run.
    """
    remote = ray.remote(function).options(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)
    left = references = [remote.remote(*args) for args in calls]
    try:
        while left:
            done, left = ray.wait(left, num_returns=len(left), timeout=0.5)
            ray.get(done)  # a failure ends the others at once
            poll()
        return list(ray.get(references))
    except ray.exceptions.RayTaskError as error:
        _cancel(left)
        cause = error.cause
        raise (cause if isinstance(cause, KdtuneError) else KdtuneError(f"{type(cause).__name__}: {cause}")) from None
    except ray.exceptions.RayError as error:
        _cancel(left)
        raise KdtuneError(f"a worker died: {str(error).splitlines()[0]}") from None
    except BaseException:  # interrupted, or the poll found a reason to stop
        _cancel(left)
        raise


def _cancel(references: Sequence[Any]) -> None:
    for reference in references:
        ray.cancel(reference, force=True)
