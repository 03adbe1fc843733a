"""CPU time of processes and of everything that they started, from Linux's /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")

Identity = tuple[int, int]
"""A process: its pid and its start (ticks since boot). A pid alone is used again after its process ended."""


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    Attributes:
        pid: Its number.
        parent: Its parent's number.
        started: Ticks since boot.
        cpu_us: CPU time of itself and of its ended and reaped children, in microseconds.
    """

    pid: int
    parent: int
    started: int
    cpu_us: int

    @property
    def identity(self) -> Identity:
        """What tells this process from a later one with the same number."""
        return self.pid, self.started


def _parse(stat: str) -> Process:
    # The command's name stands in parentheses and may hold anything, so count from the last one.
    pid, _, rest = stat.partition(" (")
    fields = rest.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, and both of reaped children
    return Process(int(pid), int(fields[1]), int(fields[19]), ticks * 1_000_000 // _TICKS_PER_S)


def snapshot() -> dict[int, Process]:
    """Every process that this one may see, by number."""
    processes = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            try:
                process = _parse(Path(entry.path, "stat").read_text(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended between listing and reading
            processes[process.pid] = process
    return processes


def identity_of(pid: int) -> Identity:
    """The identity of a living process.

    Raises:
        ProcessLookupError: There is none with this number.
    """
    try:
        return _parse((_PROC / str(pid) / "stat").read_text(errors="replace")).identity
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


class CpuScope:
    """CPU time of some processes and all their descendants, as a counter that never falls.

    A process that ended and was reaped lives on in its parent's figure. One whose time nobody inherited (its
    parent ended first) drops out of the sum; what had been seen of it is kept.
    """

    def __init__(self, roots: Iterable[Identity], since: dict[int, Process]) -> None:
        """Count from now on.

        Args:
            roots: The processes.
            since: The snapshot in which the counter stands at 0.
        """
        self._members: set[Identity] = set(roots)
        self._roots = set(self._members)
        self._base_us = -self._living_us(since)
        self.total_us = 0

    def add_root(self, root: Identity, processes: dict[int, Process]) -> None:
        """Take in another process, from birth: its time so far joins the counter."""
        self._roots.add(root)
        self._members.add(root)
        self.update(processes)

    def update(self, processes: dict[int, Process]) -> int:
        """Bring the counter up to a snapshot and return it, in microseconds."""
        reached = self._base_us + self._living_us(processes)
        if reached < self.total_us:
            self._base_us += self.total_us - reached
        else:
            self.total_us = reached
        return self.total_us

    def alive(self, processes: dict[int, Process]) -> bool:
        """Whether any of the roots still runs."""
        return any((found := processes.get(pid)) and found.started == start for pid, start in self._roots)

    def _living_us(self, processes: dict[int, Process]) -> int:
        children: dict[int, list[Process]] = {}
        for process in processes.values():
            children.setdefault(process.parent, []).append(process)
        found: dict[int, Process] = {}
        stack = [p for pid, start in self._members if (p := processes.get(pid)) and p.started == start]
        while stack:
            process = stack.pop()
            if process.pid not in found:
                found[process.pid] = process
                stack.extend(children.get(process.pid, ()))
        self._members = {process.identity for process in found.values()} | self._roots
        return sum(process.cpu_us for process in found.values())
