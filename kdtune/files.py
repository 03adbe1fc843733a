"""Files that are whole or absent, and lines that survive a power cut."""

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kdtune.errors import MachineError


def cannot_be_written(error: OSError, place: Path | str) -> MachineError:
    """What to tell the user of a disk that is full, read-only or gone.

    Args:
        error: What the system said.
        place: What was written to, where the error does not know.
    """
    path = error.filename or place
    return MachineError(f"{path}: cannot be written ({error.strerror or error}); make room there, or let it be written")


@contextmanager
def replaced_by(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the body ends well, and goes away when not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write does not say to what
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_atomically(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Write a file under another name and put it in place only when it is complete.

    Args:
        path: The file to create or replace.
        sync: Force it to the disk first, so that not even a power cut leaves a half-written file.
    """
    with replaced_by(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        if sync:
            os.fsync(file.fileno())


@contextmanager
def alone_in(
    folder: Path, name: str = ".lock", wait: Callable[[Callable[[], bool]], None] | None = None
) -> Iterator[None]:
    """Keep other processes from making the same thing in a folder: they wait, and then find it.

    A lock ends with the process that holds it.

    Args:
        folder: Is made where it is missing.
        name: Of the lock's file.
        wait: Is called where another process is at work, with a question to ask again until it is answered with
            True: the lock is had then. Without it the process just waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:

        def is_had() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not is_had():
            if wait:
                wait(is_had)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, whole or not at all."""
    with replaced_atomically(path) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def append_lines(path: Path, *records: dict[str, Any], sync: bool = True) -> None:
    """Append JSON lines and, with ``sync``, force them to the disk before returning.

    A crash can tear the last line, never one before it. A torn line that an earlier
    crash left is cut off first, since it would spoil the new one.
    """
    text = "".join(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n" for record in records)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
        with os.fdopen(os.dup(descriptor), "ab") as file:  # a short write (a full disk) is an error here
            file.write(text.encode())
        if sync:
            os.fsync(descriptor)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write does not say to what
        raise
    finally:
        os.close(descriptor)


def checksum(line: dict[str, Any]) -> int:
    """Of a record as :func:`append_lines` writes it; a float comes back from JSON as it was."""
    return zlib.crc32(json.dumps(line, separators=(",", ":")).encode())


#: Bytes at the end of a file in which its last line is looked for first.
_TAIL_BYTES = 1 << 14


def last_line(path: Path) -> dict[str, Any] | None:
    """The last whole record of a JSON-lines file, found from its end; None where there is none.

    Raises:
        ValueError: It is damaged.
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
                return dict(json.loads(line))
            if not start:
                return None
            tail *= 2


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All records of a JSON-lines file; an unfinished last line, torn by a crash, is left out.

    Raises:
        ValueError: A line other than the last is damaged, or the file cannot be read; the message has the file and
            the line's number.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); move it away, or let it be read") from None
    lines.pop()  # empty where the file ends with a newline, else what a crash left
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: damaged record ({error})") from None
        records.append(record)
    return records
