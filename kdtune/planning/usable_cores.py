"""How many cores this process may use: in a container, under taskset or in a batch job fewer than the machine has."""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cores(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Returns the cores of this process's affinity, or fewer where a control group has a CPU quota (rounded up).

    Args:
        groups: The file that lists the control groups of the process.
        mount: Where the kernel shows control groups.
    """
    return min([len(os.sched_getaffinity(0)), *(max(1, ceil(quota)) for quota in _quotas(groups, mount))])


def _quotas(groups: Path, mount: Path) -> Iterator[float]:
    """Quotas of the process's control groups and of all groups above them, in cores (cgroup v2 and v1)."""
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
    if controllers:  # version 1
        return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period)
