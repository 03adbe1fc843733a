"""Files that are whole or absent, and locks."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kdtune.errors import MachineError, UsageError
from kdtune.storage.parsing import to_json


def read_whole(path: Path) -> bytes:
    """The content of a file. A device or a pipe in its place, which may have no end, is not read.

    Raises:
        OSError: It cannot be read.
    """
    if path.exists() and not path.is_file():
        raise IsADirectoryError(errno.EISDIR, "not a file" if not path.is_dir() else os.strerror(errno.EISDIR))
    return path.read_bytes()


def open_no_link(path: Path, flags: int) -> int:
    """A descriptor of a file, made where it is missing; what a link leads to is left alone.

    In a folder that others may write to (a shared cache, results that were downloaded) a link may lead anywhere.

    Raises:
        OSError: It cannot be opened; its ``strerror`` says so of a link.
    """
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link stands in its place; remove it", str(path)) from None
        raise


#: In a folder of the cache: locked by whoever makes what is in it; by the one who trains a teacher there, who may
#: outlive the former; and, together, by all who use it.
MAKING, TRAINING, _USING = ".lock", ".training", ".in-use"

#: What the user can do about a cache that does not suit.
CACHE_REMEDY = "set KDTUNE_CACHE_DIR to a folder on a local disk"


def cannot_be_written(error: OSError, place: Path | str) -> MachineError:
    """What to tell the user of a disk that is full, read-only or gone.

    Args:
        error: What the system said.
        place: What was written to, where the error does not know.
    """
    path = error.filename or place
    return MachineError(f"{path}: cannot be written ({error.strerror or error}); make room there, or let it be written")


#: What locking a file says on a file system that has no locks: NFS without a lock service, some in user space.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def lock_file(descriptor: int, how: int, path: Path, remedy: str) -> None:
    """Lock an open file as ``flock`` does.

    Args:
        descriptor: Of the file.
        how: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``, with ``fcntl.LOCK_NB`` where it must not wait.
        path: Of the file, for messages.
        remedy: What the user can do where the file system has no locks.

    Raises:
        BlockingIOError: Another process holds it.
        UsageError: The file system has no locks.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise UsageError(
                f"{path.parent}: the file system has no file locks ({error.strerror}), without which two commands "
                f"could write there at once; {remedy}"
            ) from None
        raise


@contextmanager
def replaced_by(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the body ends well, and goes away when not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    temporary.unlink(missing_ok=True)  # of an earlier thread with this number, or a link that somebody laid there
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
    """Keep other processes from making the same thing in a folder: they wait, and then find it.

    A lock ends with the process that holds it.

    Args:
        folder: Is made where it is missing, also where it is removed while it is waited for.
        name: Of the lock's file.
        wait: Is called where another process is at work, with a question to ask again until it is answered with
            True: the lock is had then. Without it the process just waits.
        remedy: What the user can do where the file system has no locks.

    Raises:
        UsageError: The file system has no locks.
    """
    with ExitStack() as held:

        def is_had() -> bool:
            lock = _locked(folder / name, fcntl.LOCK_EX | fcntl.LOCK_NB, remedy)
            if lock is not None:
                held.enter_context(lock)
            return lock is not None

        if not is_had():
            if wait:
                wait(is_had)
            else:
                held.enter_context(_waited_for(folder / name, fcntl.LOCK_EX, remedy))
        yield


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a folder from being removed as long as it is used, by any number of processes at once.

    Where nothing can be written in it, nobody is kept from anything.

    Args:
        folder: Is made where it is missing.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(_waited_for(folder / _USING, fcntl.LOCK_SH))
        yield


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether nobody makes or uses what is in a folder; nobody begins to before this ends."""
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
    assert lock is not None, "it was waited for"
    return lock


def _locked(path: Path, how: int, remedy: str = CACHE_REMEDY) -> IO[str] | None:
    """A lock's file, locked; None where another process has it and is not to be waited for.

    Who waited for a file that was removed meanwhile has a lock that nobody else will ever look at: it counts for
    nothing, and the one that lies there now is taken.
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


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, whole or not at all."""
    with replaced_atomically(path) as file:
        file.write(to_json(value, path, indent=2).encode() + b"\n")
