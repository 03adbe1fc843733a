"""Helpers that start real processes which use the CPU."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from kdtune.energy.processes import snapshot
from tests.waiting import wait_for

#: Program that is busy for longer than any test needs; it ends by itself in case the test is killed.
BURN_ON = """
import time
end = time.monotonic() + 600
while time.monotonic() < end: pass
"""

#: Program that is busy until it has used the given number of seconds of CPU time in addition to those of its start.
BURN = """
import sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end: pass
"""


def command(code: str, *args: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code), *args]


@contextmanager
def python(code: str, *args: str, stdin: int | None = None) -> Iterator[subprocess.Popen]:
    """Start a Python process that is killed at the end of the context."""
    process = subprocess.Popen(command(code, *args), stdin=stdin, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if process.stdin:
            process.stdin.close()


@contextmanager
def foreign_burner() -> Iterator[int]:
    """Start a busy process that is not a descendant of this one, since its parent has ended; yield its pid."""
    between = """
        import subprocess, sys
        nothing = subprocess.DEVNULL
        print(subprocess.Popen(sys.argv[1:], stdin=nothing, stdout=nothing, stderr=nothing).pid)
        """
    started = subprocess.run(command(between, *command(BURN_ON)), stdout=subprocess.PIPE, text=True, check=True)
    pid = int(started.stdout)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)


def cpu_us(pid: int) -> int:
    """Return the CPU time of a process in microseconds, as a meter reads it."""
    return snapshot()[pid].cpu_us


def wait_for_cpu(pid: int, us: int) -> None:
    """Wait until a process has used an additional CPU time."""
    start_us = cpu_us(pid)
    wait_for(lambda: cpu_us(pid) - start_us >= us)
