"""Number of cores that this process may use, which containers, taskset and batch jobs can limit."""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cores(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores in this process's affinity, or the CPU quota of its control groups if that is lower.

    Quotas are rounded up to whole cores.

    Args:
        groups: File that lists the control groups of the process.
        mount: Folder in which control groups are mounted.
    """
    return min([len(os.sched_getaffinity(0)), *(max(1, ceil(quota)) for quota in _quotas(groups, mount))])


def _quotas(groups: Path, mount: Path) -> Iterator[float]:
    """Yield the quotas of the process's control groups and of all groups above them, in cores (cgroup v2 and v1)."""
    with suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            place = Path(os.path.normpath(f"/{group}"))
            for folder in (place, *place.parents):
                with suppress(OSError, ValueError, ZeroDivisionError):  # no such group here, or no quota ("max", -1)
                    quota, period = _quota_us(
                        mount / ("cpu" if controllers else "") / str(folder).lstrip("/"), controllers
                    )
                    if quota > 0:
                        yield quota / period


def _quota_us(folder: Path, controllers: str) -> tuple[int, int]:
    """Return quota and period of a control group, in microseconds."""
    if controllers:  # version 1
        return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period)
