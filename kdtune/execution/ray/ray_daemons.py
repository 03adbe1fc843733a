"""Whether Ray is alive: without its daemons a driver waits for a minute, and is then ended by Ray without a word."""

import os
import signal
import sys
import threading
from collections.abc import Iterable

from kdtune.energy.processes import Identity, is_alive, snapshot
from kdtune.errors import RayError

#: The processes without which nothing goes on, by the names that Ray gives them.
NAMES = ("gcs_server", "raylet")

#: Seconds between two looks of the thread that watches, and for how long a process whose Ray is dead may go on.
WATCH_S, GRACE_S = 1.0, 15.0


class RayDaemons:
    """Ray's daemons where this process started them; none of a cluster that ran before."""

    def __init__(self, started: Iterable[tuple[str, Identity]] = ()) -> None:
        """Watch processes.

        Args:
            started: Name and identity of each.
        """
        self._started = list(started)
        self._over = threading.Event()

    @classmethod
    def of_this_process(cls) -> "RayDaemons":
        """Those among this process's children."""
        children = [process for process in snapshot().values() if process.parent == os.getpid() and process.alive]
        return cls((process.name, process.identity) for process in children if process.name in NAMES)

    def check(self) -> None:
        """Make sure that all are alive.

        Raises:
            RayError: One is not.
        """
        for name, identity in self._started:
            if not is_alive(identity):
                raise RayError(f"Ray's {name} (process {identity[0]}) died")

    def watch(self, remedy: str) -> None:
        """End this process if a daemon dies and :meth:`unwatch` does not follow soon.

        Whoever asks Ray for something at the wrong moment never comes back, and after a minute Ray ends the process
        without a word. Everything that counts is on the disk by then, so it is ended a little earlier and with one.

        Args:
            remedy: What the user is told after what happened.
        """
        if self._started:
            threading.Thread(target=self._watch, args=(remedy,), daemon=True, name="kdtune-ray").start()

    def unwatch(self) -> None:
        """Ray is about to be shut down, or has been left."""
        self._over.set()

    def _watch(self, remedy: str) -> None:
        while not self._over.wait(WATCH_S):
            try:
                self.check()
            except RayError as error:
                if not self._over.wait(GRACE_S):
                    self._end(f"error: {error}\n{remedy}\n", error.exit_code)

    def _end(self, words: str, code: int) -> None:
        sys.stderr.write(words)
        sys.stderr.flush()
        for _, identity in self._started:  # workers follow them
            if is_alive(identity):
                os.kill(identity[0], signal.SIGKILL)
        os._exit(code)
