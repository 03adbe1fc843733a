"""Copies the ledgers of other machines into the ledger folders of the driver, which need not be shared."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray

from kdtune.storage.journal import append_text, sync_to_disk

Answers = Callable[[Iterable[tuple[str, Any]]], dict[str, Any]]
"""Waits for requests to meters, and returns the answers by host without those of lost meters."""


class CarriedLedgers:
    """What the driver has copied of the ledgers that the meters of other machines keep for it.

    A ledger that is not copied to its end, because its machine died, has no last record, and one of which nothing was
    copied has no file. Both are flagged by every reader of the ledger folder, which names all metered machines.
    """

    def __init__(self) -> None:
        #: Bytes copied so far, by host and folder, of the ledgers that may have more lines.
        self._copied: dict[tuple[str, str], int] = {}
        self._requests: dict[tuple[str, str], Any] = {}
        #: Files whose last lines may not be on the disk yet.
        self._unsynced: set[Path] = set()

    def begin(self, hosts: Iterable[str], folder: Path) -> None:
        """Copy the ledgers of these machines in a folder from now on; earlier folders are copied to their ends."""
        for host in hosts:
            self._copied.setdefault((host, str(folder)), 0)

    def begin_again(self, host: str) -> None:
        """Copy the ledgers of a machine from their beginning, since a meter without the old files may have started.

        Readers count lines that are copied twice once.
        """
        self._copied |= {key: 0 for key in self._copied if key[0] == host}
        self._requests = {key: one for key, one in self._requests.items() if key[0] != host}

    def copy_ready(self, meters: Mapping[str, Any], answers: Answers) -> None:
        """Append the lines that have arrived, and request the next ones, without waiting.

        Args:
            meters: Living meters by host name.
            answers: Waits for requests to meters.
        """
        refs = list(self._requests.values())
        arrived = set(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else set()
        self._append({key: ref for key, ref in self._requests.items() if ref in arrived}, answers)
        self._request(meters)

    def copy_all(self, meters: Mapping[str, Any], folder: Path | None, answers: Answers) -> None:
        """Append all lines that the meters have written before this call, and sync all copies to the disk.

        Args:
            meters: Living meters by host name.
            folder: The ledger folder that the meters write to; other ledgers are complete afterwards.
            answers: Waits for requests to meters.
        """
        self._append(self._requests_to(meters), answers)  # made before this call, so they may miss the last lines
        self._request(meters)
        self._append(self._requests_to(meters), answers)
        for file in sorted(self._unsynced):  # also of lost machines, of which no more lines come
            sync_to_disk(file)
        self._unsynced.clear()
        self._copied = {
            (host, there): size
            for (host, there), size in self._copied.items()
            if host not in meters or there == str(folder)
        }

    def finish(self, host: str, meter: Any) -> None:
        """Copy the rest of a machine's ledgers after its meter has ended, and remove them there."""
        self.copy_all({host: meter}, None, lambda calls: {host: ray.get(ref) for host, ref in calls})
        ray.get(meter.forget_ledgers.remote())

    def _request(self, meters: Mapping[str, Any]) -> None:
        for (host, folder), size in self._copied.items():
            if host in meters and (host, folder) not in self._requests:
                self._requests[host, folder] = meters[host].ledger_lines.remote(folder, size)

    def _requests_to(self, meters: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        return {key: ref for key, ref in self._requests.items() if key[0] in meters}

    def _append(self, requests: Mapping[tuple[str, str], Any], answers: Answers) -> None:
        """Append arrived lines without syncing them: for 64 machines that takes a third of a second each time."""
        for (host, folder), ref in requests.items():
            del self._requests[host, folder]
            if lines := answers([(host, ref)]).get(host):
                file = Path(folder, f"{host}.jsonl")
                file.parent.mkdir(parents=True, exist_ok=True)
                append_text(file, lines, sync=False)
                self._unsynced.add(file)
                self._copied[host, folder] += len(lines)
