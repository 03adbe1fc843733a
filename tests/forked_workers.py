"""Ray's workers, forked from a server that has imported torch and kdtune once.

Ray and its daemons are real, and so is the code of a worker. Only what it imports besides Ray was imported before,
which otherwise takes three seconds of CPU time in each worker, and it ends without deleting each imported object, which
takes another one. A daemon starts ``tests/worker_shim.py`` in a worker's place, which passes the command, the
environment and all else that a process inherits to the server, and ends. Each daemon has a server of its own, whose
children its workers are, as they would be of the daemon: kdtune assigns energy by the process tree.

A worker whose environment has other settings that are read by an import, or that calls a function of a test before its
imports, is started as Ray does. So are the workers of the clusters that ``ray start`` joins, and those of commands that
tests start as users do. A command that is itself forked (``tests/forked.py``) forks the server of its workers.
"""

import atexit
import ctypes
import gc
import importlib
import json
import marshal
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

_SHIM = Path(__file__).with_name("worker_shim.py")
_ENVIRONMENT = "--serialized-runtime-env-context="

#: Nothing of Ray, which reads settings of a worker when it is imported.
_IMPORTED = (
    "torch",
    "kdtune.api",
    "kdtune.execution.trial_training",
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
    "pydantic",
    "requests",
    "rich.console",
    "tqdm",
    "yaml",
)

#: Beginnings of the names of variables that are read while Python starts or these modules are imported. Which GPUs are
#: visible is read later, when CUDA starts.
_READ_BY_IMPORTS = ("KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "TORCH")

#: Variable that names a function which a worker calls before it imports anything of a study.
_SETUP_HOOK = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"

#: Settings of the server: one thread, as Ray sets for workers, no thread of the memory allocator of pyarrow, and what
#: scikit-learn sets when it is imported, which a test process may have done before its Ray started.
_OF_THE_SERVER = {
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "KMP_DUPLICATE_LIB_OK": "True",
    "KMP_INIT_AT_FORK": "FALSE",
}


class Request(NamedTuple):
    """A worker that a daemon wants.

    Attributes:
        arguments: Its script and the arguments of the script.
        environment: Environment variables.
        folder: Working folder.
        cores: CPU cores that it may use.
        blocked: Numbers of the signals that it blocks.
        streams: Descriptors of its standard input, output and error.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    cores: list[int]
    blocked: list[int]
    streams: list[int]


def fork_workers(server: Callable[[], socket.socket] | None = None) -> None:
    """Let the workers of every Ray that this process starts from now on be forked.

    Args:
        server: Returns a connection to the server that forks them; by default one that is started for this process.
    """
    from ray._private import services

    start: Any = services.start_ray_process
    if not hasattr(start, "forks_workers"):
        services.start_ray_process = _Starting(start, server or _server)


def fork_workers_from_here() -> None:
    """As :func:`fork_workers`, by a fork of this process, once kdtune has set the environment in which Ray is imported.

    The process has imported torch and kdtune and has a single thread.
    """
    from kdtune.execution.ray import opening

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _become_server(theirs)
    theirs.close()
    ray_environment = opening.ray_environment

    @contextmanager
    def with_forked_workers(*arguments: Any) -> Iterator[None]:
        with ray_environment(*arguments):
            fork_workers(lambda: ours)
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
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind("")  # the kernel chooses an abstract address
            listening.listen(64)
            address = os.fsdecode(listening.getsockname()[1:])
            option = f"--python_worker_command={sys.executable} "
            command = [word.replace(option, f"{option}-I -S {_SHIM} {address} ") for word in command]
            daemon = self._start(command, process_type, *arguments, **options)
            with suppress(BrokenPipeError):  # without a server, shims start workers as Ray does
                socket.send_fds(self._server(), [str(daemon.process.pid).encode()], [listening.fileno()])
        return daemon


@cache
def _server() -> socket.socket:
    """Start the server of this process and return a connection; the server ends when it is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        environment = {**os.environ, **_OF_THE_SERVER}
        subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return ours


def _become_server(connection: socket.socket) -> NoReturn:
    """Turn this process, a fork of a command, into the server of its workers, and later into each of them."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not connection.recv(1, socket.MSG_PEEK):
            os._exit(0)  # the command has ended without a Ray
        os.environ.update(_OF_THE_SERVER)
        sys.modules["torch"].set_num_threads(1)
        _import_all()
        _run(_serve(connection))
    finally:
        traceback.print_exc()
        os._exit(1)  # it never continues as a command


def _import_all() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    assert "ray" not in sys.modules
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked"
    gc.freeze()


def _serve(connection: socket.socket) -> Request:
    """Fork a server for each daemon; return in each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as in a daemon, which does not wait for its workers either
    while True:
        message, descriptors, *_ = socket.recv_fds(connection, 64, 1)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            connection.close()
            return _serve_daemon(int(message), socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def _serve_daemon(daemon: int, listening: socket.socket) -> Request:
    """Fork workers until the daemon ends; return in each worker.

    Args:
        daemon: Its pid.
        listening: Socket to which the shims connect.
    """
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: this process ends with the server of all daemons
    try:
        end_of_daemon = os.pidfd_open(daemon)
    except ProcessLookupError:
        os._exit(0)
    while True:
        if end_of_daemon in select.select([listening.fileno(), end_of_daemon], [], [])[0]:
            os._exit(0)
        connection, _ = listening.accept()
        with connection:
            try:
                request = _receive(connection)
            except EOFError:
                continue  # the shim was killed
            forked = _can_be_forked(request)
            if forked and os.fork() == 0:
                listening.close()
                os.close(end_of_daemon)
                return request
            connection.sendall(b"forked" if forked else b"refused")
        for stream in request.streams:
            os.close(stream)


def _receive(connection: socket.socket) -> Request:
    message, streams, *_ = socket.recv_fds(connection, 1 << 16, 3)
    while rest := connection.recv(1 << 16):
        message += rest
    arguments, environment, folder, cores, blocked = marshal.loads(message)
    return Request(arguments, environment, folder, cores, blocked, list(streams))


def _can_be_forked(worker: Request) -> bool:
    """Add the variables of Ray's runtime environment to a request.

    Returns:
        Whether this environment consists of variables, and those that were read by imports have the same values here,
        and nothing is to be called before the imports.
    """
    for word in [word for word in worker.arguments if word.startswith(_ENVIRONMENT)]:
        worker.arguments.remove(word)
        wanted = json.loads(word.removeprefix(_ENVIRONMENT))
        variables = wanted.pop("env_vars")
        worker.environment.update(variables)
        if wanted.pop("py_executable") != sys.executable or any(wanted.values()) or "$" in "".join(variables.values()):
            return False
    if _SETUP_HOOK in worker.environment:
        return False
    names = {name for name in {*worker.environment, *os.environ} if name.startswith(_READ_BY_IMPORTS)}
    values = {**_OF_THE_SERVER, **worker.environment}
    return all(values.get(name) == os.environ.get(name) for name in names)


def _run(worker: Request) -> NoReturn:
    """Turn this process into a worker."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, worker.blocked)
    os.sched_setaffinity(0, worker.cores)
    for number, stream in enumerate(worker.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(worker.folder)
    os.environ.clear()
    os.environ.update(worker.environment)
    random.seed()
    sys.modules["numpy"].random.seed()
    script = worker.arguments[0]
    sys.argv, sys.orig_argv = worker.arguments, [sys.executable, *worker.arguments]
    sys.path.insert(0, str(Path(script).parent))
    sys.modules["__main__"] = main = ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=__builtins__)
    try:
        exec(compile(Path(script).read_bytes(), script, "exec"), main.__dict__)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without deleting the imported objects


if __name__ == "__main__":
    _import_all()
    _run(_serve(socket.socket(fileno=int(sys.argv[1]))))
