"""State that a meter saves for its successor, in case it is killed while its study continues."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdtune.energy.ledger import Record, Window
from kdtune.energy.processes import CpuScope, Identity, Process
from kdtune.energy.sensors.node import Counters
from kdtune.storage.files import is_abandoned, replaced_atomically

Windows = dict[str, tuple[Window, CpuScope]]
"""Open windows by id, each with the CPU scope that counts the CPU time since the window opened."""


@dataclass(frozen=True)
class SavedMeter:
    """State from which another meter can continue.

    Attributes:
        path: The ledger file.
        record: The last record, which may be missing in the ledger.
        study: CPU scope of the study.
        windows: The open windows.
        sensors: State of the sensors.
        ended: Energy by bucket, in microjoules, of the ledger files that are complete.
        began: The counters when the meter began.
        drivers: Processes whose end is the end of the study.
        nodes: Names of all metered nodes, if there are several.
    """

    path: Path
    record: Record
    study: CpuScope
    windows: Windows
    sensors: dict[str, Any]
    ended: dict[str, int]
    began: Counters
    drivers: list[Identity]
    nodes: tuple[str, ...]

    def as_state(self) -> dict[str, Any]:
        """Return the JSON object that is saved."""
        return {
            "path": str(self.path),
            "record": self.record.as_line(),
            "study": self.study.as_state(),
            "windows": [
                {"window": asdict(window), "scope": scope.as_state()} for window, scope in self.windows.values()
            ],
            "sensors": self.sensors,
            "ended": self.ended,
            "began": asdict(self.began),
            "drivers": self.drivers,
            "nodes": self.nodes,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "SavedMeter":
        """Return the state that a JSON object written by :meth:`as_state` describes."""
        return cls(
            path=Path(state["path"]),
            record=Record.from_line(state["record"]),
            study=CpuScope.from_state(state["study"]),
            windows={
                one["window"]["id"]: (Window(**one["window"]), CpuScope.from_state(one["scope"]))
                for one in state["windows"]
            },
            sensors=state["sensors"],
            ended=dict(state["ended"]),
            began=Counters(**state["began"]),
            drivers=[(pid, started) for pid, started in state["drivers"]],
            nodes=tuple(state["nodes"]),
        )


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
        state = MeterState(path)
        with suppress(OSError, ValueError, KeyError, TypeError):  # another user's file, or one that is being removed
            if state.load(processes) and is_abandoned(path):  # on a machine other than that of its driver
                state.remove()
