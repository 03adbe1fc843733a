"""Files of JSON lines to which lines are appended, with one rule for damaged lines.

A crash can leave only the last line incomplete. Such a line is skipped by the reader and removed by the next append.
Any other damaged line is an error that names the file and the line.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from kdtune.errors import KdtuneError
from kdtune.storage.checksums import CHECKSUM_KEY, PREVIOUS_CHECKSUM_KEY, verified, with_checksum
from kdtune.storage.files import open_no_link, read_whole
from kdtune.storage.parsing import parse_json, to_json

T = TypeVar("T")

Line = dict[str, Any]
"""A JSON object."""

#: Number of bytes at the end of a file in which its last line is searched first.
_TAIL_BYTES = 1 << 14


class JournalError(KdtuneError, ValueError):
    """A journal is damaged; the message names the file, the line and the remedy."""


class LineChecksums(Enum):
    """Checksums that the lines of a journal contain.

    Attributes:
        NONE: No checksums.
        LINKED: Each line contains its own checksum and that of the line that was written before it, which must be in
            the file too. Copies of lines, and lines in another order, are accepted; the user of the records handles
            them.
        CHAINED: Like ``LINKED``, and the lines must be in the order in which they were written. A line that occurs
            twice counts once. Lines without checksums, from early releases, are accepted before the first line with
            one.
    """

    NONE = "none"
    LINKED = "linked"
    CHAINED = "chained"


@dataclass(frozen=True)
class Journal(Generic[T]):
    """A file of JSON lines.

    Attributes:
        path: The file.
        parse: Function that makes a record of a line without its checksums; raises ``ValueError`` if it cannot.
        name: Name of a record, for messages.
        remedy: What the user can do about a damaged file, for messages.
        checksums: Checksums that the lines contain.
    """

    path: Path
    parse: Callable[[Line], T]
    name: str
    remedy: str
    checksums: LineChecksums = LineChecksums.NONE

    def read(self) -> list[T]:
        """Return all records; empty if the file does not exist.

        Raises:
            JournalError: The file cannot be read, or a line was changed or is missing.
        """
        lines = _whole_lines(self.path, self.remedy)
        is_next = _ORDERS[self.checksums](lines)
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                bare = line if self.checksums is LineChecksums.NONE else verified(line)
                record = self.parse({key: value for key, value in bare.items() if key != PREVIOUS_CHECKSUM_KEY})
            except ValueError as error:
                raise self._fault(number, f"the {self.name} is damaged ({error})") from None
            try:
                if is_next(line):
                    records.append(record)
            except ValueError as error:
                raise self._fault(number, str(error)) from None
        return records

    def append(self, *lines: Mapping[str, Any], sync: bool = True) -> None:
        """Append lines.

        Args:
            *lines: JSON objects.
            sync: Whether to sync the file to disk before returning.

        Raises:
            JournalError: The last line, whose checksum the new line must contain, is damaged.
            KdtuneError: A line contains a number that JSON cannot represent.
        """
        for line in lines if self.checksums is not LineChecksums.NONE else ():
            try:
                before = _last_line(self.path)
            except (ValueError, TypeError):
                message = f"{self.path}: the last line is damaged, so nothing is appended; {self.remedy}"
                raise JournalError(message) from None
            previous = before and before.get(CHECKSUM_KEY)
            append_lines(self.path, with_checksum({**line, PREVIOUS_CHECKSUM_KEY: previous}), sync=sync)
        if self.checksums is LineChecksums.NONE:
            append_lines(self.path, *lines, sync=sync)

    def _fault(self, number: int, fault: str) -> JournalError:
        return JournalError(f"{self.path}, line {number}: {fault}; {self.remedy}")


_IsNext = Callable[[Line], bool]
"""Function that returns whether a line counts. It raises ``ValueError`` if the line before it is missing."""


def _in_any_order(lines: list[Line]) -> _IsNext:
    return lambda line: True


def _linked(lines: list[Line]) -> _IsNext:
    known = {line[CHECKSUM_KEY] for line in lines if isinstance(line.get(CHECKSUM_KEY), int)}

    def is_next(line: Line) -> bool:
        if CHECKSUM_KEY not in line:
            raise ValueError("it has no checksum")
        before = line.get(PREVIOUS_CHECKSUM_KEY)
        if before is not None and not (isinstance(before, int) and before in known):
            raise ValueError("the line that was written before it is missing")
        return True

    return is_next


def _chained(lines: list[Line]) -> _IsNext:
    # Different lines of a long journal may have the same checksum, so only an equal line counts as a copy.
    seen: dict[object, list[Line]] = {}
    last: object = None

    def is_next(line: Line) -> bool:
        nonlocal last
        own = line.get(CHECKSUM_KEY)
        if own is not None and line in seen.get(own, ()):
            return False
        if (own is None and seen) or line.get(PREVIOUS_CHECKSUM_KEY) != last:
            raise ValueError("the line that was written before it is missing or was moved")
        if own is not None:
            seen.setdefault(own, []).append(line)
            last = own
        return True

    return is_next


_ORDERS = {LineChecksums.NONE: _in_any_order, LineChecksums.LINKED: _linked, LineChecksums.CHAINED: _chained}


def append_lines(path: Path, *lines: Mapping[str, Any], sync: bool = True) -> None:
    """Append JSON lines without checksums; see :meth:`Journal.append`.

    An incomplete line that a crash left is removed first, since it would damage the new one.
    """
    append_text(path, "".join(to_json(line, path, separators=(",", ":")) + "\n" for line in lines).encode(), sync=sync)


def append_text(path: Path, text: bytes, *, sync: bool = True) -> None:
    """Append complete lines of text, such as lines that were copied from another journal; see :func:`append_lines`."""
    descriptor = open_no_link(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
        with os.fdopen(os.dup(descriptor), "ab") as file:  # unlike os.write, this raises an error if the disk is full
            file.write(text)
        if sync:
            os.fsync(descriptor)
    except OSError as error:
        error.filename = error.filename or str(path)  # errors of a write do not name the file
        raise
    finally:
        os.close(descriptor)


def sync_to_disk(path: Path) -> None:
    """Sync what any process has written to a file to the disk.

    Raises:
        OSError: The file is gone or cannot be synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def _last_line(path: Path) -> Line | None:
    """Return the last complete line of a file, which is searched from the end; None if there is none.

    Raises:
        ValueError: The line is damaged.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        size, tail = os.fstat(file.fileno()).st_size, _TAIL_BYTES
        while True:
            start = max(0, size - tail)
            file.seek(start)
            whole, newline, _ = file.read().rpartition(b"\n")
            before, earlier, line = whole.rpartition(b"\n")
            if newline and (earlier or not start):
                return dict(parse_json(line))
            if not start:
                return None
            tail *= 2


def _whole_lines(path: Path, remedy: str) -> list[Line]:
    """Return the JSON objects of a file without an incomplete last line; empty if the file does not exist."""
    if not path.exists():
        return []
    try:
        lines = read_whole(path).split(b"\n")
    except OSError as error:
        raise JournalError(f"{path}: cannot be read ({error.strerror}); move it away, or make it readable") from None
    lines.pop()  # empty if the file ends with a newline, otherwise an incomplete line
    objects = []
    for number, line in enumerate(lines, start=1):
        try:
            value = parse_json(line)
            if not isinstance(value, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise JournalError(f"{path}, line {number}: damaged record ({error}); {remedy}") from None
        objects.append(value)
    return objects
