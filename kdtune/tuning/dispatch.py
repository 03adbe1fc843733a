"""Runs a job in a worker of the cluster and waits for it."""

from typing import Any

import ray

from kdtune.errors import KdtuneError


def run_job(resources: Any, function: Any, *args: Any, poll: Any = None) -> Any:
    """Run a function in a worker with a trial's resources, and wait for it.

    Args:
        resources: What it gets.
        function: One of :mod:`kdtune.tuning.jobs`.
        args: Its arguments.
        poll: Called about once a second while it runs.

    Raises:
        KdtuneError: The function raised one, or its worker died.
    """
    reference = (
        ray.remote(function).options(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0).remote(*args)
    )
    try:
        while not ray.wait([reference], timeout=0.5)[0]:
            if poll:
                poll()
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, KdtuneError) else KdtuneError(f"{type(cause).__name__}: {cause}")) from None
    except ray.exceptions.RayError as error:
        raise KdtuneError(f"a worker died: {str(error).splitlines()[0]}") from None
    except BaseException:  # interrupted, or the poll found a reason to stop
        ray.cancel(reference, force=True)
        raise
