"""Studies as processes of their own, watched and killed from outside: what the benchmarks of faults have in common."""

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

#: A study of these benchmarks that has not come so far by then never will.
TIMEOUT_S = 300.0

#: Where Ray's head was killed these try for a minute to tell it of that before they end (ray 2.60).
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def command(*arguments: str) -> list[str]:
    """``kdtune`` with arguments, in this Python."""
    return [sys.executable, "-m", "kdtune", *arguments]


def begin(arguments: list[str], place: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``kdtune`` in a session of its own; what it says goes to ``said.txt``."""
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
    """Wait while a command runs until something holds.

    Raises:
        RuntimeError: The command ended before, or it takes too long.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the study did not come so far")
        time.sleep(0.1)


def open_windows(records: list[Record]) -> dict[str, int]:
    """The process of each window that is open at the end of a ledger."""
    found: dict[str, int] = {}
    for record in records:
        if record.window and record.kind == "open":
            found[record.window.id] = record.window.pid
        elif record.window and record.kind == "close":
            found.pop(record.window.id, None)
    return found


def of_session(session: int) -> dict[int, str]:
    """What runs of a command, itself and all that it started: the command line of each process."""
    found = {}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline()).strip()  # Ray's names are padded
        except (ProcessLookupError, psutil.Error):
            continue  # it ended meanwhile
    return found


def kill(pids: list[int]) -> None:
    """SIGKILL, all at once; those that have ended are as they should be."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_until_gone(session: int, patience_s: float) -> list[str]:
    """Wait for the processes of a command that was killed, but for Ray's agents.

    Returns:
        What is still there after so long.
    """
    deadline = time.monotonic() + patience_s
    while (left := sorted(set(of_session(session).values()) - AGENTS)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def found_in(result: Path) -> dict[str, Any]:
    """The parts of a ``result.json`` that no kill may change."""
    document = json.loads(result.read_text())
    return {
        "status": document["status"],
        "chosen": [one["chosen"] for one in document["repeats"]],
        "val_accuracy": [one["val_accuracy"] for one in document["repeats"]],
        "val_loss": [one["val_loss"] for one in document["repeats"]],
        "test": [one["test"] for one in document["repeats"]],
        "completed": document["cost"]["trials"]["completed"],
    }
