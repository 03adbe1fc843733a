"""Standard streams whose failures never stop a command: output that cannot be written is dropped.

All output (from rich, typer, progress bars and the interpreter's last flush) passes through these streams. A full disk,
a closed pipe and a descriptor that the shell has closed are therefore handled here only.
"""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


class _Descriptor(io.FileIO):
    """The descriptor of a standard stream, which drops all output after the first failed write.

    Attributes:
        error: The error of the failed write, or None.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write ``data``, or drop it after a failed write, and return the number of bytes accepted."""
        try:
            while (written := super().write(data)) is None:  # the reader of a pipe may have made it non-blocking
                select.select([], [self], [])
            return written
        except OSError as error:
            self.error = error
            # Child processes and code that bypasses this object must not fail either.
            _put_null_in_place_of(self.fileno())
            return len(data)


@contextmanager
def guarded_streams() -> Iterator[TextIO]:
    """Replace the interpreter's standard streams within the context. Streams replaced by others are kept.

    Yields:
        Standard output, to be passed to :func:`unwritable` at the end.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # otherwise the next file to be opened would get this number, and with it the output
            _put_null_in_place_of(number)
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = before[0] or _null()
    sys.stdout, sys.stderr = _guarded(before[1], sys.__stdout__), _guarded(before[2], sys.__stderr__)
    try:
        yield sys.stdout
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def unwritable(stream: TextIO) -> OSError | None:
    """Return why output could not be written, or None if it was written or its reader closed the pipe."""
    stream.flush()
    descriptor = getattr(getattr(stream, "buffer", None), "raw", None)
    error = descriptor.error if isinstance(descriptor, _Descriptor) else None
    return None if isinstance(error, ConnectionError) else error


def _guarded(stream: TextIO | None, own: TextIO | None) -> TextIO:
    if stream is None:
        return _null()
    if stream is not own or not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        # Characters that the terminal's encoding lacks are escaped instead of failing.
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _null() -> TextIO:
    return Path(os.devnull).open("r+")


def _put_null_in_place_of(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:  # the number was free
        os.set_inheritable(number, True)
        return
    os.dup2(null, number)
    os.close(null)
