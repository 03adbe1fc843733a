"""Ray's workers, and the agents of its daemons, forked from a server that has imported torch and kdtune once.

Ray and its daemons are real, and so is the code of a worker. Its modules were imported before the fork, which saves
three seconds of CPU time in each worker and one in each agent. A worker ends without deleting each imported object,
which saves another second. In its place, a daemon starts ``tests/worker_shim.py``, which passes the command,
environment, folder, CPU cores, signal mask and standard streams to the server, and waits for the worker's end.

Each daemon has a server of its own. Workers are children of this server or of a fork of it, as real ones are children
of the daemon, since kdtune assigns energy by the process tree. Workers are not descendants of the daemon, but their
shims are, and the kernel kills a worker when its shim ends.

Ray itself starts a worker whose environment has other settings that are read by an import, and all workers of commands
that tests start as users do. A command that is itself forked (``tests/forked.py``) forks the server of its workers.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.worker_server import become_server, listening_socket

#: Program that is started in the place of a process which the server forks.
SHIM = Path(__file__).with_name("worker_shim.py")
#: Options of a daemon: how it starts workers and its two agents.
_COMMANDS = ("python_worker_command", "dashboard_agent_command", "runtime_env_agent_command")


def fork_workers() -> None:
    """Let the workers of every Ray that this process starts from now on be forked."""
    from ray._private import services

    start: Any = services.start_ray_process
    if not hasattr(start, "forks_workers"):
        services.start_ray_process = _Starting(start, _server)


def fork_workers_from_here() -> None:
    """As :func:`fork_workers`, by a fork of this process, once kdtune has set the environment in which Ray is imported.

    Code that starts Ray itself calls :func:`fork_workers` once it has imported Ray. The process has imported torch and
    kdtune and has a single thread.
    """
    global _server
    from kdtune.execution.ray import opening

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        become_server(theirs)
    theirs.close()
    _server = lambda: ours  # noqa: E731 - in place of the function that starts one
    ray_environment = opening.ray_environment

    @contextmanager
    def with_forked_workers(*arguments: Any) -> Iterator[None]:
        with ray_environment(*arguments):
            fork_workers()
            yield

    opening.ray_environment = with_forked_workers


class _Starting:
    """Ray's function that starts its daemons, with another command for workers."""

    forks_workers = True

    def __init__(self, start: Callable[..., Any], server: Callable[[], socket.socket]) -> None:
        self._start, self._server = start, server

    def __call__(self, command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
        if process_type != "raylet":
            return self._start(command, process_type, *arguments, **options)
        server = self._server()
        with suppress(ConnectionError):
            server.sendall(b"?")
            server.recv(1)  # once it has imported everything, since a daemon does not wait for its agents for long
        with listening_socket() as (listening, address):
            for option in _COMMANDS:
                start = f"--{option}={sys.executable} "
                command = [word.replace(start, f"{start}-I -S {SHIM} {address} ") for word in command]
            daemon = self._start(command, process_type, *arguments, **options)
            with suppress(ConnectionError):  # without a server, shims start workers as Ray does
                socket.send_fds(server, [str(daemon.process.pid).encode()], [listening.fileno()])
        return daemon


@cache
def _server() -> socket.socket:
    """Start the server of this process and return a connection; the server ends when it is closed."""
    from tests.forked import fork

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        fork(become_server, theirs)
    return ours
