"""What a fork does to become a worker or an agent of Ray, or a test process; see ``tests/worker_server.py``."""

import atexit
import ctypes
import fcntl
import os
import random
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn


class Request(NamedTuple):
    """A worker or an agent that a daemon wants.

    Attributes:
        arguments: Its script and the arguments of the script.
        environment: Environment variables.
        folder: Working folder.
        cores: CPU cores that it may use.
        blocked: Numbers of the signals that it blocks.
        is_agent: Whether it is an agent or a test process, and not a worker.
        leads_group: Whether it has a process group of its own.
        streams: Descriptors of its standard input, output and error.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    cores: list[int]
    blocked: list[int]
    is_agent: bool
    leads_group: bool
    streams: list[int]


def end_with(shim: socket.socket) -> None:
    """Let this process be killed when its shim ends, and the shim end with it: the connection stays open."""
    fcntl.fcntl(shim, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(shim, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(shim, fcntl.F_SETFL, os.O_ASYNC)


def become_agent(request: Request) -> None:
    """Let an agent end with its daemon."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: its parent ends with the daemon
    if request.arguments[0] != "-c":  # an agent of Ray and no test process
        request.environment["RAY_RAYLET_PID"] = str(os.getppid())  # the process that it ends with


def renew_thread_pool() -> None:
    """Make torch replace its pool of threads, which a fork has not kept, before two threads might do so at once."""
    torch = sys.modules["torch"]
    torch.set_num_threads(torch.get_num_threads())


def become(worker: Request, prepare: Callable[[], object]) -> NoReturn:
    """Turn this process into a worker."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, worker.blocked)
    prepare()
    if worker.leads_group:
        os.setpgid(0, 0)
    os.sched_setaffinity(0, worker.cores)
    for number, stream in enumerate(worker.streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - which an agent reads until its daemon ends
    os.chdir(worker.folder)
    os.environ.clear()
    os.environ.update(worker.environment)
    renew_thread_pool()
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
