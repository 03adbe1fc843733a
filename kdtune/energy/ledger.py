"""The energy ledger: an append-only JSON-lines file for each node, with absolute counters.

Each line is one event. It contains all counters of the node at one moment, the CPU time of the study's processes, and
the CPU time of each open window. No figure is computed before the line is written: :mod:`kdtune.energy.attribution`
computes everything from the file, so every report can be made again. Each line is synced to disk and contains the
checksum of the line before it, so a line that was changed or removed is detected.

Kinds of lines:

``start``   Metering begins, or begins again, in this file; contains the hardware.
``resume``  The meter was killed and restarted while the study continued, so all windows stay open.
``sample``  Written about once a second.
``open``    A window opens: one process begins an attempt of a trial, or an evaluation.
``close``   A window closes.
``stop``    Metering ends in this file; energy used later belongs to other ledgers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Counters, Hardware
from kdtune.errors import ResultsError
from kdtune.storage.field_types import Count, SignedCount
from kdtune.storage.journal import Journal, JournalError, LineChecksums
from kdtune.storage.records import exact, faults, parsed, strict

VERSION = 3

WindowBucket = Literal["trials", "evaluation", "orchestration"]

Kind = Literal["start", "resume", "sample", "open", "close", "stop"]


Key = tuple[str, str, int]
"""Unique key of a record: boot id, meter id and sequence number."""


#: What the user can do about a damaged ledger.
_REMEDY = "replace the file with an intact copy"


#: Cores, or the share of a GPU, that Ray allocated.
Share = Annotated[float, Field(ge=0, le=1e6)]


@exact
@dataclass(frozen=True)
class Window:
    """A time during which the energy of one process and its resources is charged to one trial or evaluation.

    Attributes:
        id: Id, unique within a ledger: trial and attempt, such as ``1a2b3c4d5e6f/1``.
        bucket: ``trials`` or ``evaluation``; ``orchestration`` while a worker with a GPU is being prepared.
        pid: Process that does the work.
        cpus: Cores that Ray allocated to it.
        gpus: GPUs that Ray allocated to it: the share of each, above 0 and at most 1, by UUID.
    """

    id: str
    bucket: WindowBucket
    pid: int
    cpus: Share
    gpus: dict[str, Share] = field(default_factory=dict)


@strict
@dataclass(frozen=True)
class Record:
    """One line of the ledger.

    Attributes:
        kind: Kind of the line; see the module's docstring.
        meter: Id of the meter that wrote the line; each start of a meter has another one.
        seq: Number of the line among those of its meter, from 0.
        counters: The node's counters.
        study_us: CPU time of all processes of the study on this node, as a counter in microseconds.
        windows: CPU time of each open window since it opened, in microseconds, by id; includes a window that closes.
        window: The window that opens or closes.
        reason: Why the window closes.
        hardware: The node's hardware, in ``start`` and ``resume``.
        neighbours: What the meters of other studies held on the node since the last record; empty if there were none.
        began: The counters when the current command began, in a later ``start`` of its meter. If an earlier command
            wrote to the same file, the gap between the two ends there; the session's own ledger covers the time from
            then on.
        nodes: Names of all metered nodes, in a ``start`` if there are several; each has a file beside this one.
        unknown_us: CPU time, since the last record, of Ray workers that cannot be assigned to the trial that started
            them, in microseconds.
    """

    kind: Kind
    meter: str
    seq: Count
    counters: Counters
    study_us: SignedCount
    windows: dict[str, SignedCount] = field(default_factory=dict)
    window: Window | None = None
    reason: str | None = None
    hardware: Hardware | None = None
    neighbours: tuple[Neighbours, ...] = ()
    began: Counters | None = None
    nodes: tuple[str, ...] = ()
    unknown_us: SignedCount = 0

    @property
    def key(self) -> Key:
        """Key that no other record has."""
        return self.counters.boot_id, self.meter, self.seq

    def as_line(self) -> dict[str, Any]:
        """Return the JSON object that is written to the ledger, without optional values that are empty."""
        line: dict[str, Any] = {"v": VERSION, "kind": self.kind, "meter": self.meter, "seq": self.seq}
        line |= {key: value for key, value in asdict(self.counters).items() if value != {}}
        line |= {"study_us": self.study_us}
        if self.windows:
            line["windows"] = self.windows
        if self.window:
            line["window"] = asdict(self.window)
        if self.reason:
            line["reason"] = self.reason
        if self.hardware:
            line["hardware"] = self.hardware.as_record()
        if self.neighbours:
            line["neighbours"] = [asdict(state) for state in self.neighbours]
        if self.began:
            line["began"] = asdict(self.began)
        if self.nodes:
            line["nodes"] = list(self.nodes)
        if self.unknown_us:
            line["unknown_us"] = self.unknown_us
        return line

    @classmethod
    def from_line(cls, line: dict[str, Any]) -> "Record":
        """Return the record that a JSON object written by :meth:`as_line` describes.

        Raises:
            ValueError: A value is missing or invalid.
        """
        names = {counter.name for counter in fields(Counters)}  # they are at the top level of a line
        counters = {key: value for key, value in line.items() if key in names}
        others = {key: value for key, value in line.items() if key not in names}
        try:
            return parsed({**others, "counters": counters}, cls)
        except ValidationError as error:
            raise ValueError(faults(error)) from None


def write(path: Path, record: Record) -> None:
    """Append a record, with its checksum and that of the line before it, and sync the file to disk.

    Raises:
        ResultsError: The line before it is damaged.
    """
    try:
        _journal(path).append(record.as_line())
    except JournalError as error:
        raise ResultsError(str(error)) from None


def _journal(path: Path) -> Journal[Record]:
    return Journal(path, Record.from_line, "ledger record", _REMEDY, LineChecksums.LINKED)


def read(path: Path) -> list[Record]:
    """Return all records of a node's ledger in the order of time.

    A line that occurs twice is returned once. A last line that was only partly written is skipped.

    Raises:
        ResultsError: A line is damaged, a line in the middle is missing, or two different records have the same
            number; the message names the file.
    """
    records: dict[Key, Record] = {}
    try:
        for record in _journal(path).read():
            if records.setdefault(record.key, record) != record:
                raise ValueError(f"{path}: two different records of meter {record.meter} have number {record.seq}")
    except ValueError as error:
        raise ResultsError(str(error)) from None
    # Records of the same moment are sorted by meter and number. Boots and meters are sorted by their first appearance
    # in the file, since their ids have no order.
    boots = {boot: index for index, boot in enumerate(dict.fromkeys(r.counters.boot_id for r in records.values()))}
    meters = {meter: index for index, meter in enumerate(dict.fromkeys(r.meter for r in records.values()))}
    return sorted(records.values(), key=lambda r: (boots[r.counters.boot_id], r.counters.t_ns, meters[r.meter], r.seq))


def read_folder(folder: Path) -> dict[str, list[Record]]:
    """Return the records of every node, by the stem of its file's name; empty if the folder does not exist.

    Raises:
        ResultsError: A file is damaged, or contains records of another file, whose energy would count twice.
    """
    nodes = {path.stem: read(path) for path in sorted(folder.glob("*.jsonl"))}
    _refuse_copies(folder, nodes)
    return nodes


def _refuse_copies(folder: Path, nodes: Mapping[str, list[Record]]) -> None:
    node_of: dict[Key, str] = {}
    for name, records in nodes.items():
        for record in records:
            if (other := node_of.setdefault(record.key, name)) != name:
                raise ResultsError(
                    f"{folder / name}.jsonl: contains records of {other}.jsonl, whose energy would count twice; remove "
                    "the file that is a copy"
                )
