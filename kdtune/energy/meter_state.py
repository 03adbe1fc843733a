"""State that a meter saves for its successor, in case it is killed while its study continues."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdtune.energy.processes import CpuScope, Process
from kdtune.storage.files import replaced_atomically


class MeterState:
    """A file with the state of a running meter, replaced with every record of the ledger."""

    def __init__(self, path: Path) -> None:
        """Set the path. The file is neither read nor written.

        Args:
            path: Path of the file.
        """
        self._path = path

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state.

        Args:
            state: A JSON object; its ``drivers`` are the processes (pid and start) whose end is the end of the study.
        """
        try:
            with replaced_atomically(self._path, sync=False) as file:  # it must survive the process, not the machine
                file.write(json.dumps(state, separators=(",", ":")).encode())
        except OSError:
            # The disk is full. The running meter does not need the file, but an outdated state would mislead its
            # successor.
            with suppress(OSError):
                self.remove()

    def load(self, processes: dict[int, Process]) -> dict[str, Any] | None:
        """Return the saved state, or None if there is none that can be used.

        If the study of the state has ended, the file is removed. A file that belongs to another user is ignored.

        Args:
            processes: The running processes, by pid.
        """
        if not self._path.exists() or self._path.lstat().st_uid != os.geteuid():
            return None  # a state written by another user could redirect this user's ledger to another file
        state: dict[str, Any] = json.loads(self._path.read_text())
        drivers = [(pid, started) for pid, started in state["drivers"]]
        # On nodes other than the driver's the list is empty; there, Ray ends the meter together with its driver.
        if drivers and not CpuScope(drivers, {}).alive(processes):
            self.remove()
            return None
        return state

    def remove(self) -> None:
        """Remove the saved state, because the study has ended or has not begun."""
        self._path.unlink(missing_ok=True)


def drop_stale(folder: Path, processes: dict[int, Process]) -> None:
    """Remove saved states of studies that were killed together with their meters.

    Args:
        folder: The folder in which meters save their states.
        processes: The running processes, by pid.
    """
    for path in folder.glob("*.state"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # another user's file, or one that is being removed
            MeterState(path).load(processes)
