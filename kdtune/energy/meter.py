"""The node's meter: samples the counters and writes the ledger, whatever is running.

One meter a node. Trials register a window with it; a tracker inside each trial would count a shared machine
once a trial and would never see a worker start.
"""

import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kdtune.energy.attribution import OpenLedger
from kdtune.energy.ledger import Kind, Record, Window, write
from kdtune.energy.processes import CpuScope, Identity, Process, cpu_us_of, identity_of, snapshot
from kdtune.energy.sensors import Counters, Hardware, NodeSensors

#: Seconds between samples; every opening and closing of a window takes one more.
INTERVAL_S = 1.0


class Meter:
    """Counts one node's energy into one ledger file at a time. Safe to call from several threads."""

    def __init__(self, sensors: NodeSensors, hardware: Hardware) -> None:
        """Prepare; nothing is counted before :meth:`begin`.

        Args:
            sensors: The node's sensors.
            hardware: What they mean.
        """
        self.id = uuid.uuid4().hex[:12]
        self.hardware = hardware
        self._sensors = sensors
        self._lock = threading.RLock()
        self._seq = 0
        self._path: Path | None = None
        self._ledger = OpenLedger()
        self._study = CpuScope([], {})
        self._windows: dict[str, tuple[Window, CpuScope]] = {}

    def begin(
        self, path: Path, roots: Sequence[Identity] = (), since: Counters | None = None, spent_us: int = 0
    ) -> None:
        """Start counting into a file.

        Args:
            path: The ledger file.
            roots: The study's processes: they and all they start are the study's.
            since: Counters read earlier, before Ray was started, say; from them on the energy is counted.
                None: from now.
            spent_us: CPU time of ``roots`` at ``since``, in microseconds, which is not the study's.
        """
        with self._lock:
            if since is None:
                spent_us = cpu_us_of([identity_of(os.getpid()), *roots], snapshot())
            record = self._make("start", since or self._sensors.read(), spent_us, hardware=self.hardware)
            self._begin_file(path, record)
            processes = snapshot()
            for root in [identity_of(os.getpid()), *roots]:
                self._study.add_root(root, processes)

    def switch(self, path: Path | None) -> None:
        """Go on in another file: the same moment ends the one and starts the other, so nothing falls between.

        Args:
            path: The new file; None stops counting.
        """
        with self._lock:
            for window in list(self._windows):
                self.close(window, "ledger closed")
            counters, study_us, _ = self._counters(snapshot())
            if self._path:
                self._append(self._make("stop", counters, study_us))
            self._path = None
            if path:
                self._begin_file(path, self._make("start", counters, study_us, hardware=self.hardware))

    def _begin_file(self, path: Path, record: Record) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._ledger = OpenLedger()
        self._append(record)

    def open(self, window: Window) -> None:
        """Open a window; its process becomes the study's. Opening it again changes nothing.

        Raises:
            ProcessLookupError: The process has ended already.
        """
        with self._lock:
            if window.id in self._windows or self._path is None:
                return
            root = identity_of(window.pid)
            # A process works for one window at a time. Tune tells nobody when it pauses a trial and gives the
            # worker to another, so the older window ends here.
            for other, (_, scope) in list(self._windows.items()):
                if scope.roots == {root}:
                    self.close(other, "its process was taken over")
            processes = snapshot()
            self._study.add_root(root, processes)
            counters, study_us, windows = self._counters(processes)
            self._windows[window.id] = (window, CpuScope([root], processes))
            self._append(self._make("open", counters, study_us, {**windows, window.id: 0}, window))

    def close(self, window_id: str, reason: str) -> None:
        """Close a window; one that is not open is left as it is, so that whoever notices first may close it."""
        with self._lock:
            if window_id not in self._windows:
                return
            counters, study_us, windows = self._counters(snapshot())
            window, _ = self._windows.pop(window_id)
            self._append(self._make("close", counters, study_us, windows, window, reason))

    def sample(self) -> None:
        """Take one sample, and close the windows of processes that have died."""
        with self._lock:
            if self._path is None:
                return
            processes = snapshot()
            counters, study_us, windows = self._counters(processes)
            self._append(self._make("sample", counters, study_us, windows))
            for window, scope in list(self._windows.values()):
                if not scope.alive(processes):
                    self.close(window.id, "its process died")

    def reading(self) -> tuple[dict[str, int], int]:
        """Energy of each window and what the study is charged in this file, in microjoules, as of the last sample."""
        with self._lock:
            account = self._ledger.account
            return dict(account.windows), account.charged_uj()

    def window_uj(self, window_id: str) -> int:
        """Energy of one window so far in microjoules, a sample being taken first."""
        with self._lock:
            self.sample()
            return self._ledger.account.windows.get(window_id, 0)

    def _counters(self, processes: dict[int, Process]) -> tuple[Counters, int, dict[str, int]]:
        windows = {window_id: scope.update(processes) for window_id, (_, scope) in self._windows.items()}
        study_us = self._study.update(processes)
        return self._sensors.read(), study_us, windows

    def _make(
        self,
        kind: Kind,
        counters: Counters,
        study_us: int,
        windows: dict[str, int] | None = None,
        window: Window | None = None,
        reason: str | None = None,
        hardware: Hardware | None = None,
    ) -> Record:
        record = Record(kind, self.id, self._seq, counters, study_us, windows or {}, window, reason, hardware)
        self._seq += 1
        return record

    def _append(self, record: Record) -> None:
        assert self._path is not None
        write(self._path, record)
        self._ledger.add(record)


def append_stop(path: Path, sensors: NodeSensors, study_us_since_last: int, last: Record) -> None:
    """End a ledger after its meter has gone (Ray is shut down): the counters are absolute, so nothing is lost.

    Args:
        path: The ledger file.
        sensors: Of the same node.
        study_us_since_last: CPU time of the study's processes since ``last``, in microseconds.
        last: The ledger's last record.
    """
    counters = sensors.read()
    if sensors.polled:  # a polled counter is its reader's own: the meter's ended with the meter
        kept = {uuid: mj for uuid, mj in counters.gpu_mj.items() if uuid not in sensors.polled}
        counters = replace(counters, gpu_mj=kept)
    write(path, Record("stop", uuid.uuid4().hex[:12], 0, counters, last.study_us + study_us_since_last))
