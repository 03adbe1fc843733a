"""Ledger files of a machine that only the driver of the study writes to its results folder."""

import shutil
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from kdtune.storage.files import is_abandoned

_PREFIX = "kdtune-ledgers-"


class LedgerOutbox:
    """Keeps a meter's ledger files on its own machine, from which the driver copies line after line.

    The results folder need not exist on this machine. The files stay until the driver has copied all of them, so a
    meter that is killed and restarted continues them.
    """

    def __init__(self, session_id: str) -> None:
        """Set the place of the files without creating anything.

        Args:
            session_id: Identifier of the metered session.
        """
        self._root = Path(tempfile.gettempdir()) / f"{_PREFIX}{session_id}"

    def file(self, folder: str, node: str) -> Path:
        """Return the local file for a ledger folder of the driver.

        Args:
            folder: The ledger folder.
            node: Name of this machine.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._root / sha256(folder.encode()).hexdigest()[:16] / f"{node}.jsonl"

    def lines_since(self, folder: str, node: str, offset: int) -> bytes:
        """Return the complete lines of a ledger file.

        Args:
            folder: The ledger folder of the driver.
            node: Name of this machine.
            offset: Number of bytes that the driver has already.
        """
        try:
            with self.file(folder, node).open("rb") as file:
                file.seek(offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:  # the meter has not begun this ledger
            return b""
        return whole + newline

    def remove(self) -> None:
        """Remove the files, because the driver has all of them."""
        shutil.rmtree(self._root, ignore_errors=True)


def drop_abandoned() -> None:
    """Remove the files of sessions that ended without copying all of them, because their driver was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's folder, or one that is being removed
            if is_abandoned(folder):
                shutil.rmtree(folder)
