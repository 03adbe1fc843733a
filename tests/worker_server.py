"""The server that Ray's workers and agents, and test processes, are forked from; see ``tests/forked_workers.py``."""

import atexit
import ctypes
import fcntl
import gc
import importlib
import json
import marshal
import os
import random
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn

_ENVIRONMENT = "--serialized-runtime-env-context="

#: Nothing of Ray, which reads settings of a worker when it is imported.
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
    "pydantic",
    "requests",
    "rich.console",
    "tqdm",
    "yaml",
)

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


class Request(NamedTuple):
    """A worker or an agent that a daemon wants.

    Attributes:
        arguments: Its script and the arguments of the script.
        environment: Environment variables.
        folder: Working folder.
        cores: CPU cores that it may use.
        blocked: Numbers of the signals that it blocks.
        is_agent: Whether it is an agent or a test process, and not a worker.
        streams: Descriptors of its standard input, output and error.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    cores: list[int]
    blocked: list[int]
    is_agent: bool
    streams: list[int]


def become_server(connection: socket.socket, prepare: Callable[[], object] = lambda: None) -> NoReturn:
    """Turn this process into the server of the workers of another one, and later into each of them.

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
        _import_all()
        _run(_serve(connection), prepare)
    finally:
        traceback.print_exc()
        os._exit(1)  # it never continues as a command


def _import_all() -> None:
    for module in IMPORTED:
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
        if not descriptors:
            connection.sendall(message)
        elif os.fork() == 0:
            connection.close()
            return _serve_daemon(int(message), socket.socket(fileno=descriptors[0]))
        for descriptor in descriptors:
            os.close(descriptor)


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
                _end_with(connection.dup())
                if request.is_agent:
                    _become_agent(request)
                return request
            connection.sendall(b"forked" if forked else b"refused")
        for stream in request.streams:
            os.close(stream)


def _end_with(shim: socket.socket) -> None:
    """Let this process be killed when its shim ends, and the shim end with it: the connection is kept open."""
    fcntl.fcntl(shim, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(shim, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(shim, fcntl.F_SETFL, os.O_ASYNC)
    shim.detach()


def _become_agent(request: Request) -> None:
    """Let an agent end with its daemon."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: its parent ends with the daemon
    if request.arguments[0] != "-c":  # an agent of Ray and no test process
        request.environment["RAY_RAYLET_PID"] = str(os.getppid())  # the process that it ends with


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


def _run(worker: Request, prepare: Callable[[], object]) -> NoReturn:
    """Turn this process into a worker."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, worker.blocked)
    prepare()
    os.sched_setaffinity(0, worker.cores)
    for number, stream in enumerate(worker.streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - which an agent reads until its daemon ends
    os.chdir(worker.folder)
    os.environ.clear()
    os.environ.update(worker.environment)
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.argv, sys.orig_argv = worker.arguments, [sys.executable, *worker.arguments]
    sys.modules["__main__"] = main = ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__)
    script, *others = worker.arguments
    if script == "-c":
        code = others[0]
    else:
        code = Path(script).read_text()
        sys.path.insert(0, str(Path(script).parent))
        main.__dict__.update(__file__=script)
    try:
        exec(compile(code, script, "exec"), main.__dict__)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without deleting the imported objects
