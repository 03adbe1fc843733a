"""Exchange between the meters of studies that run on the same node.

Two studies that run at the same time must not both be charged the idle power of the node, and neither must be charged
the memory and the GPUs that the other holds. So every meter appends what its trials hold to a file,
``meters.jsonl`` in :func:`shared_folder`, which all meters of the node read. The file is written and read under one
lock, and the time of each change is taken under that lock too, so all meters agree on which study held what at which
time. While a meter runs, it also holds a lock on a file ``<meter id>.alive``, so the others notice when it is killed.
Meters that see different folders, such as those in different containers, do not know of each other.
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

from kdtune.storage.field_types import Count
from kdtune.storage.parsing import parse_json
from kdtune.storage.records import exact


@exact
@dataclass(frozen=True)
class Neighbours:
    """What the other studies on the node hold, from one moment until the next change.

    Attributes:
        t_ns: Start of this state, on the clock of :class:`~kdtune.energy.sensors.node.Counters`, in nanoseconds.
        others: Number of other studies that are metered.
        before: Number of them that come before this one when an indivisible microjoule is assigned.
        cpus_milli: Thousandths of cores that their trials hold.
        gpus_milli: Thousandths of each GPU that their trials hold, by UUID.
    """

    t_ns: Count
    others: Count
    before: Count = 0
    cpus_milli: Count = 0
    gpus_milli: dict[str, Count] = field(default_factory=dict)


#: Upper bound of the numbers in the shared file, low enough that sums of many of them are valid in a ledger.
_MAX_COUNT = 2**53


def shared_folder() -> Path:
    """Return the folder through which the meters of a machine exchange what they hold.

    It is in memory if possible, so that it is empty after each boot. ``$KDTUNE_METERS_DIR`` names another folder, such
    as one that several containers of a machine share.
    """
    if chosen := os.environ.get("KDTUNE_METERS_DIR"):
        return Path(chosen)
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    return (memory if usable else Path(tempfile.gettempdir())) / "kdtune"


class MeterRegistry:
    """Registry of the meters on a node, as one of these meters uses it.

    If the shared folder cannot be used, the meter behaves as if it were the only one.
    """

    def __init__(self, meter_id: str, folder: Path | None = None) -> None:
        """Set the id and the folder. The other meters do not see this one before :meth:`register`.

        Args:
            meter_id: Id of the meter; a meter that is killed and restarted keeps its id.
            folder: Folder of the shared files; :func:`shared_folder` by default.
        """
        self._id = meter_id
        self._folder = folder or shared_folder()
        self._alive_lock: int | None = None
        self._file: int | None = None
        self._read_offset = 0
        self._held: dict[str, dict[str, Any]] = {}
        self._history = [Neighbours(0, 0)]

    def register(self) -> None:
        """Make this meter visible to the others.

        It stays visible until :meth:`deregister`, or until every process that registered with this id has ended.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # another user made it
                self._folder.chmod(0o1777)
            self._alive_lock = _open_for_all(self._alive_file(self._id))
            fcntl.flock(self._alive_lock, fcntl.LOCK_SH)
        except OSError:
            self._alive_lock = None

    @contextmanager
    def locked(self, since_ns: int) -> Iterator[list[Neighbours]]:
        """Hold the lock on the shared file, so that no meter changes anything while the counters are read.

        Args:
            since_ns: Start of the time whose states are wanted, in nanoseconds.

        Yields:
            The states of the other studies, oldest first and beginning with that at ``since_ns``; empty if there was
            no other study during the whole time.
        """
        if self._alive_lock is None:
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
            earlier = [place for place, state in enumerate(self._history) if state.t_ns <= since_ns]
            self._history = self._history[earlier[-1] if earlier else 0 :]
            yield list(self._history) if any(state.others for state in self._history) else []
        finally:
            os.close(self._file)
            self._file = None

    def announce(self, t_ns: int, cpus_milli: int, gpus_milli: Mapping[str, int]) -> bool:
        """Announce what this meter's trials hold from a moment on. Call it inside :meth:`locked`.

        Args:
            t_ns: The moment, in nanoseconds.
            cpus_milli: Thousandths of cores.
            gpus_milli: Thousandths of each GPU, by UUID.

        Returns:
            False if the announcement could not be written, for example because the disk is full. True if the others
            can read it, or if this meter cannot use the folder and counts as the only one.
        """
        if self._alive_lock is None:
            return True
        return self._file is not None and self._append(self._id, t_ns, {"cpus": cpus_milli, "gpus": dict(gpus_milli)})

    def deregister(self, t_ns: int) -> None:
        """Announce that this meter has ended. Call it inside :meth:`locked`.

        Nothing is written for a meter that never held anything, since the others did not count it.

        Args:
            t_ns: The moment, in nanoseconds.
        """
        if self._alive_lock is not None:
            if self._id in self._held and self._file is not None:
                self._append(self._id, t_ns, None)
            self._alive_file(self._id).unlink(missing_ok=True)
            os.close(self._alive_lock)
            self._alive_lock = None

    def deregister_now(self) -> None:
        """Deregister with the lock, however the study ended. Calling it again has no effect."""
        with self.locked(0):
            self.deregister(time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def _alive_file(self, meter_id: str) -> Path:
        return self._folder / f"{meter_id}.alive"

    def _append(self, meter_id: str, t_ns: int, held: dict[str, Any] | None) -> bool:
        """Append what a meter holds (None: it has ended) to the shared file; return whether that succeeded."""
        assert self._file is not None, "only inside locked()"
        if held and meter_id not in self._held and not self._held:
            os.ftruncate(self._file, 0)  # no other meter is present, so the old lines are not needed
            self._read_offset = 0
        end = os.lseek(self._file, 0, os.SEEK_END)
        line = json.dumps({"t_ns": t_ns, "meter": meter_id, "held": held}, separators=(",", ":")).encode() + b"\n"
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError:
            whole = False
        if not whole:
            os.ftruncate(self._file, end)  # the disk is full; half a line would also damage the next one
            return False
        self._read(self._file)
        return True

    def _catch_up(self) -> None:
        """Read new lines, and announce the end of meters that were killed before they could announce it."""
        assert self._file is not None
        self._read(self._file)
        for meter_id in [one for one in self._held if one != self._id and not self._is_alive(one)]:
            self._append(meter_id, time.clock_gettime_ns(time.CLOCK_MONOTONIC), None)

    def _read(self, file: int) -> None:
        """Read the lines that were appended since the last call."""
        size = os.fstat(file).st_size
        if size < self._read_offset:  # a meter that found no other one has emptied the file
            self._read_offset, self._held = 0, {}
        raw = os.pread(file, size - self._read_offset, self._read_offset)
        self._read_offset = size
        for text in raw.splitlines():
            try:
                line = parse_json(text)
                meter_id, held, t_ns = str(line["meter"]), line["held"], _checked_count(line["t_ns"])
                if "/" in meter_id or "\0" in meter_id:
                    raise ValueError("the id would name a file outside the folder")
                if held is None:
                    self._held.pop(meter_id, None)
                else:
                    gpus = {str(uuid): _checked_count(milli) for uuid, milli in held["gpus"].items()}
                    self._held[meter_id] = {"cpus": _checked_count(held["cpus"]), "gpus": gpus}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # any user of the machine can write to this file, so invalid lines are ignored
            if meter_id != self._id:
                self._history.append(self._state_at(t_ns))

    def _state_at(self, t_ns: int) -> Neighbours:
        """Return what the other studies hold now, as a state that starts at a moment."""
        others = {meter_id: held for meter_id, held in self._held.items() if meter_id != self._id}
        gpus: dict[str, int] = {}
        for held in others.values():
            for uuid, milli in held["gpus"].items():
                gpus[uuid] = gpus.get(uuid, 0) + milli
        before = sum(meter_id < self._id for meter_id in others)
        return Neighbours(t_ns, len(others), before, sum(held["cpus"] for held in others.values()), gpus)

    def _is_alive(self, meter_id: str) -> bool:
        """Return whether a meter still runs; if not, remove its file."""
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
            with suppress(OSError):  # a file of another user stays until the next boot, which does no harm
                self._alive_file(meter_id).unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)


def _checked_count(value: Any) -> int:
    """Return a value of the shared file as an integer.

    Raises:
        ValueError: It is not a number that a meter can have written.
    """
    if not 0 <= (number := int(value)) < _MAX_COUNT:
        raise ValueError(f"{number} is out of range")
    return number


def _open_for_all(path: Path) -> int:
    """Open a file that all users may read and write, creating it if necessary; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(PermissionError):  # another user made it
        os.fchmod(descriptor, 0o666)
    return descriptor
