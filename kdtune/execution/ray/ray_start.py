"""Starts Ray on this machine, or joins a cluster that is already running."""

import logging
import os
import socket
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
        address: Of a running Ray cluster; None starts Ray here.

    Raises:
        RayError: Ray does not start, or the address does not answer.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        options["address"] = address
        where = f"at {address}"
    else:
        # "local", since Ray would otherwise join whichever cluster was started last on this machine.
        options |= {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        folder = temporary_folder()
        options |= {"num_cpus": usable_cores(), "_temp_dir": folder, "job_config": _job()}
        if not os.access("/dev/shm", os.W_OK):  # where Ray keeps its object store otherwise
            options["_plasma_directory"] = str(Path(folder).parent)
        where = "on this machine"
        _require_loopback()
    try:
        with sigterm_handler_kept():
            ray.init(**options)
    except Exception as error:
        raise RayError(f"Ray did not start {where}: {_with_cause(error)}") from None


def _require_loopback() -> None:
    """Make sure that processes of this machine can reach each other: Ray's would wait for minutes without a word.

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
    """Workers do not search the working folder for modules: a script there may have the name of one.

    Ray leaves the folder out for jobs of its client. A kdtune that is itself found there stays findable.
    """
    package = Path(kdtune.__file__).parents[1]
    return JobConfig(_client_job=True, _py_driver_sys_path=[str(package)] if package == Path.cwd() else [])


def _with_cause(error: BaseException) -> str:
    """An error's message with the last line of its innermost cause, where Ray puts its hints (tokens, versions)."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return str(error) if cause is error or not lines else f"{error}: {lines[-1].strip()}"
