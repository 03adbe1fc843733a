"""Processes that share the suite (``pytest -n 3``), forked from one that has imported once what all of them import.

The server is that of Ray's workers (``tests/worker_server.py``), with a test process in the place of an agent. Each
test process forks, before it begins, the server of the commands that its tests start (``tests/forked.py``).
"""

import importlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from tests.forked_workers import SHIM
from tests.worker_server import OF_PYARROW, become_server, listening_socket

#: What tests import besides the modules of commands. Nothing of pytest or hypothesis, which set up their own import.
_OF_TESTS = ("torchvision", "sklearn.datasets")


def fork_test_processes(specs: Iterable[Any], root: Path) -> socket.socket:
    """Let the test processes be forked.

    Args:
        specs: How execnet starts them; changed here.
        root: Folder of the project.

    Returns:
        A connection to the server, which ends when it is closed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"from tests.forked_suite import serve; serve({theirs.fileno()})"
    environment = {**os.environ, **OF_PYARROW}
    with theirs:
        subprocess.Popen([sys.executable, "-c", code], cwd=root, env=environment, pass_fds=[theirs.fileno()])
    with listening_socket() as (listening, address):
        socket.send_fds(ours, [str(os.getpid()).encode()], [listening.fileno()])
    for spec in specs:
        spec.python = shlex.join([sys.executable, "-I", "-S", str(SHIM), address])
    return ours


def serve(descriptor: int) -> NoReturn:
    """Turn this process into the server.

    Args:
        descriptor: Its end of the connection.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which is for pytest
    from tests import forked

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (*forked.IMPORTED_BY_COMMANDS, *_OF_TESTS):
            importlib.import_module(module)
    if os.fork():
        os._exit(0)  # a fork has no threads, unlike this process, in which OpenBLAS has started some
    become_server(socket.socket(fileno=descriptor), forked.fork_server)
