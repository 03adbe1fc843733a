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

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors import Counters, Hardware
from kdtune.errors import ResultsError
from kdtune.files import append_lines, checksum, last_line, read_lines

VERSION = 3

WindowBucket = Literal["trials", "evaluation"]

Kind = Literal["start", "resume", "sample", "open", "close", "stop"]


@dataclass(frozen=True)
class Window:
    """Who may be charged for what a process does, from the opening of the window to its closing.

    Attributes:
        id: Unique in a ledger: trial and attempt, such as ``1a2b3c4d5e6f/1``.
        bucket: ``trials`` or ``evaluation``.
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
        return line

    @classmethod
    def from_line(cls, line: dict[str, Any]) -> "Record":
        """Read back what :meth:`as_line` made.

        Raises:
            KeyError, TypeError: Something is missing or of a wrong type.
        """
        counters = Counters(**{f.name: line[f.name] for f in fields(Counters) if f.name in line})
        of_windows = line.get("windows", {}).values()
        whole = (line["seq"], line["study_us"], counters.t_ns, counters.busy_us, *of_windows)
        whole += (*counters.rapl_uj.values(), *counters.gpu_mj.values())
        texts = (line["meter"], counters.boot_id)
        if not all(type(value) is int for value in whole) or not all(type(value) is str for value in texts):
            raise TypeError("a value of a wrong type")
        if line["kind"] not in get_args(Kind):
            raise TypeError(f"unknown kind {line['kind']!r}")
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
        )


def write(path: Path, record: Record) -> None:
    """Append one record with its checksum and that of the line before it, and force it to the disk.

    Raises:
        ResultsError: The line before it is damaged.
    """
    try:
        before = last_line(path)
        line = {**record.as_line(), "before": before and before["crc32"]}
    except (ValueError, KeyError, TypeError):
        raise ResultsError(f"{path}: its last line is damaged, so nothing is added to it") from None
    append_lines(path, {**line, "crc32": checksum(line)})


def _records(path: Path) -> Iterator[Record]:
    """The records of a file, in the order of its lines.

    Raises:
        ValueError: A line is damaged, or the one before it is missing; the message has the file and the line's number.
    """
    lines = read_lines(path)
    there = {line.get("crc32") for line in lines}
    for number, line in enumerate(lines, start=1):
        try:
            if line.pop("crc32", None) != checksum(line):
                raise ValueError("its checksum does not fit")
            record, before = Record.from_line(line), line.get("before")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: not a ledger record as it was written ({error})") from None
        if before is not None and before not in there:
            raise ValueError(f"{path}, line {number}: the line that was written before it is missing")
        yield record


def read(path: Path) -> list[Record]:
    """All records of a node's ledger in the order of time, each once.

    The same line twice counts once; a torn last line is left out.

    Raises:
        ResultsError: A line is damaged, or one is missing in the middle; the message has the file and the line's
            number.
    """
    records: dict[tuple[str, str, int], Record] = {}
    try:
        for record in _records(path):
            records.setdefault((record.counters.boot_id, record.meter, record.seq), record)
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
        ResultsError: A file is damaged.
    """
    return {path.stem: read(path) for path in sorted(folder.glob("*.jsonl"))}
