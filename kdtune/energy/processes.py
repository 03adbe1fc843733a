"""CPU time of processes and all their descendants, read from Linux's /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_US_PER_TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PROC = "/proc"

Identity = tuple[int, int]
"""Pid and start time (ticks since boot) of a process. The pid alone is not enough, since pids are reused."""


@dataclass(frozen=True)
class Process:
    """A process at one moment.

    Attributes:
        pid: Process id.
        parent: Pid of the parent.
        started: Start time, in ticks since boot.
        own_us: CPU time of the process itself, in microseconds.
        children_us: CPU time inherited from children that have ended and that it waited for, in microseconds.
        alive: False for a process that has ended and has not been reaped.
        name: Name of the program, truncated to 15 characters.
    """

    pid: int
    parent: int
    started: int
    own_us: int
    children_us: int = 0
    alive: bool = True
    name: str = ""

    @property
    def cpu_us(self) -> int:
        """CPU time of the process and its ended, reaped children, in microseconds."""
        return self.own_us + self.children_us

    @property
    def identity(self) -> Identity:
        """Pid and start time, which distinguish the process from a later one with the same pid."""
        return self.pid, self.started


def _stat(pid: int | str) -> str:
    """Return the content of a process's ``/proc/<pid>/stat``."""
    # Pathlib is slower, and it caches the parts of every path, so that a meter would grow by kilobytes per trial.
    with open(f"{_PROC}/{pid}/stat", errors="replace") as file:  # noqa: PTH123
        return file.read()


def _parse(stat: str) -> Process:
    # The name of the program is in parentheses and may itself contain some, so fields are counted from the last one.
    pid, _, rest = stat.partition(" (")
    name, _, rest = rest.rpartition(")")
    fields = rest.split()
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])  # user and system time each
    alive = fields[0] not in "ZX"
    return Process(int(pid), int(fields[1]), int(fields[19]), own * _US_PER_TICK, children * _US_PER_TICK, alive, name)


def snapshot() -> dict[int, Process]:
    """Return all processes that are visible to this one, by pid."""
    processes = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            try:
                process = _parse(_stat(entry.name))
            except OSError:
                continue  # it ended between listing and reading, or it is hidden from this user
            processes[process.pid] = process
    return processes


def identity_of(pid: int) -> Identity:
    """Return the identity of a living process.

    Raises:
        ProcessLookupError: No process has this pid.
    """
    try:
        return _parse(_stat(pid)).identity
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def is_alive(identity: Identity) -> bool:
    """Return whether a process still runs. A process that has ended but has not been reaped does not."""
    try:
        process = _parse(_stat(identity[0]))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return process.alive and process.identity == identity


def with_descendants(roots: Iterable[Identity], processes: dict[int, Process]) -> dict[Identity, Process]:
    """Return those of some processes that are in a snapshot, and all their descendants.

    Args:
        roots: The processes.
        processes: The snapshot.
    """
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    stack = [root for pid, start in roots if (root := processes.get(pid)) and root.started == start]
    found: dict[Identity, Process] = {}
    while stack:
        process = stack.pop()
        if process.identity not in found:
            found[process.identity] = process
            stack.extend(children.get(process.pid, ()))
    return found


class CpuScope:
    """Counter of the CPU time of some processes and all their descendants. It never decreases.

    When a process ends and its parent waits for it, Linux adds its CPU time to the parent's. If no process waits for it
    (Ray's daemon ignores the end of its workers, and the parent of an orphan is gone), Linux forgets its CPU time, so
    the scope remembers the last value that it saw.
    """

    def __init__(self, roots: Iterable[Identity], since: dict[int, Process]) -> None:
        """Start counting.

        Args:
            roots: The processes; their descendants are found by the scope.
            since: The snapshot at which the counter is 0, by pid.
        """
        self.roots = set(roots)
        self._living: dict[Identity, Process] = {}
        self._living = self._find(since)
        # CPU time of ended processes that no living process inherited, minus the CPU time used before `since`.
        self._kept_us = -self._sum()

    @property
    def total_us(self) -> int:
        """Value of the counter at the last snapshot, in microseconds."""
        return self._kept_us + self._sum()

    def as_state(self) -> dict[str, Any]:
        """Return a JSON object from which another process can continue to count."""
        living = [[p.pid, p.parent, p.started, p.own_us, p.children_us, p.alive] for p in self._living.values()]
        return {"roots": sorted(self.roots), "living": living, "kept_us": self._kept_us}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CpuScope":
        """Return a scope that continues from the result of :meth:`as_state`.

        CPU time used in the meantime is counted with the next snapshot, since it is part of the processes' own values.
        """
        scope = cls([], {})
        scope.roots = {(pid, started) for pid, started in state["roots"]}
        scope._living = {process.identity: process for process in (Process(*one) for one in state["living"])}
        scope._kept_us = state["kept_us"]
        return scope

    def add_root(self, root: Identity, processes: dict[int, Process]) -> None:
        """Add another root, including the CPU time that it has used so far.

        Args:
            root: The process.
            processes: A new snapshot, by pid, to which the counter is updated.
        """
        self.roots.add(root)
        self.update(processes)

    def adopt(self, process: Identity, before: dict[int, Process]) -> None:
        """Add a process and its descendants, with the CPU time that they have used since an earlier snapshot.

        Nothing changes if the process is a member of the scope already.

        Args:
            process: A living process; :meth:`update` must be called afterwards with a snapshot that contains it.
            before: The earlier snapshot, by pid. CPU time used before it is not counted; a process that started later
                is counted from its start.
        """
        if process not in self._living:
            known = CpuScope([process], before)._living or {process: Process(process[0], 0, process[1], 0)}
            self._living |= known
            self._kept_us -= sum(one.cpu_us for one in known.values())

    def update(self, processes: dict[int, Process]) -> int:
        """Update the counter to a new snapshot and return its value in microseconds.

        Args:
            processes: The snapshot, by pid.
        """
        before, self._living = self._living, self._find(processes)
        ended: dict[Identity | None, int] = {}
        for identity, process in before.items():
            if identity not in self._living:
                ancestor = self._living_ancestor(process, before)
                ended[ancestor] = ended.get(ancestor, 0) + process.cpu_us
        for ancestor, used_us in ended.items():
            inherited_us = self._living[ancestor].children_us - before[ancestor].children_us if ancestor else 0
            self._kept_us += max(0, used_us - inherited_us)
        return self.total_us

    def alive(self, processes: dict[int, Process]) -> bool:
        """Return whether at least one of the roots still runs, according to a snapshot."""
        found = (processes.get(pid) for pid, _ in self.roots)
        return any(process.alive and process.identity in self.roots for process in found if process)

    def _living_ancestor(self, process: Process, before: dict[Identity, Process]) -> Identity | None:
        """Return the nearest living ancestor of an ended process, which inherited its CPU time if it was waited for."""
        by_pid = {other.pid: other for other in before.values()}
        parent = by_pid.pop(process.parent, None)
        while parent and parent.identity not in self._living:
            parent = by_pid.pop(parent.parent, None)  # popping ends the loop even if reused pids form a cycle
        return parent.identity if parent else None

    def _sum(self) -> int:
        return sum(process.cpu_us for process in self._living.values())

    def _find(self, processes: dict[int, Process]) -> dict[Identity, Process]:
        """Return the living members in a snapshot. A member stays one when its parent ends before it does."""
        return with_descendants({*self.roots, *self._living}, processes)
