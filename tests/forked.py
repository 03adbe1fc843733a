"""Python processes that are forked from a server which has imported torch and kdtune once.

They are like those of ``subprocess.Popen([sys.executable, ...])``, without the import, which takes two seconds of CPU
time in each. Tests of the start itself or of variables that are read during an import start a real one.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from unittest.mock import patch

from tests.forked_workers import fork_workers_from_here
from tests.studies import command
from tests.worker_process import renew_thread_pool
from tests.worker_server import IMPORTED, OF_PYARROW

#: Its processes are forks of a process that has imported all this.
SERVER = multiprocessing.get_context("forkserver")

#: Modules of commands, and what they import.
IMPORTED_BY_COMMANDS = (
    "tests.forked",
    "tests.recipes",
    "kdtune.artifacts.training_context",
    "kdtune.cli.study",
    "kdtune.cli.resume",
    "kdtune.execution.inline.inline_executor",
    "kdtune.execution.trial_training",
    "kdtune.api",
    "kdtune.report.html.page",
    "kdtune.report.live_display",
    "codecarbon",
    "fvcore.nn",
    "jinja2",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "optuna",
    "scipy.stats",
    "sqlalchemy.orm",
    "alembic.command",
    *IMPORTED,
)
SERVER.set_forkserver_preload(list(IMPORTED_BY_COMMANDS))


class TorchProcess(ForkServerProcess):
    """A fork of the server that may use several threads of torch."""

    def run(self) -> None:
        renew_thread_pool()
        super().run()


def fork(target: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Start a process that is forked from the server, and calls a function."""
    with patch.dict(os.environ, OF_PYARROW):
        ensure_running()
    process = SERVER.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def fork_server() -> None:
    """Start the server as a fork of this process, which has a single thread and has imported all that it imports."""
    _start_resource_tracker()
    with patch("multiprocessing.util.spawnv_passfds", _fork_python):
        ensure_running()


def _start_resource_tracker() -> None:
    """Start it without standard error: it reports what processes leave behind that tests kill."""
    with Path(os.devnull).open("w") as nowhere, os.fdopen(os.dup(2)) as kept:
        os.dup2(nowhere.fileno(), 2)
        resource_tracker.ensure_running()
        os.dup2(kept.fileno(), 2)


def _fork_python(_: str, command: list[str], descriptors: Sequence[int]) -> int:
    """Run Python code in a fork as in a new process, with these descriptors alone, and return its pid."""
    if pid := os.fork():
        return pid
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # as in test processes
        for one in Path("/proc/self/fd").iterdir():
            if int(one.name) not in {0, 1, 2, *descriptors}:
                with suppress(OSError):
                    os.close(int(one.name))
        exec(command[-1], {})
    finally:
        os._exit(0)


class Forked:
    """A process with the methods of ``subprocess.Popen`` that tests use; it leads a session of its own.

    Its exit code after any exception but ``SystemExit`` is 1.
    """

    def __init__(
        self,
        code: str | None,
        arguments: Sequence[str],
        cwd: Path | None = None,
        *,
        said: Path | None = None,
        forks_workers: bool = False,
        **environment: str,
    ) -> None:
        """Start the process.

        Args:
            code: Python code; None for the command ``kdtune``.
            arguments: Arguments of the code or the command.
            cwd: Working folder; that of this process by default.
            said: File for its output and messages; by default :meth:`communicate` returns them.
            forks_workers: Whether the workers of a Ray that it starts are forked too.
            environment: Environment variables in addition to those of this process.
        """
        self._out, self._err = NamedTemporaryFile(), NamedTemporaryFile()  # noqa: SIM115 - read after the end
        streams = (str(said), str(said)) if said else (self._out.name, self._err.name)
        place, variables = str(cwd or Path.cwd()), {**os.environ, **environment}
        given = (code, list(arguments), place, variables, streams, forks_workers)
        self._process = fork(_run, *given)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It did not end within ``timeout`` seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Wait for the end and return what was printed to standard output and standard error."""
        self._process.join()
        return Path(self._out.name).read_text(), Path(self._err.name).read_text()


def begin(arguments: list[str], place: Path, **environment: str) -> Forked:
    """Start ``kdtune`` as :func:`benchmarks.driving.begin` does, as a fork, whose workers are forks too."""
    said = place / "said.txt"
    said.write_bytes(b"")
    return Forked(None, arguments, place, said=said, forks_workers="--inline" not in arguments, **environment)


def _run(
    code: str | None,
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    streams: Sequence[str],
    forks_workers: bool,
) -> None:
    """Become the process; runs in the fork."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in enumerate(streams, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if forks_workers:
        fork_workers_from_here()
    renew_thread_pool()
    try:
        if code is None:
            from kdtune.__main__ import main

            sys.orig_argv = command(*arguments)
            sys.argv = ["kdtune", *arguments]
            main()
        else:
            sys.orig_argv = [sys.executable, "-c", code, *arguments]  # with which a command may start again
            sys.argv = ["-c", *arguments]
            exec(code, {"__name__": "__main__"})
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()
