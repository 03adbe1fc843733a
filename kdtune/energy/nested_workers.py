"""Ray workers that trials start themselves, whose CPU time is added to the windows of those trials.

They are children of Ray's daemon and not of the trial's process, so the process tree does not show to which trial they
belong. A function that asks Ray is passed in, since this package does not depend on Ray.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kdtune.energy.processes import CpuScope, Identity, Process


@dataclass(frozen=True)
class NestedWorkers:
    """Workers on the node other than the processes for which windows are open.

    Attributes:
        by_window: Workers that a window's process started, directly or through other workers, with the window's id.
        by_study: Workers that belong to the study but to no known window.
        unknown: Workers for which it is not known what started them.
    """

    by_window: dict[Identity, str] = field(default_factory=dict)
    by_study: Collection[Identity] = ()
    unknown: Collection[Identity] = ()


FindNestedWorkers = Callable[[Mapping[int, Process], Mapping[int, str]], NestedWorkers]
"""Function that finds the workers among all processes (by pid), given the window id of each window's process by pid."""


class NestedWorkerScopes:
    """Adds workers that trials start to the CPU scopes of the study and of the trials' windows.

    Only CPU time since the last record is added, since earlier time is charged already.
    """

    def __init__(self, find: FindNestedWorkers | None = None) -> None:
        """Set the function that finds the workers.

        Args:
            find: The function; None if trials start no workers.
        """
        self._find = find
        self._before: dict[int, Process] | None = None

    def join(self, processes: dict[int, Process], study: CpuScope, windows: Sequence[tuple[str, int, CpuScope]]) -> int:
        """Add the workers to their scopes. Call this before the scopes are updated to a new snapshot.

        Args:
            processes: The new snapshot, by pid.
            study: The study's scope.
            windows: The id, the pid of the process, and the scope of each open window.

        Returns:
            CPU time since the last snapshot, in microseconds, of workers for which it is not known what started them.
        """
        if self._find is None:
            return 0
        before, self._before = processes if self._before is None else self._before, processes
        scopes = {name: scope for name, _, scope in windows}
        nested = self._find(processes, {pid: name for name, pid, _ in windows})
        for worker, window in nested.by_window.items():
            scopes[window].adopt(worker, before)
        for worker in (*nested.by_window, *nested.by_study):
            study.adopt(worker, before)
        return sum(_cpu_us_since(processes[pid], before) for pid, _ in nested.unknown)


def _cpu_us_since(process: Process, before: Mapping[int, Process]) -> int:
    """Return the CPU time that a process has used since an earlier snapshot, in microseconds."""
    earlier = before.get(process.pid)
    known_us = earlier.cpu_us if earlier and earlier.identity == process.identity else 0
    return process.cpu_us - known_us
