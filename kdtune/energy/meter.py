"""The node's meter: samples the counters and writes the ledger, whatever is running.

One meter a node. Trials register a window with it; a tracker inside each trial would count a shared machine
once a trial and would never see a worker start.
"""

import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Kind, Record, Window, read, write
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.meter_state import MeterState
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.nested_workers import FindNestedWorkers, NestedWorkerScopes
from kdtune.energy.processes import CpuScope, Identity, Process, identity_of, snapshot
from kdtune.energy.reading import Reading
from kdtune.energy.running_account import RunningAccount
from kdtune.energy.sensors.node import Counters, Hardware, NodeSensors
from kdtune.energy.shared_counters import SharedCounters, without_polled

#: Seconds between samples; every opening and closing of a window takes one more.
INTERVAL_S = 1.0


Windows = dict[str, tuple[Window, CpuScope]]
"""What is open, by id, each with the CPU time since it opened."""


class Meter:
    """Counts one node's energy into one ledger file at a time. Safe to call from several threads."""

    def __init__(
        self,
        sensors: NodeSensors,
        hardware: Hardware,
        registry: MeterRegistry | None = None,
        state: Path | None = None,
        find_nested: FindNestedWorkers | None = None,
    ) -> None:
        """Prepare; nothing is counted before :meth:`begin` or :meth:`resume`.

        Args:
            sensors: The node's sensors.
            hardware: What they mean.
            registry: Tells of other studies' meters on the node, once it is joined; None counts as alone.
            state: File in which the meter keeps what a successor needs if it is killed.
            find_nested: Finds the workers that trials started; None where they start none.
        """
        self.id = uuid.uuid4().hex[:12]
        self.hardware = hardware
        self._sensors = sensors
        self._registry = registry or MeterRegistry(self.id)
        self._counters = SharedCounters(sensors, self._registry)
        self._state = MeterState(state) if state else None
        self._nested = NestedWorkerScopes(find_nested)
        self._drivers: list[Identity] = []
        #: Names of all machines that are metered, where there are several.
        self.nodes: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._seq = 0
        self._path: Path | None = None
        self._ledger = RunningAccount()
        self._ended = Account()
        self._began: Counters | None = None
        self._stopped: Record | None = None
        self._study = CpuScope([], {})
        self._windows: Windows = {}

    def begin(self, path: Path, since: MeterStart | None = None, nodes: Sequence[str] = ()) -> None:
        """Start counting into a file; a meter that counts already goes on as it is.

        Args:
            path: The ledger file.
            since: From when on the energy is counted, such as before Ray was started, and which processes are the
                study's besides this one. None: from now, and this process alone.
            nodes: The names of all machines that are metered, where there are several.
        """
        with self._lock:
            if self._path or self._stopped:
                return
            self.nodes = tuple(nodes)
            me = identity_of(os.getpid())
            now, _ = self._counters.read(None, ())
            self._began = without_polled(since.counters, self._sensors) if since else now
            # Before the first record: a meter that is killed right after it leaves its successor whose time to count.
            processes = snapshot()
            if since:
                self._drivers = [root for root in since.roots if CpuScope([root], {}).alive(processes)]
                self._study = CpuScope.from_state(since.scope)
                self._study.add_root(me, processes)
            else:
                self._study = CpuScope([me], processes)
            self._begin_file(path, self._began, study_us=0)

    def resume(self) -> bool:
        """Go on where a meter that was killed left off, if there was one and its study did not stop meanwhile.

        Returns:
            Whether it goes on.
        """
        with self._lock:
            state = self._state.load(snapshot()) if self._state else None
            if state is None:
                return False
            path, last = Path(state["path"]), Record.from_line(state["record"])
            # The last record may have been kept here and not in the ledger; twice there counts once.
            write(path, last)
            self._sensors.restore(state["sensors"])
            self._study = CpuScope.from_state(state["study"])
            self._windows = {
                one["window"]["id"]: (Window(**one["window"]), CpuScope.from_state(one["scope"]))
                for one in state["windows"]
            }
            self._ended.buckets = dict(state["ended"])
            self._began = Counters(**state["began"])
            self._drivers = [(pid, started) for pid, started in state["drivers"]]
            self.nodes = tuple(state["nodes"])
            # Earlier lives of the file are in what has ended, or were other commands'.
            records = read(path)
            begun = max(place for place, record in enumerate(records) if record.kind == "start")
            for record in records[begun:]:
                self._ledger.add(record)
            if last.kind == "stop":
                self._end_file(last)
                return True
            self._path = path
            self._commit(self._record("resume", hardware=self.hardware), self._windows)
            return True

    def switch(self, path: Path | None) -> None:
        """Go on in another file: the same moment ends the one and starts the other, so nothing falls between.

        Args:
            path: The new file; None stops counting.
        """
        with self._lock:
            for window in list(self._windows):
                self.close(window, "ledger closed")
            if self._path:
                stop = self._record("stop", leaving=path is None)
                self._commit(stop, {})
                self._end_file(stop)
            if path and self._stopped:
                self._begin_file(path, self._stopped.counters, self._stopped.study_us)
            elif self._state:
                self._state.remove()

    def _end_file(self, stop: Record) -> None:
        """What the file came to joins what has ended."""
        self._stopped = stop
        for bucket, energy in self._ledger.account.without_unused_gpus().buckets.items():
            self._ended.buckets[bucket] += energy
        self._path = None
        self._ledger = RunningAccount()

    def _begin_file(self, path: Path, counters: Counters, study_us: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        began = self._began if path.exists() else None
        start = Record("start", self.id, self._next(), counters, study_us, hardware=self.hardware, began=began)
        self._commit(replace(start, nodes=self.nodes), {})

    def join(self, pid: int) -> None:
        """Count a process and all that it starts as the study's, from its birth on.

        Raises:
            ProcessLookupError: It has ended already.
        """
        with self._lock:
            self._study.add_root(identity_of(pid), snapshot())

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
            after = {**self._windows, window.id: (window, CpuScope([root], processes))}
            self._commit(self._record("open", after, window=window), after)

    def close(self, window_id: str, reason: str) -> None:
        """Close a window; one that is not open is left as it is, so that whoever notices first may close it."""
        with self._lock:
            if window_id not in self._windows or self._path is None:
                return
            after = {name: one for name, one in self._windows.items() if name != window_id}
            window = self._windows[window_id][0]
            self._commit(self._record("close", after, window=window, reason=reason), after)

    def sample(self) -> None:
        """Take one sample, and close the windows of processes that have died."""
        with self._lock:
            if self._path is None:
                return
            processes = snapshot()
            self._commit(self._record("sample", processes=processes), self._windows)
            for window, scope in list(self._windows.values()):
                if not scope.alive(processes):
                    self.close(window.id, "its process died")

    def reading(self) -> Reading:
        """What has been used, as of the last sample."""
        with self._lock:
            account = self._ledger.account.without_unused_gpus()
            spent = {bucket: uj + account.buckets[bucket] for bucket, uj in self._ended.buckets.items()}
            windows = {name: account.windows.get(name, 0) for name in self._windows}
            return Reading(windows, dict(account.buckets), spent, self._began.t_ns if self._began else 0)

    @property
    def path(self) -> Path | None:
        """The file that is counted into; None where nothing is counted."""
        return self._path

    def window_uj(self, window_id: str) -> int | None:
        """Energy of one window of the present file in microjoules, as of the last sample; None if it was never open."""
        with self._lock:
            return self._ledger.account.windows.get(window_id, 0 if window_id in self._windows else None)

    def set_nodes(self, nodes: Sequence[str]) -> None:
        """Note that these machines are metered from now on, so that a missing ledger of one of them is noticed."""
        with self._lock:
            self.nodes = tuple(nodes)
            if self._path:
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
        """Read everything, now.

        Args:
            kind: Of the record.
            after: The windows that are open from then on, if that changes.
            processes: A snapshot taken just now, if there is one.
            leaving: The meter ends.
            window: The window that opens or closes.
            reason: Why it closes.
            hardware: With the first record of a meter.
        """
        processes = snapshot() if processes is None else processes
        windows = [(name, window.pid, scope) for name, (window, scope) in self._windows.items()]
        unknown_us = self._nested.join(processes, self._study, windows)
        spent = {name: scope.update(processes) for name, (_, scope) in self._windows.items()}
        if kind == "open" and window:
            spent[window.id] = 0
        study_us = self._study.update(processes)
        held = (window for window, _ in (self._windows if after is None else after).values())
        counters, neighbours = self._counters.read(self._ledger.last, held, leaving=leaving)
        return Record(
            kind=kind,
            meter=self.id,
            seq=self._next(),
            counters=counters,
            study_us=study_us,
            windows=spent,
            window=window,
            reason=reason,
            hardware=hardware,
            neighbours=neighbours,
            unknown_us=unknown_us,
        )

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1

    def _commit(self, record: Record, windows: Windows) -> None:
        """Write a record; only once it is in the file does anything here change."""
        assert self._path is not None
        try:
            self._save_state(record, windows)
            write(self._path, record)
        except OSError:
            self._seq = record.seq  # it is not in the file, so the next one has its number
            raise
        self._ledger.add(record)
        self._windows = windows

    def _save_state(self, record: Record, windows: Windows) -> None:
        """Before the record, so that a meter killed between the two loses nothing; see :meth:`resume`."""
        if self._state is None or self._began is None:
            return
        state = {
            "path": str(self._path),
            "record": record.as_line(),
            "study": self._study.as_state(),
            "windows": [{"window": asdict(window), "scope": scope.as_state()} for window, scope in windows.values()],
            "sensors": self._sensors.as_state(),
            "ended": self._ended.buckets,
            "began": asdict(self._began),
            "drivers": self._drivers,
            "nodes": self.nodes,
        }
        self._state.save(state)
