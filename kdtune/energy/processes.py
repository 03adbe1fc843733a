"""CPU time of processes and of everything that they started, from Linux's /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_US_PER_TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PROC = "/proc"

Identity = tuple[int, int]
"""A process: its pid and its start (ticks since boot). A pid alone is used again after its process ended."""


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    Attributes:
        pid: Its number.
        parent: Its parent's number.
        started: Ticks since boot.
        own_us: CPU time of itself, in microseconds.
        children_us: CPU time that it inherited from children which ended and which it waited for.
        alive: False for one that has ended and waits to be reaped.
        name: Of its program, cut to 15 characters.
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
        """CPU time of itself and of its ended and reaped children, in microseconds."""
        return self.own_us + self.children_us

    @property
    def identity(self) -> Identity:
        """What tells this process from a later one with the same number."""
        return self.pid, self.started


def _stat(pid: int | str) -> str:
    # Pathlib takes longer, and remembers every part of every path for a while: a meter would grow by kilobytes a trial.
    with open(f"{_PROC}/{pid}/stat", errors="replace") as file:  # noqa: PTH123
        return file.read()


def _parse(stat: str) -> Process:
    # The command's name stands in parentheses and may hold anything, so count from the last one.
    pid, _, rest = stat.partition(" (")
    name, _, rest = rest.rpartition(")")
    fields = rest.split()
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])  # user and system time each
    alive = fields[0] not in "ZX"
    return Process(int(pid), int(fields[1]), int(fields[19]), own * _US_PER_TICK, children * _US_PER_TICK, alive, name)


def snapshot() -> dict[int, Process]:
    """Every process that this one may see, by number."""
    processes = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            try:
                process = _parse(_stat(entry.name))
            except OSError:
                continue  # ended between listing and reading, or hidden from us
            processes[process.pid] = process
    return processes


def identity_of(pid: int) -> Identity:
    """The identity of a living process.

    Raises:
        ProcessLookupError: There is none with this number.
    """
    try:
        return _parse(_stat(pid)).identity
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def is_alive(identity: Identity) -> bool:
    """Whether a process has not ended; one that waits to be reaped has."""
    try:
        process = _parse(_stat(identity[0]))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return process.alive and process.identity == identity


class CpuScope:
    """CPU time of some processes and all their descendants, as a counter that never falls.

    A process that ended and was waited for lives on in its parent's figure. Of one that nobody waited for (Ray's
    daemon ignores how its workers end; an orphan's parent is gone) what had been seen is kept here.
    """

    def __init__(self, roots: Iterable[Identity], since: dict[int, Process]) -> None:
        """Count from now on.

        Args:
            roots: The processes.
            since: The snapshot in which the counter stands at 0.
        """
        self.roots = set(roots)
        self._living: dict[Identity, Process] = {}
        self._living = self._find(since)
        # Time of ended processes that no living one inherited, less what had been used before.
        self._kept_us = -self._sum()

    @property
    def total_us(self) -> int:
        """The counter at the last snapshot, in microseconds."""
        return self._kept_us + self._sum()

    def as_state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on counting; JSON."""
        living = [[p.pid, p.parent, p.started, p.own_us, p.children_us, p.alive] for p in self._living.values()]
        return {"roots": sorted(self.roots), "living": living, "kept_us": self._kept_us}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CpuScope":
        """Go on from what :meth:`as_state` gave: what was spent in between is in the processes' own figures."""
        scope = cls([], {})
        scope.roots = {(pid, started) for pid, started in state["roots"]}
        scope._living = {process.identity: process for process in (Process(*one) for one in state["living"])}
        scope._kept_us = state["kept_us"]
        return scope

    def add_root(self, root: Identity, processes: dict[int, Process]) -> None:
        """Take in another process, from birth: its time so far joins the counter."""
        self.roots.add(root)
        self.update(processes)

    def adopt(self, process: Identity, before: dict[int, Process]) -> None:
        """Take in another process and its descendants from an earlier snapshot on; one that is a member stays one.

        Args:
            process: Is alive now, which :meth:`update` has not been told yet.
            before: The earlier snapshot; what was used until then does not count, all the time of a later birth does.
        """
        if process not in self._living:
            known = CpuScope([process], before)._living or {process: Process(process[0], 0, process[1], 0)}
            self._living |= known
            self._kept_us -= sum(one.cpu_us for one in known.values())

    def update(self, processes: dict[int, Process]) -> int:
        """Bring the counter up to a snapshot and return it, in microseconds."""
        before, self._living = self._living, self._find(processes)
        ended: dict[Identity | None, int] = {}
        for identity, process in before.items():
            if identity not in self._living:
                heir = self._heir(process, before)
                ended[heir] = ended.get(heir, 0) + process.cpu_us
        for heir, used_us in ended.items():
            inherited_us = self._living[heir].children_us - before[heir].children_us if heir else 0
            self._kept_us += max(0, used_us - inherited_us)
        return self.total_us

    def alive(self, processes: dict[int, Process]) -> bool:
        """Whether any of the roots still runs."""
        found = (processes.get(pid) for pid, _ in self.roots)
        return any(process.alive and process.identity in self.roots for process in found if process)

    def _heir(self, process: Process, before: dict[Identity, Process]) -> Identity | None:
        """The nearest ancestor that still lives: where the time of an ended process went if it was waited for."""
        by_pid = {other.pid: other for other in before.values()}
        parent = by_pid.pop(process.parent, None)
        while parent and parent.identity not in self._living:
            parent = by_pid.pop(parent.parent, None)  # popped, so that it ends whatever the numbers say
        return parent.identity if parent else None

    def _sum(self) -> int:
        return sum(process.cpu_us for process in self._living.values())

    def _find(self, processes: dict[int, Process]) -> dict[Identity, Process]:
        """The living members: once a member always one, also when the parent ends first."""
        children: dict[int, list[Process]] = {}
        for process in processes.values():
            children.setdefault(process.parent, []).append(process)
        known = {*self.roots, *self._living}
        stack = [p for pid, start in known if (p := processes.get(pid)) and p.started == start]
        found: dict[Identity, Process] = {}
        while stack:
            process = stack.pop()
            if process.identity not in found:
                found[process.identity] = process
                stack.extend(children.get(process.pid, ()))
        return found
