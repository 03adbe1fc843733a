"""Checks before writing to a results folder: a lock against other processes, and no symbolic links."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from kdtune.errors import BusyError, ResultsError, UsageError
from kdtune.storage.files import lock_file, open_no_link

#: Maximum number of attempts to lock a file that other processes remove when they end.
_LOCK_TRIES = 1000


def refuse_links(folder: Path) -> None:
    """Check that a folder contains no symbolic links, through which files elsewhere could be overwritten.

    Results may come from other people, so links in them are not trusted.

    Raises:
        ResultsError: The folder contains a symbolic link.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                raise ResultsError(
                    f"{path}: is a symbolic link, through which files elsewhere could be overwritten; replace it with "
                    "the file or folder that it points to"
                )


def take_lock(folder: Path) -> int:
    """Open and lock the lock file of a folder, creating it if necessary; return its descriptor.

    Raises:
        BusyError: Another process holds the lock.
        ResultsError: The folder cannot be written to.
        UsageError: The file system has no file locks.
    """
    path = folder / ".lock"
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = open_no_link(path, os.O_RDWR)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and tries_left:
                continue  # another process removed the folder in between
            raise ResultsError(
                f"{folder}: cannot be written ({error.strerror}); choose another folder with --out DIR"
            ) from None
        try:
            lock_file(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path, "choose a folder on a local disk with --out DIR")
        except UsageError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()
            raise
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise BusyError(
                f"{folder}: another kdtune (process {holder}) is using this folder; wait for it, or use --out DIR"
            ) from None
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)
    raise BusyError(f"{folder}: other processes keep removing it; choose another folder with --out DIR")
