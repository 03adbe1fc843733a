"""Checks that Ray's daemons are alive; without them, Ray ends the driver after a minute without a message."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from kdtune.energy.processes import Identity, is_alive, snapshot, with_descendants
from kdtune.errors import RayError, StudyInterrupted
from kdtune.execution.interrupts import Interrupts

#: Names of the processes that Ray cannot work without.
NAMES = ("gcs_server", "raylet")

#: Seconds between two checks of the watching thread.
WATCH_S = 1.0

#: Seconds for which this process may continue after Ray died. If the user asked to stop, it has no further ones: a
#: scheduler would soon kill it, and its power is charged until it ends.
GRACE_S, FURTHER_GRACE_S = 5.0, 10.0

#: Seconds between two looks at processes that were killed and are about to end.
POLL_S = 0.01


class RayDaemons:
    """The daemons of Ray that this process started; empty for an existing cluster."""

    def __init__(self, started: Iterable[tuple[str, Identity]] = ()) -> None:
        """Use a set of daemons.

        Args:
            started: Name and identity of each daemon.
        """
        self._started = list(started)
        self._over = threading.Event()

    @classmethod
    def of_this_process(cls) -> "RayDaemons":
        """Return the daemons among the children of this process."""
        children = [process for process in snapshot().values() if process.parent == os.getpid() and process.alive]
        return cls((process.name, process.identity) for process in children if process.name in NAMES)

    def check(self) -> None:
        """Make sure that all daemons are alive.

        Raises:
            RayError: A daemon has died.
        """
        for name, identity in self._started:
            if not is_alive(identity):
                raise RayError(f"Ray's {name} (process {identity[0]}) died")

    def watch(self, remedy: str, interrupts: Interrupts, before_end: Callable[[], None] = lambda: None) -> None:
        """End this process if a daemon dies and :meth:`unwatch` is not called soon afterwards.

        A request to a dead Ray may never return, and after a minute Ray ends the process without a message. All
        results are on disk by then, so the process is ended a little earlier and with a message.

        Args:
            remedy: Advice that follows the error message.
            interrupts: Tells whether the user asked to stop, by a signal that may have ended the daemons as well.
            before_end: Called in the watching thread, after the message, when this process is about to be ended.
        """
        if self._started:
            threading.Thread(
                target=self._watch, args=(remedy, interrupts, before_end), daemon=True, name="kdtune-ray"
            ).start()

    def unwatch(self) -> None:
        """Stop watching, since Ray is about to end or was left."""
        self._over.set()

    def _watch(self, remedy: str, interrupts: Interrupts, before_end: Callable[[], None]) -> None:
        while not self._over.wait(WATCH_S):
            try:
                self.check()
            except RayError as error:
                if self._over.wait(GRACE_S) or (not interrupts.requested and self._over.wait(FURTHER_GRACE_S)):
                    return
                if interrupts.requested:
                    self._end(f"Interrupted.\n{remedy}\n", StudyInterrupted.exit_code, before_end)
                else:
                    self._end(f"error: {error}\n{remedy}\n", error.exit_code, before_end)

    def _end(self, words: str, code: int, before_end: Callable[[], None]) -> None:
        sys.stderr.write(words)
        sys.stderr.flush()
        try:
            self._kill()
            before_end()
        finally:
            os._exit(code)

    def _kill(self) -> None:
        """End the daemons and their workers; the meter must not write a sample after the last record of a ledger."""
        processes = with_descendants([identity for _, identity in self._started], snapshot()).values()
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        while any(is_alive(process.identity) for process in processes):
            time.sleep(POLL_S)
