"""CPU time of a machine's cores in which they worked, as a counter that rises and never falls."""

import time

import psutil

#: Falls of the count by no more than this, in microseconds, are rounding: it stands still until it is caught up with.
_ROUNDING_US = 1_000_000

#: Falls by more than this are no step but a count that started anew.
STEP_US = 60_000_000

#: Between two looks at the clock with the kernel's counts in the middle, in nanoseconds; and how often it is tried.
_AT_ONCE_NS, _TRIES = 5_000_000, 5


def busy_us() -> tuple[int, int]:
    """Time since boot in nanoseconds, and the CPU time of all cores until then in which they worked, in microseconds.

    Linux measures how long a core was idle, but only samples what else it did: of a program that works in short bursts
    the sample finds less than the processes were given, and two studies side by side would together be charged more
    than all. So it is what idle time leaves, or the sample where that is more: where idle time is not told, or counts
    from another moment than the clock. A core that waited for its host was not idle.
    """
    for _ in range(_TRIES):
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        cores = psutil.cpu_times(percpu=True)
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if now_ns - before_ns <= _AT_ONCE_NS:
            break
    # Guest time is part of user time already.
    sampled_s = sum(core.user + core.nice + core.system + core.irq + core.softirq for core in cores)
    idle_s = sum(core.idle + core.iowait for core in cores)
    left_us = len(cores) * before_ns // 1000 - round(idle_s * 1e6) if idle_s else 0
    return before_ns, max(left_us, round(sampled_s * 1e6))


class BusyTime:
    """Goes on where the kernel's count makes a step back: a core that went offline, a machine that was moved."""

    def __init__(self) -> None:
        self._last_us = 0
        #: What steps back have taken away so far.
        self.stepped_us = 0

    def read(self) -> tuple[int, int]:
        """As :func:`busy_us`; a count that started anew is handed on as it is."""
        t_ns, counted_us = busy_us()
        fell_us = self._last_us - (counted_us + self.stepped_us)
        if fell_us > STEP_US:
            self.stepped_us = self._last_us = 0
        elif fell_us > _ROUNDING_US:
            self.stepped_us += fell_us
        self._last_us = max(self._last_us, counted_us + self.stepped_us)
        return t_ns, self._last_us
