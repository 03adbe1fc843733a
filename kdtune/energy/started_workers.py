"""Workers that trials start: who they are is asked of whoever knows, and their CPU time joins the trials' windows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kdtune.energy.processes import CpuScope, Identity, Process


@dataclass(frozen=True)
class Started:
    """Workers on the node other than those that windows are open for.

    Attributes:
        by_window: Those that a window's process started, itself or through others, each with the window's id.
        by_study: Those that are the study's, though not known to be any window's.
        unknown: Those of which it is not known who started them.
    """

    by_window: dict[Identity, str] = field(default_factory=dict)
    by_study: Collection[Identity] = ()
    unknown: Collection[Identity] = ()


FindStarted = Callable[[Mapping[int, Process], Mapping[int, str]], Started]
"""Finds them among all processes, given the pid of each window's process with the window's id."""


class StartedWorkers:
    """Takes workers into the scopes that answer for them, from the last record on: what was before is charged."""

    def __init__(self, find: FindStarted | None = None) -> None:
        """Prepare.

        Args:
            find: Finds the workers; None where trials start none.
        """
        self._find = find
        self._before: dict[int, Process] | None = None

    def join(self, processes: dict[int, Process], study: CpuScope, windows: Sequence[tuple[str, int, CpuScope]]) -> int:
        """Let scopes count the workers that they answer for, before they are brought up to a snapshot.

        Args:
            processes: The snapshot.
            study: The study's scope.
            windows: Of each open window its id, the pid of its process and its scope.

        Returns:
            CPU time since the last snapshot, in microseconds, of workers of which it is not known who started them.
        """
        if self._find is None:
            return 0
        before, self._before = processes if self._before is None else self._before, processes
        scopes = {name: scope for name, _, scope in windows}
        started = self._find(processes, {pid: name for name, pid, _ in windows})
        for worker, window in started.by_window.items():
            scopes[window].adopt(worker, before)
        for worker in (*started.by_window, *started.by_study):
            study.adopt(worker, before)
        return sum(_since(processes[pid], before) for pid, _ in started.unknown)


def _since(process: Process, before: Mapping[int, Process]) -> int:
    earlier = before.get(process.pid)
    known_us = earlier.cpu_us if earlier and earlier.identity == process.identity else 0
    return process.cpu_us - known_us
