"""What a meter keeps for its successor, should it be killed while its study goes on."""

import json
from pathlib import Path
from typing import Any

from kdtune.energy.processes import CpuScope, snapshot
from kdtune.files import replaced_atomically


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
        with replaced_atomically(self._path, sync=False) as file:  # it has to survive the process, not the machine
            file.write(json.dumps(state, separators=(",", ":")).encode())

    def load(self) -> dict[str, Any] | None:
        """What was kept, if the study it tells of still runs: nobody goes on for a dead one."""
        if not self._path.exists():
            return None
        state: dict[str, Any] = json.loads(self._path.read_text())
        drivers = [(pid, started) for pid, started in state["drivers"]]
        # Other nodes than the driver's know of none; there Ray ends the meter with its driver.
        if drivers and not CpuScope(drivers, {}).alive(snapshot()):
            self.drop()
            return None
        return state

    def drop(self) -> None:
        """The study has ended, or begun nothing yet: there is nothing to go on with."""
        self._path.unlink(missing_ok=True)
