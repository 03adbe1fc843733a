"""What this process meters at the moment: one study or experiment at a time.

The driver's own CPU time belongs to the one that it works for. Of two at once nobody could say whose it is, and it
would be charged to both.
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
        """Whether it goes on. What Tune ran in this thread is over, since this thread is here."""
        if self.within is None:
            return self.thread.is_alive()
        return self.thread is not threading.current_thread() and _is_within(self.thread, self.within)


_lock = threading.RLock()
_under_way: list[_Work] = []


def begin(end: Callable[[], None], within: str | None = None) -> None:
    """Note that metering begins, and end what was metered before and stopped without saying so.

    The meters of an experiment that failed in a way in which Tune tells its callbacks nothing would pass for those of
    another study on the node.

    Args:
        end: Ends the metering.
        within: The module in which the thread stays for as long as the work goes on; None where :func:`ended` is
            called in any case.

    Raises:
        UsageError: A study or an experiment that is metered is at work in this process.
    """
    with _lock:
        refuse_another()
        for work in list(_under_way):
            work.end()
            ended(work.end)
        _under_way.append(_Work(end, threading.current_thread(), within))


def refuse_another() -> None:
    """Make sure that nothing else is metered in this process.

    Raises:
        UsageError: A study or an experiment that is metered is at work.
    """
    with _lock:
        if any(work.is_running() for work in _under_way):
            raise UsageError(
                "another study or another experiment with an EnergyLedger is running in this process, and the energy "
                "of one process cannot be divided between two; run them one after the other, or each in a process of "
                "its own"
            )


def ended(end: Callable[[], None]) -> None:
    """Note that the metering has ended; noting it again changes nothing.

    Args:
        end: As it was given to :func:`begin`.
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
