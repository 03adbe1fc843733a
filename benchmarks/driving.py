"""Functions that run kdtune commands as processes, observe them and kill them, for the benchmarks of faults."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from kdtune.energy.ledger import Record

#: Time in seconds after which waiting for a study is given up.
TIMEOUT_S = 300.0

#: Processes of Ray that, after Ray's head was killed, try to reach it for a minute before they end (ray 2.60).
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def command(*arguments: str) -> list[str]:
    """Return the command line that runs ``kdtune`` with arguments in this Python."""
    return [sys.executable, "-m", "kdtune", *arguments]


def begin(arguments: list[str], place: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``kdtune`` in a session of its own.

    Args:
        arguments: Arguments of ``kdtune``.
        place: Working folder, in which the output is written to ``said.txt``.
        environment: Environment variables in addition to those of this process.
    """
    with (place / "said.txt").open("wb") as said:
        return subprocess.Popen(
            command(*arguments),
            cwd=place,
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until a condition holds while a command runs.

    Raises:
        RuntimeError: The command ended first, or the condition did not hold within :data:`TIMEOUT_S`.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the study ended, or took too long, before it reached the expected state")
        time.sleep(0.1)


def open_windows(records: list[Record]) -> dict[str, int]:
    """Return the pid of the process of each window that is open at the end of a ledger, by window id."""
    found: dict[str, int] = {}
    for record in records:
        if record.window and record.kind == "open":
            found[record.window.id] = record.window.pid
        elif record.window and record.kind == "close":
            found.pop(record.window.id, None)
    return found


def session_processes(session: int) -> dict[int, str]:
    """Return the command line of each running process of a session, by pid.

    Args:
        session: Session id, which is the pid of the command that was started by :func:`begin`.
    """
    found = {}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline()).strip()  # Ray pads its names with spaces
        except (ProcessLookupError, psutil.Error):
            continue  # the process has ended
    return found


def kill(pids: list[int]) -> None:
    """Send SIGKILL to processes; those that have ended are skipped."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_until_gone(session: int, patience_s: float) -> list[str]:
    """Wait until the processes of a command that was killed have ended, except for Ray's agents.

    Args:
        session: Session id of the command.
        patience_s: Longest time to wait, in seconds.

    Returns:
        Command lines of the processes that still run after that time.
    """
    deadline = time.monotonic() + patience_s
    while (left := sorted(set(session_processes(session).values()) - AGENTS)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def reproducible_result(result: Path) -> dict[str, Any]:
    """Return the parts of a ``result.json`` that no kill may change."""
    document = json.loads(result.read_text())
    return {
        "status": document["status"],
        "chosen": [one["chosen"] for one in document["repeats"]],
        "val_accuracy": [one["val_accuracy"] for one in document["repeats"]],
        "val_loss": [one["val_loss"] for one in document["repeats"]],
        "test": [one["test"] for one in document["repeats"]],
        "completed": document["cost"]["trials"]["completed"],
    }
