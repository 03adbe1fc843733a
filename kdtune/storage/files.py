"""Atomic writing of files, and locks on folders."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kdtune.errors import MachineError, UsageError
from kdtune.storage.parsing import to_json


def read_whole(path: Path) -> bytes:
    """Return the content of a file. Devices and pipes, which may have no end, are not read.

    Raises:
        OSError: The file cannot be read.
    """
    if path.exists() and not path.is_file():
        raise IsADirectoryError(errno.EISDIR, "not a file" if not path.is_dir() else os.strerror(errno.EISDIR))
    return path.read_bytes()


def open_no_link(path: Path, flags: int) -> int:
    """Open a file, creating it if necessary, and return its descriptor. A symbolic link is refused.

    In a folder that others can write to, such as a shared cache or downloaded results, a link may point anywhere.

    Raises:
        OSError: The file cannot be opened, or is a symbolic link.
    """
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link; remove it", str(path)) from None
        raise


#: Names of lock files in folders of the cache. The first is held while the content is created, the second by the worker
#: that trains a teacher, which may outlive the command that holds the first, and the third by all who use the content.
MAKING, TRAINING, _USING = ".lock", ".training", ".in-use"

#: What the user can do about a cache folder that cannot be used.
CACHE_REMEDY = "set KDTUNE_CACHE_DIR to a folder on a local disk"


def cannot_be_written(error: OSError, place: Path | str) -> MachineError:
    """Return the error for a disk that is full, read-only or missing.

    Args:
        error: Error from the operating system.
        place: The file or folder, if the error does not name it.
    """
    path = error.filename or place
    return MachineError(f"{path}: cannot be written ({error.strerror or error}); free space there, or make it writable")


#: Errors of ``flock`` on file systems without locks, such as NFS without a lock service and some in user space.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def lock_file(descriptor: int, how: int, path: Path, remedy: str) -> None:
    """Lock an open file with ``flock``.

    Args:
        descriptor: Descriptor of the file.
        how: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``, combined with ``fcntl.LOCK_NB`` if the call must not wait.
        path: Path of the file, for messages.
        remedy: What the user can do if the file system has no locks.

    Raises:
        BlockingIOError: Another process holds the lock.
        UsageError: The file system has no locks.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise UsageError(
                f"{path.parent}: the file system has no file locks ({error.strerror}), so two commands could write "
                f"there at the same time; {remedy}"
            ) from None
        raise


@contextmanager
def replaced_by(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``path`` if the body succeeds and is removed otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    temporary.unlink(missing_ok=True)  # left by an earlier thread with this id, or a link that someone else put there
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        # Errors of a write name no file, and those of a replacement the temporary one.
        if error.filename is None or Path(error.filename) == temporary:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_atomically(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Yield a temporary file, which replaces ``path`` if the body succeeds and is removed otherwise.

    Args:
        path: The file to create or replace.
        sync: Whether to sync the file to disk first, so that even a power failure leaves no incomplete file.
    """
    with replaced_by(path) as temporary, temporary.open("xb") as file:
        yield file
        file.flush()
        if sync:
            os.fsync(file.fileno())


@contextmanager
def exclusive_lock(
    folder: Path,
    name: str = MAKING,
    wait: Callable[[Callable[[], bool]], None] | None = None,
    remedy: str = CACHE_REMEDY,
) -> Iterator[None]:
    """Hold an exclusive lock on a folder. Other processes that want to create the same content wait, and then find it.

    The lock ends with the process that holds it.

    Args:
        folder: The folder. It is created if it does not exist, also if it is removed while this process waits.
        name: Name of the lock file.
        wait: Function that is called if another process holds the lock. Its argument is a function that tries to
            acquire the lock and returns True once the lock is acquired; ``wait`` must call it until then. Without
            ``wait``, the process blocks.
        remedy: What the user can do if the file system has no locks.

    Raises:
        UsageError: The file system has no locks.
    """
    with ExitStack() as held:

        def acquire() -> bool:
            lock = _locked(folder / name, fcntl.LOCK_EX | fcntl.LOCK_NB, remedy)
            if lock is not None:
                held.enter_context(lock)
            return lock is not None

        if not acquire():
            if wait:
                wait(acquire)
            else:
                held.enter_context(_waited_for(folder / name, fcntl.LOCK_EX, remedy))
        yield


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold a shared lock that protects a folder from removal. Any number of processes can hold it.

    If the folder cannot be written to, there is no lock.

    Args:
        folder: The folder. It is created if it does not exist.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(_waited_for(folder / _USING, fcntl.LOCK_SH))
        yield


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Yield whether no process creates or uses the content of a folder. No process can begin to inside the body."""
    with ExitStack() as held:
        for name in (MAKING, TRAINING, _USING):
            lock = _locked(folder / name, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is None:
                yield False
                return
            held.enter_context(lock)
        yield True


def _waited_for(path: Path, how: int, remedy: str = CACHE_REMEDY) -> IO[str]:
    lock = _locked(path, how, remedy)
    assert lock is not None, "the call waits for the lock"
    return lock


def _locked(path: Path, how: int, remedy: str = CACHE_REMEDY) -> IO[str] | None:
    """Open and lock a lock file; return None if another process holds the lock and ``how`` says not to wait.

    If the file was removed during the wait, the lock has no effect, since other processes lock a new file. In that
    case the new file is locked.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            try:
                lock = opened.enter_context(os.fdopen(open_no_link(path, os.O_RDWR), "r+"))
                lock_file(lock.fileno(), how, path, remedy)
                if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    opened.pop_all()
                    return lock
            except BlockingIOError:
                return None
            except FileNotFoundError:
                continue


#: Seconds without a change after which a file that its process changes every second counts as left by a killed process.
_ABANDONED_S = 24 * 3600.0


def is_abandoned(path: Path) -> bool:
    """Return whether a file, or everything in a folder, has not changed for a day.

    Raises:
        OSError: It cannot be read, for example because it was removed.
    """
    changed_s = max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    return time.time() - changed_s > _ABANDONED_S


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically."""
    with replaced_atomically(path) as file:
        file.write(to_json(value, path, indent=2).encode() + b"\n")
