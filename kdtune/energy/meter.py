"""The meter of a node, which reads the counters and writes the energy ledger.

There is one meter for each node, and trials open windows in it. A separate tracker in each trial would count a shared
machine once for each trial, and would miss the start of the workers.
"""

import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kdtune.energy.ledger import Kind, Record, Window
from kdtune.energy.meter_ledger import MeterLedger
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.meter_state import MeterState, SavedMeter, Windows
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.nested_workers import FindNestedWorkers, NestedWorkerScopes
from kdtune.energy.processes import CpuScope, Identity, Process, identity_of, snapshot
from kdtune.energy.reading import Reading
from kdtune.energy.sensors.node import Counters, Hardware, NodeSensors
from kdtune.energy.shared_counters import SharedCounters, without_polled

#: Seconds between samples. The counters are also read whenever a window opens or closes.
INTERVAL_S = 1.0


class Meter:
    """Measures the energy of a node and writes it to one ledger file at a time. All methods are thread-safe."""

    def __init__(
        self,
        sensors: NodeSensors,
        hardware: Hardware,
        registry: MeterRegistry | None = None,
        state: Path | None = None,
        find_nested: FindNestedWorkers | None = None,
    ) -> None:
        """Prepare the meter. Metering starts with :meth:`begin` or :meth:`resume`.

        Args:
            sensors: The node's sensors.
            hardware: The hardware that the sensors read.
            registry: Registry of the meters on the node, in which the caller has registered this one; without it, the
                meter behaves as if it were the only one.
            state: File in which the meter saves its state, so that another one can continue if this one is killed.
            find_nested: Function that finds the workers that trials start; None if trials start no workers.
        """
        self.id = uuid.uuid4().hex[:12]
        self.hardware = hardware
        self._sensors = sensors
        self._registry = registry or MeterRegistry(self.id)
        self._counters = SharedCounters(sensors, self._registry)
        self._state = MeterState(state) if state else None
        self._nested = NestedWorkerScopes(find_nested)
        self._drivers: list[Identity] = []
        #: Names of all metered nodes, if there are several.
        self.nodes: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._ledger = MeterLedger()
        self._began: Counters | None = None
        self._study = CpuScope([], {})
        self._windows: Windows = {}

    def begin(self, path: Path, since: MeterStart | None = None, nodes: Sequence[str] = ()) -> None:
        """Start metering. Nothing changes if the meter has been started already.

        Args:
            path: The ledger file.
            since: Snapshot from which the energy is counted, for example from before Ray was started, with the
                study's processes besides this one. Without it, metering starts now and the study is this process.
            nodes: Names of all metered nodes, if there are several.
        """
        with self._lock:
            if self._ledger.path or self._ledger.stopped:
                return
            self.nodes = tuple(nodes)
            me = identity_of(os.getpid())
            now, _ = self._counters.read(None, ())
            self._began = without_polled(since.counters, self._sensors) if since else now
            # The scope must exist before the first record, which is saved together with it for a successor.
            processes = snapshot()
            if since:
                self._drivers = [root for root in since.roots if CpuScope([root], {}).alive(processes)]
                self._study = CpuScope.from_state(since.scope)
                self._study.add_root(me, processes)
            else:
                self._study = CpuScope([me], processes)
            self._begin_file(path, self._began, study_us=0)

    def resume(self) -> bool:
        """Continue from the state that a killed meter saved, unless there is none or its study has ended.

        Returns:
            Whether the meter continues.
        """
        with self._lock:
            state = self._state.load(snapshot()) if self._state else None
            if state is None:
                return False
            saved = SavedMeter.from_state(state)
            self._ledger.restore(saved.path, saved.record, saved.ended)
            self._sensors.restore(saved.sensors)
            self._study, self._windows = saved.study, saved.windows
            self._began, self._drivers, self.nodes = saved.began, saved.drivers, saved.nodes
            if saved.record.kind == "stop":
                self._ledger.end_file(saved.record)
                return True
            self._commit(self._record("resume", hardware=self.hardware), self._windows)
            return True

    def switch(self, path: Path | None) -> None:
        """Continue in another file. The last record of one file and the first of the next have the same counters.

        Args:
            path: The new file; None ends metering.
        """
        with self._lock:
            for window in list(self._windows):
                self.close(window, "ledger closed")
            if self._ledger.path:
                stop = self._record("stop", leaving=path is None)
                self._commit(stop, {})
                self._ledger.end_file(stop)
            if path and self._ledger.stopped:
                self._begin_file(path, self._ledger.stopped.counters, self._ledger.stopped.study_us)
            elif self._state:
                self._state.remove()

    def _begin_file(self, path: Path, counters: Counters, study_us: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._ledger.path = path
        # An earlier command may have written to the same file, which on a machine without the results is elsewhere.
        began = None if counters == self._began else self._began
        start = Record(
            "start", self.id, self._ledger.next_seq(), counters, study_us, hardware=self.hardware, began=began
        )
        self._commit(replace(start, nodes=self.nodes), {})

    def join(self, pid: int) -> None:
        """Add a process and its descendants to the study, with the CPU time that they have used since they started.

        Raises:
            ProcessLookupError: The process has ended.
        """
        with self._lock:
            self._study.add_root(identity_of(pid), snapshot())

    def open(self, window: Window) -> None:
        """Open a window and add its process to the study. Nothing changes if the window is open already.

        Raises:
            ProcessLookupError: The process has ended.
        """
        with self._lock:
            if window.id in self._windows or self._ledger.path is None:
                return
            root = identity_of(window.pid)
            # A process works for one window at a time. Tune gives no notice when it pauses a trial and assigns its
            # worker to another one, so the older window is closed here.
            for other, (_, scope) in list(self._windows.items()):
                if scope.roots == {root}:
                    self.close(other, "its process was taken over")
            processes = snapshot()
            self._study.add_root(root, processes)
            after = {**self._windows, window.id: (window, CpuScope([root], processes))}
            self._commit(self._record("open", after, window=window), after)

    def close(self, window_id: str, reason: str) -> None:
        """Close a window. Nothing changes if it is not open, since several parts of a study may try to close it."""
        with self._lock:
            if window_id not in self._windows or self._ledger.path is None:
                return
            after = {name: one for name, one in self._windows.items() if name != window_id}
            window = self._windows[window_id][0]
            self._commit(self._record("close", after, window=window, reason=reason), after)

    def sample(self) -> None:
        """Take one sample, and close the windows of processes that have ended."""
        with self._lock:
            if self._ledger.path is None:
                return
            processes = snapshot()
            self._commit(self._record("sample", processes=processes), self._windows)
            for window, scope in list(self._windows.values()):
                if not scope.alive(processes):
                    self.close(window.id, "its process died")

    def reading(self) -> Reading:
        """Return the energy used so far, as of the last sample."""
        with self._lock:
            account = self._ledger.running.account.without_unused_gpus()
            spent = {bucket: uj + account.buckets[bucket] for bucket, uj in self._ledger.ended_uj.items()}
            windows = {name: account.windows.get(name, 0) for name in self._windows}
            return Reading(windows, dict(account.buckets), spent, self._began.t_ns if self._began else 0)

    @property
    def path(self) -> Path | None:
        """The ledger file; None while nothing is metered."""
        return self._ledger.path

    def window_uj(self, window_id: str) -> int | None:
        """Return the energy of a window of the current file, as of the last sample.

        Args:
            window_id: Id of the window.

        Returns:
            Microjoules; None if the window was never open.
        """
        with self._lock:
            return self._ledger.running.account.windows.get(window_id, 0 if window_id in self._windows else None)

    def set_nodes(self, nodes: Sequence[str]) -> None:
        """Record which nodes are metered from now on, so that a missing ledger of one of them is detected.

        Args:
            nodes: Names of the nodes.
        """
        with self._lock:
            self.nodes = tuple(nodes)
            if self._ledger.path:
                self._commit(replace(self._record("sample"), nodes=self.nodes), self._windows)

    def _record(
        self,
        kind: Kind,
        after: Windows | None = None,
        *,
        processes: dict[int, Process] | None = None,
        leaving: bool = False,
        window: Window | None = None,
        reason: str | None = None,
        hardware: Hardware | None = None,
    ) -> Record:
        """Read all counters and return them as a record.

        Args:
            kind: Kind of the record.
            after: Windows that are open afterwards, if that changes.
            processes: A snapshot of the processes that was just taken; None takes one.
            leaving: Whether the meter ends.
            window: The window that opens or closes.
            reason: Why the window closes.
            hardware: The node's hardware, in the first record of a meter.
        """
        processes = snapshot() if processes is None else processes
        windows = [(name, window.pid, scope) for name, (window, scope) in self._windows.items()]
        unknown_us = self._nested.join(processes, self._study, windows)
        spent = {name: scope.update(processes) for name, (_, scope) in self._windows.items()}
        if kind == "open" and window:
            spent[window.id] = 0
        study_us = self._study.update(processes)
        held = (window for window, _ in (self._windows if after is None else after).values())
        counters, neighbours = self._counters.read(self._ledger.running.last, held, leaving=leaving)
        return Record(
            kind=kind,
            meter=self.id,
            seq=self._ledger.next_seq(),
            counters=counters,
            study_us=study_us,
            windows=spent,
            window=window,
            reason=reason,
            hardware=hardware,
            neighbours=neighbours,
            unknown_us=unknown_us,
        )

    def _commit(self, record: Record, windows: Windows) -> None:
        """Write a record. The meter's own state changes only after the record has been written."""
        self._save_state(record, windows)
        self._ledger.append(record)
        self._windows = windows

    def _save_state(self, record: Record, windows: Windows) -> None:
        """Save the state. This is done before the record is written, so that no record is lost; see :meth:`resume`."""
        if self._state is None or self._began is None:
            return
        assert self._ledger.path is not None
        saved = SavedMeter(
            path=self._ledger.path,
            record=record,
            study=self._study,
            windows=windows,
            sensors=self._sensors.as_state(),
            ended=self._ledger.ended_uj,
            began=self._began,
            drivers=self._drivers,
            nodes=self.nodes,
        )
        self._state.save(saved.as_state())
