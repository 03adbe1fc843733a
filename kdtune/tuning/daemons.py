"""Whether Ray is alive: without its daemons a driver waits for a minute, and is then ended by Ray without a word."""

import os
from collections.abc import Iterable

from kdtune.energy.processes import Identity, is_alive, snapshot
from kdtune.errors import RayError

#: The processes without which nothing goes on, by the names that Ray gives them.
NAMES = ("gcs_server", "raylet")


class Daemons:
    """Ray's daemons where this process started them; none of a cluster that ran before."""

    def __init__(self, started: Iterable[tuple[str, Identity]] = ()) -> None:
        """Watch processes.

        Args:
            started: Name and identity of each.
        """
        self._started = list(started)

    @classmethod
    def of_this_process(cls) -> "Daemons":
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
