"""Starts Ray on this machine, or joins a cluster that is already running."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

import kdtune
from kdtune.errors import RayError
from kdtune.execution.ray.ray_environment import temporary_folder
from kdtune.execution.ray.start_signals import sigterm_handler_kept
from kdtune.planning.usable_cores import usable_cores

#: Trials read their data from memory-mapped files; Ray's object store holds only small messages.
_OBJECT_STORE_BYTES = 128 * 1024 * 1024


def start_ray(address: str | None = None) -> None:
    """Start Ray with the cores that this process may use, or join a cluster.

    Args:
        address: Address of a running Ray cluster; None starts Ray on this machine.

    Raises:
        RayError: Ray does not start, or the address does not answer.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        options["address"] = address
        where = f"at {address}"
    else:
        # "local", since Ray would otherwise join the cluster that was started last on this machine.
        options |= {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        folder = temporary_folder()
        options |= {"num_cpus": usable_cores(), "_temp_dir": folder, "job_config": _job()}
        if not os.access("/dev/shm", os.W_OK):  # the default place of Ray's object store
            options["_plasma_directory"] = str(Path(folder).parent)
        where = "on this machine"
        _require_loopback()
    try:
        with sigterm_handler_kept(), nullcontext() if address else only_needed_daemons():
            ray.init(**options)
    except Exception as error:
        raise RayError(f"Ray did not start {where}: {_with_cause(error)}") from None


@contextmanager
def only_needed_daemons() -> Iterator[None]:
    """Leave out daemons of a new Ray that a study does not use and that ``ray.init`` has no options for.

    These are the monitors of the logs and of the autoscaler, and the dashboard's server, which Ray starts even without
    a dashboard. Each takes most of a second of CPU time and 80 MB of memory. Names of Ray that are not public decide
    this; a version of Ray without them starts all daemons.
    """
    private: Any = ray._private
    try:
        parameters, start_server = private.parameter.RayParams, private.services.start_api_server
    except AttributeError:
        yield
        return
    private.parameter.RayParams = partial(parameters, include_log_monitor=False, no_monitor=True)
    private.services.start_api_server = lambda *_, **__: (None, None)  # as if it had failed, which Ray tolerates
    try:
        yield
    finally:
        private.parameter.RayParams, private.services.start_api_server = parameters, start_server


def _require_loopback() -> None:
    """Make sure that processes of this machine can reach each other; otherwise Ray waits for minutes without a message.

    Raises:
        RayError: They cannot.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        raise RayError(
            f"Ray's processes cannot reach each other on 127.0.0.1 ({error.strerror or error}); bring the loopback "
            "interface up: ip link set lo up"
        ) from None


def _job() -> JobConfig:
    """Return a job whose workers do not import from the working folder, where a script may have the name of a module.

    Ray omits the folder for jobs of its client. It is added again if kdtune itself is in this folder.
    """
    package = Path(kdtune.__file__).parents[1]
    return JobConfig(_client_job=True, _py_driver_sys_path=[str(package)] if package == Path.cwd() else [])


def _with_cause(error: BaseException) -> str:
    """Return an error's message with the last line of its innermost cause, where Ray puts hints (tokens, versions)."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return str(error) if cause is error or not lines else f"{error}: {lines[-1].strip()}"
