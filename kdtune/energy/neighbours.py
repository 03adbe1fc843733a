"""Which studies' meters share a node at the moment, and what each has given to its trials.

Two studies that run side by side must not both be charged the idle power of the node, nor one the memory and the
GPUs that the other holds. So every meter says what it holds in a file that all meters of the node read. It is
written and read under one lock, and the moment of each change is taken under that lock too, so that all meters
agree on who held what when. Meters that see different files (other containers, say) know nothing of one another.
"""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdtune.storage.parsing import parse_json


@dataclass(frozen=True)
class Neighbours:
    """What other studies' meters had on the node, from one moment to the next change.

    Attributes:
        t_ns: From when on, on the clock of :class:`~kdtune.energy.sensors.node.Counters`.
        others: How many other studies were metered.
        before: How many of them come first when a microjoule cannot be divided.
        cpus_milli: Thousandths of cores that their trials held.
        gpus_milli: Thousandths of each GPU that their trials held, by UUID.
    """

    t_ns: int
    others: int
    before: int = 0
    cpus_milli: int = 0
    gpus_milli: dict[str, int] = field(default_factory=dict)


#: Of anything that meters tell each other; sums of many are still what a ledger takes.
_GREATEST = 2**53


def shared_folder() -> Path:
    """Returns where meters of one machine meet: in memory, so that it is empty after each boot, where that can be.

    ``$KDTUNE_METERS_DIR`` names another place, such as one that the containers of a machine share.
    """
    if chosen := os.environ.get("KDTUNE_METERS_DIR"):
        return Path(chosen)
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    return (memory if usable else Path(tempfile.gettempdir())) / "kdtune"


class Neighbourhood:
    """One study's meter among those of the node. Where the folder cannot be used, the meter counts as alone."""

    def __init__(self, meter_id: str, folder: Path | None = None) -> None:
        """Prepare; nobody is told before :meth:`join`.

        Args:
            meter_id: A meter that was killed and started again keeps it.
            folder: Where the meters meet.
        """
        self._id = meter_id
        self._folder = folder or shared_folder()
        self._alive: int | None = None
        self._file: int | None = None
        self._read_to = 0
        self._states: dict[str, dict[str, Any]] = {}
        self._told = [Neighbours(0, 0)]

    def join(self) -> None:
        """Count as present until :meth:`leave`, or until every process that joined under this name has ended."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # another user made it
                self._folder.chmod(0o1777)
            self._alive = _open_for_all(self._alive_file(self._id))
            fcntl.flock(self._alive, fcntl.LOCK_SH)
        except OSError:
            self._alive = None

    @contextmanager
    def settled(self, since_ns: int) -> Iterator[list[Neighbours]]:
        """Hold every meter's changes back while the counters are read.

        Args:
            since_ns: From when on the others matter.

        Yields:
            What the others had, oldest first, the state at ``since_ns`` before the rest; empty where there was
            nobody all the time.
        """
        if self._alive is None:
            yield []
            return
        try:
            self._file = _open_for_all(self._folder / "meters.jsonl")
        except OSError:  # the folder cannot be used any more
            yield []
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._catch_up()
            earlier = [place for place, state in enumerate(self._told) if state.t_ns <= since_ns]
            self._told = self._told[earlier[-1] if earlier else 0 :]
            yield list(self._told) if any(state.others for state in self._told) else []
        finally:
            os.close(self._file)
            self._file = None

    def hold(self, t_ns: int, cpus_milli: int, gpus_milli: Mapping[str, int]) -> bool:
        """Tell, inside :meth:`settled`, what this meter's trials hold from a moment on.

        Returns:
            Whether whoever is to know can know it; False where there is no room to tell it.
        """
        if self._alive is None:
            return True
        return self._file is not None and self._tell(self._id, t_ns, {"cpus": cpus_milli, "gpus": dict(gpus_milli)})

    def leave(self, t_ns: int) -> None:
        """Tell, inside :meth:`settled`, that this meter has ended; one that never held anything was not there."""
        if self._alive is not None:
            if self._id in self._states and self._file is not None:
                self._tell(self._id, t_ns, None)
            self._alive_file(self._id).unlink(missing_ok=True)
            os.close(self._alive)
            self._alive = None

    def withdraw(self) -> None:
        """Leave now, whatever came of the study; who has left already stays away."""
        with self.settled(0):
            self.leave(time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def _alive_file(self, meter_id: str) -> Path:
        return self._folder / f"{meter_id}.alive"

    def _tell(self, meter_id: str, t_ns: int, held: dict[str, Any] | None) -> bool:
        assert self._file is not None, "only while the others are held back"
        if held and meter_id not in self._states and not self._states:
            os.ftruncate(self._file, 0)  # the first to come: nobody needs what was
            self._read_to = 0
        end = os.lseek(self._file, 0, os.SEEK_END)
        line = json.dumps({"t_ns": t_ns, "meter": meter_id, "held": held}, separators=(",", ":")).encode() + b"\n"
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError:
            whole = False
        if not whole:
            os.ftruncate(self._file, end)  # no room; half a line would spoil the next one
            return False
        self._read(self._file)
        return True

    def _catch_up(self) -> None:
        """Read what was told; of a meter that died without a word, whoever notices first tells."""
        assert self._file is not None
        self._read(self._file)
        for meter_id in [one for one in self._states if one != self._id and not self._is_alive(one)]:
            self._tell(meter_id, time.clock_gettime_ns(time.CLOCK_MONOTONIC), None)

    def _read(self, file: int) -> None:
        size = os.fstat(file).st_size
        if size < self._read_to:  # begun anew by a meter that was alone
            self._read_to, self._states = 0, {}
        raw = os.pread(file, size - self._read_to, self._read_to)
        self._read_to = size
        for text in raw.splitlines():
            try:
                line = parse_json(text)
                meter_id, held, t_ns = str(line["meter"]), line["held"], _count(line["t_ns"])
                if "/" in meter_id or "\0" in meter_id:
                    raise ValueError("it would name a file somewhere else")
                if held is None:
                    self._states.pop(meter_id, None)
                else:
                    gpus = {str(uuid): _count(milli) for uuid, milli in held["gpus"].items()}
                    self._states[meter_id] = {"cpus": _count(held["cpus"]), "gpus": gpus}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # any user of the machine may write here; a line of nonsense says nothing
            if meter_id != self._id:
                self._told.append(self._now(t_ns))

    def _now(self, t_ns: int) -> Neighbours:
        others = {meter_id: held for meter_id, held in self._states.items() if meter_id != self._id}
        gpus: dict[str, int] = {}
        for held in others.values():
            for uuid, milli in held["gpus"].items():
                gpus[uuid] = gpus.get(uuid, 0) + milli
        before = sum(meter_id < self._id for meter_id in others)
        return Neighbours(t_ns, len(others), before, sum(held["cpus"] for held in others.values()), gpus)

    def _is_alive(self, meter_id: str) -> bool:
        try:
            descriptor = os.open(self._alive_file(meter_id), os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            with suppress(OSError):  # another user's stays until the next boot; that its meter is gone is told anyhow
                self._alive_file(meter_id).unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)


def _count(value: Any) -> int:
    """A number that a meter may have told.

    Raises:
        ValueError: None can have.
    """
    if not 0 <= (number := int(value)) < _GREATEST:
        raise ValueError(f"{number} is no count")
    return number


def _open_for_all(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(PermissionError):  # made by another user
        os.fchmod(descriptor, 0o666)
    return descriptor
