"""Folders that all machines of a study share: its results, with the checkpoints of its trials, and the cache.

The driver puts a locked marker file into each folder, and every machine looks for the markers before it works for the
study. A machine with a cache of its own would train a teacher of its own, and one with results of its own would lose
its checkpoints. Where locks do not reach across machines, two of them could write the same file.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import MachineError
from kdtune.storage.files import CACHE_REMEDY, is_abandoned, lock_file, open_no_link
from kdtune.storage.paths import CACHE_VARIABLE

_MARKER = ".shared-"


@dataclass(frozen=True)
class SharedFolders:
    """The shared folders of one session.

    Attributes:
        session_id: Identifier of the session.
        results: Absolute path of the study's results folder.
        cache: Absolute path of the driver's cache.
    """

    session_id: str
    results: str
    cache: str

    @property
    def _markers(self) -> list[Path]:
        return [Path(folder, f"{_MARKER}{self.session_id}") for folder in (self.results, self.cache)]

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Mark the folders within the context.

        Raises:
            UsageError: A file system has no file locks.
            OSError: A folder cannot be written to.
        """
        with ExitStack() as opened:
            for marker in self._markers:
                marker.parent.mkdir(parents=True, exist_ok=True)
                _remove_abandoned_markers(marker.parent)
                descriptor = open_no_link(marker, os.O_RDWR)
                opened.callback(marker.unlink, missing_ok=True)
                opened.callback(os.close, descriptor)
                lock_file(descriptor, fcntl.LOCK_EX, marker, CACHE_REMEDY)
            yield

    def faults(self) -> list[str]:
        """Return, for each folder that this machine does not share with the driver, what is wrong."""
        return [fault for marker in self._markers if (fault := _fault_of(marker))]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Make this process use the driver's cache within the context.

        Raises:
            MachineError: This machine does not share a folder with the driver.
        """
        if faults := self.faults():
            raise MachineError(not_shared({os.uname().nodename: faults}))
        before = os.environ.get(CACHE_VARIABLE)
        os.environ[CACHE_VARIABLE] = self.cache
        try:
            yield
        finally:
            if before is None:
                del os.environ[CACHE_VARIABLE]
            else:
                os.environ[CACHE_VARIABLE] = before


def not_shared(faults: Mapping[str, Sequence[str]]) -> str:
    """Return the message about machines that do not share the folders.

    Args:
        faults: What is wrong, by name of the machine.
    """
    told = "; ".join(f"{host}: {', '.join(found)}" for host, found in faults.items())
    return (
        f"{told}. All machines of a study need the same results folder and the same cache under the same paths: put "
        f"--out and {CACHE_VARIABLE} on storage that every node mounts, with locks, or remove the node from the cluster"
    )


def _fault_of(marker: Path) -> str | None:
    """Return why a folder is not shared, or None if this machine sees the marker and its lock."""
    try:
        descriptor = os.open(marker, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return f"does not see {marker.parent} of the driver ({error.strerror})"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        return f"has no file locks in {marker.parent} ({error.strerror})"
    finally:
        os.close(descriptor)
    return f"does not see file locks of the driver in {marker.parent} (mounted with nolock or local_lock?)"


def _remove_abandoned_markers(folder: Path) -> None:
    """Remove the markers of killed commands, which are old and which no process has locked."""
    for marker in folder.glob(f"{_MARKER}*"):
        with suppress(OSError):  # another user's marker, or one that is being removed
            if is_abandoned(marker) and _fault_of(marker):
                marker.unlink()
