"""Who may write into a study's folder, and whether all of it lies there."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from kdtune.errors import BusyError, ResultsError, UsageError
from kdtune.storage.files import lock_file, open_no_link

#: How often a lock is tried that other processes remove as they end; in some places it can never be made.
_LOCK_TRIES = 1000


def refuse_links(folder: Path) -> None:
    """Make sure that whoever writes here writes nowhere else: results may be somebody else's, with links in them.

    Raises:
        ResultsError: Something in the folder is a symbolic link.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                raise ResultsError(
                    f"{path}: is a symbolic link, through which results could be written somewhere else; put what "
                    "it leads to in its place"
                )


def take_lock(folder: Path) -> int:
    """Open and lock the lock file; again where its last holder removed it in between."""
    path = folder / ".lock"
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = open_no_link(path, os.O_RDWR)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and tries_left:
                continue  # removed between the two
            raise ResultsError(
                f"{folder}: cannot be written ({error.strerror}); choose another with --out DIR"
            ) from None
        try:
            lock_file(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path, "choose a folder on a local disk with --out DIR")
        except UsageError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # it holds something
                folder.rmdir()
            raise
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise BusyError(
                f"{folder}: another kdtune (process {holder}) is at work here; wait for it, or use --out DIR"
            ) from None
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)
    raise BusyError(f"{folder}: other processes keep removing it; choose another with --out DIR")
