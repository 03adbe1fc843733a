"""Standard streams that never break a command: output that cannot be shown is dropped, and work goes on.

Whatever writes (rich, typer, a progress bar, the interpreter's last flush) writes through these, so that a full disk, a
reader that has gone and a descriptor that the shell has closed are handled here and nowhere else.
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
    """A standard stream's descriptor. After a write that fails, everything that is written to it is dropped.

    Attributes:
        error: Why the write failed; None where none did.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what the system accepts, or pretend to."""
        try:
            while (written := super().write(data)) is None:  # the other end of a pipe may have made it non-blocking
                select.select([], [self], [])
            return written
        except OSError as error:
            self.error = error
            # Child processes and whatever bypasses this object are to fail as little.
            _put_null_in_place_of(self.fileno())
            return len(data)


@contextmanager
def guarded_streams() -> Iterator[TextIO]:
    """Replace the interpreter's standard streams inside; streams that somebody else has put there stay.

    Yields:
        The stream to ask for :func:`unwritable` in the end: standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would get the number, and what is printed with it
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
    """Why not all of the output could be written; None if it was, or if its reader did not want the rest."""
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
        # A character that the terminal's encoding lacks is no reason to lose the output either.
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
