"""The energy ledger: one append-only file a node, one line an event, absolute counters.

A line holds every counter of the node at one moment, the CPU time of the study's processes, and that of each
open window. Nothing is computed before it is written: :mod:`kdtune.energy.attribution` does that from the file,
so that any report can be made again. Lines are forced to the disk one by one, and each names the checksum of the one
before it, whoever wrote that: a line that was changed or taken out is noticed.

Kinds of lines:

``start``   Counting begins (or goes on in this file); carries the hardware.
``resume``  The meter had died and was started again while the study went on: nothing ended in between.
``sample``  About one a second.
``open``    A window opens: an attempt of a trial, or an evaluation, in one process.
``close``   A window closes.
``stop``    Counting ends in this file; what comes later is not this file's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from kdtune.energy.ledger_lines import check_line
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Counters, Hardware
from kdtune.errors import ResultsError
from kdtune.storage.journal import Journal, JournalError, Seals

VERSION = 3

WindowBucket = Literal["trials", "evaluation", "orchestration"]

Kind = Literal["start", "resume", "sample", "open", "close", "stop"]


Key = tuple[str, str, int]
"""Boot, meter and number: what tells a record from every other."""


#: What to do about a damaged ledger.
_REMEDY = "put a copy of the file in its place"


@dataclass(frozen=True)
class Window:
    """Who may be charged for what a process does, from the opening of the window to its closing.

    Attributes:
        id: Unique in a ledger: trial and attempt, such as ``1a2b3c4d5e6f/1``.
        bucket: ``trials`` or ``evaluation``; ``orchestration`` while a worker with a GPU is prepared.
        pid: Process that does the work.
        cpus: Cores that Ray gave it.
        gpus: GPUs that Ray gave it: UUID to share, above 0 and at most 1.
    """

    id: str
    bucket: WindowBucket
    pid: int
    cpus: float
    gpus: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One line of the ledger.

    Attributes:
        kind: See the module.
        meter: Who wrote it; every start of a meter is another.
        seq: Counts the lines of one meter from 0.
        counters: The node's counters.
        study_us: CPU time of all processes of the study on this node, in microseconds, as a counter.
        windows: CPU time of each window since it opened, in microseconds; one that closes is named a last time.
        window: The window that opens or closes.
        reason: Why it closes.
        hardware: With ``start`` and ``resume``.
        neighbours: What other studies' meters had on the node since the last record; empty where this was alone.
        began: With a ``start`` in a file that has an earlier life: the counters when the present command began,
            which is where a gap ends; what came after it is in the session's own ledger.
        nodes: With a ``start`` where several machines are metered: the names of all of them, each of which has a file
            of its own beside this one.
        unknown_us: CPU time since the last record of Ray workers of which it is not known which trial started them.
    """

    kind: Kind
    meter: str
    seq: int
    counters: Counters
    study_us: int
    windows: dict[str, int] = field(default_factory=dict)
    window: Window | None = None
    reason: str | None = None
    hardware: Hardware | None = None
    neighbours: tuple[Neighbours, ...] = ()
    began: Counters | None = None
    nodes: tuple[str, ...] = ()
    unknown_us: int = 0

    @property
    def key(self) -> Key:
        """What tells it from every other record."""
        return self.counters.boot_id, self.meter, self.seq

    def as_line(self) -> dict[str, Any]:
        """The JSON object that stands for it."""
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
        """Read back what :meth:`as_line` made.

        Raises:
            ValueError: Something is missing or cannot be.
        """
        check_line(line)
        counters = Counters(**{f.name: line[f.name] for f in fields(Counters) if f.name in line})
        return cls(
            kind=line["kind"],
            meter=line["meter"],
            seq=line["seq"],
            counters=counters,
            study_us=line["study_us"],
            windows=line.get("windows", {}),
            window=Window(**line["window"]) if "window" in line else None,
            reason=line.get("reason"),
            hardware=Hardware(**line["hardware"]) if "hardware" in line else None,
            neighbours=tuple(Neighbours(**state) for state in line.get("neighbours", ())),
            began=Counters(**line["began"]) if "began" in line else None,
            nodes=tuple(line.get("nodes", ())),
            unknown_us=line.get("unknown_us", 0),
        )


def write(path: Path, record: Record) -> None:
    """Append one record with its checksum and that of the line before it, and force it to the disk.

    Raises:
        ResultsError: The line before it is damaged.
    """
    try:
        _journal(path).append(record.as_line())
    except JournalError as error:
        raise ResultsError(str(error)) from None


def _journal(path: Path) -> Journal[Record]:
    return Journal(path, Record.from_line, "ledger record as it was written", _REMEDY, Seals.LINKED)


def read(path: Path) -> list[Record]:
    """All records of a node's ledger in the order of time, each once.

    The same line twice counts once; a torn last line is left out.

    Raises:
        ResultsError: A line is damaged, one is missing in the middle, or two say different things under one number;
            the message has the file.
    """
    records: dict[Key, Record] = {}
    try:
        for record in _journal(path).read():
            if records.setdefault(record.key, record) != record:
                raise ValueError(f"{path}: two different records of meter {record.meter} have number {record.seq}")
    except ValueError as error:
        raise ResultsError(str(error)) from None
    # Of one moment in the order in which they were written, a meter's own by their numbers; boots and meters in the
    # order in which they first appear.
    boots = {boot: index for index, boot in enumerate(dict.fromkeys(r.counters.boot_id for r in records.values()))}
    meters = {meter: index for index, meter in enumerate(dict.fromkeys(r.meter for r in records.values()))}
    return sorted(records.values(), key=lambda r: (boots[r.counters.boot_id], r.counters.t_ns, meters[r.meter], r.seq))


def read_folder(folder: Path) -> dict[str, list[Record]]:
    """Every node's records, by the file's stem; empty where there is no such folder.

    Raises:
        ResultsError: A file is damaged, or a copy of another one, whose energy would count twice.
    """
    nodes = {path.stem: read(path) for path in sorted(folder.glob("*.jsonl"))}
    _refuse_copies(folder, nodes)
    return nodes


def _refuse_copies(folder: Path, nodes: Mapping[str, list[Record]]) -> None:
    holder: dict[Key, str] = {}
    for name, records in nodes.items():
        for record in records:
            if (other := holder.setdefault(record.key, name)) != name:
                raise ResultsError(
                    f"{folder / name}.jsonl: holds records of {other}.jsonl too, which would count twice; move the "
                    "one away that is a copy"
                )
