"""The server that Ray's workers and agents, and test processes, are forked from; see ``tests/forked_workers.py``."""

import ctypes
import gc
import importlib.util
import json
import marshal
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn
from unittest.mock import patch

from tests.worker_process import Request, become, become_agent, end_with

_ENVIRONMENT = "--serialized-runtime-env-context="

#: Nothing of Ray, which reads settings of a worker and the number of its job when it is imported.
IMPORTED = (
    "torch",
    "kdtune.api",
    "kdtune.execution.trial_training",
    "tests.short_timings",
    "asyncio",
    "dateutil.tz",
    "filelock",
    "fsspec",
    "google.protobuf.json_format",
    "http.server",
    "jsonschema",
    "msgpack",
    "pandas",
    "pdb",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.fs",
    "pyarrow.json",
    "pyarrow.parquet",
    "pydantic.deprecated.class_validators",
    "requests",
    "rich.console",
    "rich.live",
    "tqdm.auto",
    "wcwidth",
    "yaml",
)

#: What workers import besides, with Ray.
_IMPORTED_WITH_RAY = ("ray.tune", "kdtune.execution.ray.meter_actor", "kdtune.execution.ray.trainable")

#: Folder in which Ray keeps the aiohttp of its agents.
_OF_AGENTS = "_private/runtime_env/agent/thirdparty_files"

#: Beginnings of the names of variables that are read while Python starts or these modules are imported. Which GPUs are
#: visible is read later, when CUDA starts.
_READ_BY_IMPORTS = ("KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "TORCH")

#: Those among them that are read later: by each call of ``breakpoint``, and whenever torch compiles. Ray and torch set
#: them in a process that has used them.
_READ_LATER = {"PYTHONBREAKPOINT", "TORCHINDUCTOR_CACHE_DIR"}

#: Setting by which the memory allocator of pyarrow has no thread.
OF_PYARROW = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}

#: Settings of the server: one thread, as Ray sets for workers, and what scikit-learn sets when it is imported, which a
#: test process may have done before its Ray started.
_OF_THE_SERVER = {"OMP_NUM_THREADS": "1", "KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE", **OF_PYARROW}


def become_server(connection: socket.socket, prepare: Callable[[], object] = lambda: None) -> NoReturn:
    """Turn this process into a server, whose forks become the workers of another process.

    Args:
        connection: To the other process.
        prepare: Called in each worker before it begins.
    """
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not connection.recv(1, socket.MSG_PEEK):
            os._exit(0)  # the other process has ended without a Ray
        os.environ.update(_OF_THE_SERVER)
        sys.modules["torch"].set_num_threads(1)
        _import_all(IMPORTED)
        _import_aiohttp()
        assert "ray" not in sys.modules
        _serve(connection, prepare)
    finally:
        traceback.print_exc()
        os._exit(1)  # it never continues as a command


def _import_aiohttp() -> None:
    """Import the library that Ray's agents use, from Ray's own folder."""
    ray = importlib.util.find_spec("ray")
    assert ray and ray.origin
    sys.path.insert(0, str(Path(ray.origin).parent / _OF_AGENTS))
    _import_all(["aiohttp.web"])
    del sys.path[0]


def _import_ray() -> None:
    """Import Ray and what uses it, and draw nothing from Ray's generator: all forks would then draw the same ids."""
    from ray import actor

    ids = actor.ActorClassID
    drawn_elsewhere = SimpleNamespace(from_random=lambda: ids(os.urandom(ids.size())))
    with patch.object(actor, "ActorClassID", drawn_elsewhere):
        _import_all(_IMPORTED_WITH_RAY)


def _import_all(modules: Iterable[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked"
    gc.freeze()


def _serve(connection: socket.socket, prepare: Callable[[], object]) -> NoReturn:
    """Fork a server for each daemon."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as in a daemon, which does not wait for its workers either
    while True:
        message, descriptors, *_ = socket.recv_fds(connection, 64, 1)
        if not message:
            os._exit(0)
        if not descriptors:
            connection.sendall(message)
        elif os.fork() == 0:
            connection.close()
            _DaemonServer(int(message), prepare).serve(socket.socket(fileno=descriptors[0]))
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def listening_socket() -> Iterator[tuple[socket.socket, str]]:
    """Open the socket of a server, to which shims connect; yield it and its abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind("")  # the kernel chooses an address
        listening.listen(64)
        yield listening, os.fsdecode(listening.getsockname()[1:])


class _DaemonServer:
    """The server of a daemon, with which it ends.

    It has not imported Ray, which reads the number of a worker's job and other variables when it is imported. So the
    first worker with a given set of variables imports Ray itself. For all later ones with the same variables, a fork of
    the server imports it once.
    """

    def __init__(self, daemon: int, prepare: Callable[[], object]) -> None:
        """Become the server.

        Args:
            daemon: Pid of the daemon.
            prepare: Called in each worker before it begins.
        """
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: this process ends with its parent
        self._daemon, self._prepare = daemon, prepare
        try:
            self._end_of_daemon = os.pidfd_open(daemon)
        except ProcessLookupError:
            os._exit(0)
        self._addresses: dict[frozenset[tuple[str, str]], str] = {}

    def serve(self, listening: socket.socket) -> NoReturn:
        """Fork workers until the daemon ends.

        Args:
            listening: Socket to which the shims connect.
        """
        self._listening = listening
        while True:
            if self._end_of_daemon in select.select([listening.fileno(), self._end_of_daemon], [], [])[0]:
                os._exit(0)
            connection, _ = listening.accept()
            with connection:
                try:
                    request = _receive(connection)
                except EOFError:
                    continue  # the shim was killed
                answer = self._answer(request)
                if answer == "forked" and os.fork() == 0:
                    self._close()
                    end_with(connection)
                    if request.is_agent:
                        become_agent(request)
                    become(request, self._prepare)
                if not answer:
                    answer = self._fork_server(request, connection)
                with suppress(ConnectionError):  # the shim was killed
                    connection.sendall(answer.encode())
            for stream in request.streams:
                os.close(stream)

    def _close(self) -> None:
        """Close in a fork what belongs to the server."""
        self._listening.close()
        os.close(self._end_of_daemon)

    def _answer(self, request: Request) -> str:
        """Return "forked", "refused", the address of the server for these variables, or "" if there is none yet."""
        if not _can_be_forked(request):
            return "refused"
        if request.is_agent or "ray" in sys.modules:
            return "forked"
        variables = frozenset(request.environment.items())
        if variables in self._addresses:
            return self._addresses[variables]
        self._addresses[variables] = ""
        return "forked"

    def _fork_server(self, request: Request, connection: socket.socket) -> str:
        """Fork the server of further workers with the variables of a request, and return its address."""
        with listening_socket() as (listening, address):
            if os.fork() == 0:
                self._close()
                connection.close()
                for stream in request.streams:
                    os.close(stream)
                os.environ.clear()
                os.environ.update(request.environment)
                _import_ray()
                _DaemonServer(self._daemon, self._prepare).serve(listening)
        self._addresses[frozenset(request.environment.items())] = address
        return address


def _receive(connection: socket.socket) -> Request:
    message, streams, *_ = socket.recv_fds(connection, 1 << 16, 3)
    while rest := connection.recv(1 << 16):
        message += rest
    return Request(*marshal.loads(message), list(streams))


def _can_be_forked(worker: Request) -> bool:
    """Add the variables of Ray's runtime environment to a request.

    Returns:
        Whether this environment consists of variables, and those that were read by imports have the same values here.
    """
    for word in [word for word in worker.arguments if word.startswith(_ENVIRONMENT)]:
        worker.arguments.remove(word)
        wanted = json.loads(word.removeprefix(_ENVIRONMENT))
        variables = wanted.pop("env_vars")
        worker.environment.update(variables)
        if wanted.pop("py_executable") != sys.executable or any(wanted.values()) or "$" in "".join(variables.values()):
            return False
    names = {name for name in {*worker.environment, *os.environ} if name.startswith(_READ_BY_IMPORTS)}
    values = {**_OF_THE_SERVER, **worker.environment}
    return all(values.get(name) == os.environ.get(name) for name in names - _READ_LATER)
