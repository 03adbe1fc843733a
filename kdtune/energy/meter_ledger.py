"""The ledger files that a meter writes, one after the other, and the energy that they contain."""

from pathlib import Path

from kdtune.energy.interval_shares import BUCKETS
from kdtune.energy.ledger import Record, read, write
from kdtune.energy.running_account import RunningAccount


class MeterLedger:
    """The current ledger file of a meter, and the energy of its earlier files.

    Attributes:
        path: The current file; None while nothing is metered.
        running: Account of the current file.
        ended_uj: Energy by bucket of the complete files, in microjoules.
        stopped: Last record of the latest complete file; None before the first.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.running = RunningAccount()
        self.ended_uj = dict.fromkeys(BUCKETS, 0)
        self.stopped: Record | None = None
        self._seq = 0

    def next_seq(self) -> int:
        """Return the number of the next record."""
        self._seq += 1
        return self._seq - 1

    def append(self, record: Record) -> None:
        """Write a record to the current file and add it to the account.

        Raises:
            OSError: The record could not be written; the account has not changed.
        """
        assert self.path is not None
        try:
            write(self.path, record)
        except OSError:
            self._seq = record.seq  # the record is not in the file, so the next one gets its number
            raise
        self.running.add(record)

    def restore(self, path: Path, last: Record, ended_uj: dict[str, int]) -> None:
        """Continue the file of a meter that was killed.

        Args:
            path: The file.
            last: The last record of that meter. It may be missing in the file; a second copy is harmless.
            ended_uj: Energy by bucket of that meter's complete files, in microjoules.
        """
        write(path, last)
        self.path, self.ended_uj = path, ended_uj
        # Earlier records of the file are included in ``ended_uj`` or belong to earlier commands.
        records = read(path)
        begun = max(place for place, record in enumerate(records) if record.kind == "start")
        for record in records[begun:]:
            self.running.add(record)

    def end_file(self, stop: Record) -> None:
        """Add the energy of the current file to that of the complete files.

        Args:
            stop: The last record of the file, which has been written.
        """
        self.stopped = stop
        for bucket, energy in self.running.account.without_unused_gpus().buckets.items():
            self.ended_uj[bucket] += energy
        self.path = None
        self.running = RunningAccount()
