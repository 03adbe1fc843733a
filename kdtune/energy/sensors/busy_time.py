"""Busy CPU time of all cores of a machine, as a counter that never decreases."""

import time

import psutil

#: A decrease by at most this, in microseconds, is a rounding error: the counter then stays constant for a moment.
_ROUNDING_US = 1_000_000

#: A decrease by more than this, in microseconds, means that the kernel's count was reset.
STEP_US = 60_000_000

#: Maximum time in nanoseconds for reading the kernel's counts between two readings of the clock; number of attempts.
_AT_ONCE_NS, _TRIES = 5_000_000, 5


def busy_us() -> tuple[int, int]:
    """Return the time since boot in nanoseconds, and the busy time of all cores until then in microseconds.

    Linux measures the idle time of a core, but only samples its busy time. For programs that work in short bursts, the
    sampled time is less than the CPU time of their processes, and two simultaneous studies would together be charged
    more than the whole. So the busy time is the elapsed time minus the idle time. The sampled time is used if it is
    greater, which happens if the system does not report idle time or counts it from another moment than the clock.
    Time in which a virtual core waited for its host counts as busy.
    """
    for _ in range(_TRIES):
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        cores = psutil.cpu_times(percpu=True)
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if now_ns - before_ns <= _AT_ONCE_NS:
            break
    # User time includes guest time.
    sampled_s = sum(core.user + core.nice + core.system + core.irq + core.softirq for core in cores)
    idle_s = sum(core.idle + core.iowait for core in cores)
    left_us = len(cores) * before_ns // 1000 - round(idle_s * 1e6) if idle_s else 0
    return before_ns, max(left_us, round(sampled_s * 1e6))


class BusyTime:
    """Corrects the kernel's count where it decreases, because a core went offline or a virtual machine was moved."""

    def __init__(self) -> None:
        self._last_us = 0
        #: Sum of all decreases so far, in microseconds.
        self.stepped_us = 0

    def read(self) -> tuple[int, int]:
        """Return time and busy time like :func:`busy_us`, with decreases corrected; a reset is not corrected."""
        t_ns, counted_us = busy_us()
        fell_us = self._last_us - (counted_us + self.stepped_us)
        if fell_us > STEP_US:
            self.stepped_us = self._last_us = 0
        elif fell_us > _ROUNDING_US:
            self.stepped_us += fell_us
        self._last_us = max(self._last_us, counted_us + self.stepped_us)
        return t_ns, self._last_us
