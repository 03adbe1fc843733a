"""Ensures that a process meters only one study or experiment at a time.

The CPU time of the driver is charged to the study that it runs. With two at once it could not be divided, and both
would be charged for it.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kdtune.errors import UsageError


@dataclass(frozen=True)
class _Work:
    end: Callable[[], None]
    thread: threading.Thread
    within: str | None

    def is_running(self) -> bool:
        """Return whether the work continues. Work that Tune ran in the current thread is over."""
        if self.within is None:
            return self.thread.is_alive()
        return self.thread is not threading.current_thread() and _is_within(self.thread, self.within)


_lock = threading.RLock()
_under_way: list[_Work] = []


def begin(end: Callable[[], None], within: str | None = None) -> None:
    """Record that metering begins, and end the metering of work that stopped without notice.

    Tune does not report some failures of an experiment to its callbacks. The remaining meters would then be taken
    for those of another study on the node.

    Args:
        end: Function that ends the metering.
        within: Module in which the thread stays while the work continues; None if :func:`ended` is always called.

    Raises:
        UsageError: This process is already metering another study or experiment.
    """
    with _lock:
        refuse_another()
        for work in list(_under_way):
            work.end()
            ended(work.end)
        _under_way.append(_Work(end, threading.current_thread(), within))


def refuse_another() -> None:
    """Make sure that this process is not metering another study or experiment.

    Raises:
        UsageError: It is.
    """
    with _lock:
        if any(work.is_running() for work in _under_way):
            raise UsageError(
                "another study or another experiment with an EnergyLedger is running in this process, and the energy "
                "of one process cannot be divided between two; run them one after the other, or in separate "
                "processes"
            )


def ended(end: Callable[[], None]) -> None:
    """Record that the metering has ended; may be called more than once.

    Args:
        end: The function that was given to :func:`begin`.
    """
    with _lock:
        _under_way[:] = [work for work in _under_way if work.end != end]


def _is_within(thread: threading.Thread, module: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame:
        if frame.f_globals.get("__name__") == module:
            return True
        frame = frame.f_back
    return False
