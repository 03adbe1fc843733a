"""What a meter keeps for its successor, should it be killed while its study goes on."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdtune.energy.processes import CpuScope, Process
from kdtune.storage.files import replaced_atomically


class MeterState:
    """One file, replaced with every record of the ledger."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet."""
        self._path = path

    def keep(self, state: dict[str, Any]) -> None:
        """Replace what is kept.

        Args:
            state: JSON; ``drivers`` are the processes (pid and start) without which there is no study.
        """
        try:
            with replaced_atomically(self._path, sync=False) as file:  # it has to survive the process, not the machine
                file.write(json.dumps(state, separators=(",", ":")).encode())
        except OSError:
            # No room. A meter that is well needs none of this, and a successor is misled by what was true earlier.
            with suppress(OSError):
                self.drop()

    def load(self, processes: dict[int, Process]) -> dict[str, Any] | None:
        """What was kept, if the study it tells of still runs: nobody goes on for a dead one.

        Args:
            processes: What runs.
        """
        if not self._path.exists() or self._path.lstat().st_uid != os.geteuid():
            return None  # whatever another user put here, this one's energy is not written where it says
        state: dict[str, Any] = json.loads(self._path.read_text())
        drivers = [(pid, started) for pid, started in state["drivers"]]
        # Other nodes than the driver's know of none; there Ray ends the meter with its driver.
        if drivers and not CpuScope(drivers, {}).alive(processes):
            self.drop()
            return None
        return state

    def drop(self) -> None:
        """The study has ended, or begun nothing yet: there is nothing to go on with."""
        self._path.unlink(missing_ok=True)


def drop_stale(folder: Path, processes: dict[int, Process]) -> None:
    """Remove what was kept for studies that were killed together with their meters.

    Args:
        folder: Where meters keep it.
        processes: What runs.
    """
    for path in folder.glob("*.state"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # another user's, or half removed
            MeterState(path).load(processes)
