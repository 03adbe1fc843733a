"""One command's time with Ray: started quietly, metered from before its start to after its end."""

import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.meter import Reading, append_stop
from kdtune.energy.meter_state import MeterState, drop_stale
from kdtune.energy.neighbours import shared_folder
from kdtune.energy.processes import CpuScope, identity_of, snapshot
from kdtune.energy.sensors import NodeSensors
from kdtune.energy.start import Start
from kdtune.errors import RayError
from kdtune.results.folder import StudyFolder
from kdtune.tuning import jobs, metered
from kdtune.tuning.daemons import Daemons
from kdtune.tuning.meter_actor import begin_meters, end_meters, neighbourhood_of, start_meters, state_of
from kdtune.tuning.resources import Resources

#: Trials read their data from memory-mapped files; Ray's object store holds only small messages.
_OBJECT_STORE_BYTES = 128 * 1024 * 1024


class Session:
    """Ray, a meter on every node, and the ledger that the energy goes to at the moment.

    Its own ledger covers what all strategies share: starting Ray, looking at the data, and shutting down.
    """

    def __init__(
        self, folder: StudyFolder, cpus_per_trial: float, gpus_per_trial: float | None, address: str | None = None
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: The study's, in which the session's ledger is kept.
            cpus_per_trial: Cores for each trial.
            gpus_per_trial: GPUs for each trial; None gives one where the cluster has any.
            address: Of a running Ray cluster; None takes ``RAY_ADDRESS``, and starts Ray here
                where that is not set and none runs in this process.
        """
        self.id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.folder = folder.session(self.id)
        self._study = folder
        #: Ledger of what no strategy would have used by itself: waiting for another command.
        self.waiting = folder.session(f"{self.id}-waiting")
        self.resources = Resources(cpus_per_trial, gpus_per_trial or 0.0)
        self._pick_gpus = gpus_per_trial is None
        self._address = address
        self._meters: dict[str, Any] = {}
        #: Where the meters were told to count, the last two.
        self._ledgers = [self.folder]
        self._since: Start | None = None
        self._pending: list[Any] = []
        self._preparing: Any = None
        self._owns_ray = False
        self._sensors: NodeSensors | None = None
        self._neighbourhood = neighbourhood_of(self.id)
        self._daemons = Daemons()

    def start(self) -> None:
        """Start or find Ray, and a meter on every node.

        Raises:
            UsageError: A trial asks for more than the cluster has, or another thread of this process runs a study or
                an experiment that is metered.
            RayError: Ray does not start or the address does not answer.
        """
        metered.begin(self.stop)
        drop_stale(shared_folder(), snapshot())
        try:
            self._sensors = NodeSensors()
            self._neighbourhood.join()
            with self._neighbourhood.settled(0):
                counters = self._sensors.read()
                self._since = Start.of(counters, [identity_of(os.getpid())])
                self._neighbourhood.hold(counters.t_ns, 0, {})
            self._owns_ray = not ray.is_initialized()
            if self._owns_ray:
                self._init_ray()
            cluster = ray.cluster_resources()
            if self._pick_gpus:
                self.resources = Resources(self.resources.cpus, 1.0 if cluster.get("GPU", 0) >= 1 else 0.0)
            self.resources.check_fit(cluster)
            self._meters = start_meters(self.id)
            # Not waited for: the meters start while other things do. The counters were read above.
            self._pending = begin_meters(self._meters, self.folder, self._since)
        except BaseException:
            self.stop()
            raise

    def _init_ray(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        address = self._address or os.environ.get("RAY_ADDRESS")
        if address:
            options["address"] = address
        else:
            # "local", for Ray would otherwise join whatever cluster was started last on this machine.
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        try:
            ray.init(**options)
        except Exception as error:
            where = f"at {address}" if address else "on this machine"
            raise RayError(f"Ray did not start {where}: {error}") from None
        if not address:
            self._daemons = Daemons.of_this_process()
            self._daemons.watch(self._study.remedy)

    def check(self) -> None:
        """Stop here if Ray is dead: whoever asks its actors then waits for a minute, or is ended by Ray itself.

        Raises:
            RayError: One of the processes that it was started with has died.
        """
        self._daemons.check()

    @property
    def slots(self) -> int:
        """How many trials fit into the cluster side by side."""
        return self.resources.slots(ray.cluster_resources())

    @property
    def is_on_one_machine(self) -> bool:
        """Whether there is no other machine in the cluster than this one."""
        return {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} == {os.uname().nodename}

    @property
    def gpus(self) -> list[str]:
        """The GPUs that Ray may hand out on this machine, by UUID."""
        return self._sensors.gpus if self._sensors else []

    def settle(self) -> None:
        """Wait until every meter counts as it was told to: no window may open before."""
        self.check()
        pending, self._pending = self._pending, []
        ray.get(pending)

    def prepare_worker(self) -> None:
        """Let a worker import what evaluations need while trials run; Ray keeps it for that job."""
        if self._preparing is None:
            self._preparing = ray.remote(num_cpus=0)(jobs.prepare).remote(self.id)

    def settle_worker(self) -> None:
        """Wait until that worker is ready: another one would take longer."""
        ray.wait([self._preparing])

    def switch(self, folder: Path | None = None) -> None:
        """From now on the energy goes to another ledger folder; None: to the session's own.

        It is not waited for; see :meth:`settle`.
        """
        self._ledgers = [self._ledgers[-1], folder or self.folder]
        self._pending += [meter.switch.remote(str(self._ledgers[-1])) for meter in self._meters.values()]

    @contextmanager
    def charging(self, folder: Path, *, at_once: bool = True) -> Iterator[None]:
        """Charge what happens inside to a ledger folder, and what comes after to the session again.

        Args:
            folder: Gets a file a machine.
            at_once: Wait for the meters first. Without it whoever is inside calls :meth:`settle` before a window opens.
        """
        self.switch(folder)
        if at_once:
            self.settle()
        try:
            yield
        finally:
            self.switch()
            self.settle()

    def reading(self, *, fresh: bool = False) -> Reading:
        """Energy so far, of all nodes together; ``fresh`` takes a sample first."""
        self.check()
        if fresh:
            ray.get([meter.sample.remote() for meter in self._meters.values()])
        total = Reading({}, 0, {})
        for one in ray.get([meter.reading.remote() for meter in self._meters.values()]):
            spent = {bucket: uj + total.spent.get(bucket, 0) for bucket, uj in one.spent.items()}
            total = Reading(total.windows | one.windows, total.charged_uj + one.charged_uj, spent)
        return total

    def close_window(self, window_id: str, reason: str) -> None:
        """Close a window that its trial did not close itself."""
        self.check()
        ray.get([meter.close.remote(window_id, reason) for meter in self._meters.values()])

    def stop(self) -> None:
        """Stop the meters, and Ray if it was started here; its end is the last thing that is counted."""
        try:
            self._stop_metering()
        finally:
            metered.ended(self.stop)
            self._daemons.unwatch()
            # Also where no meter ever ran: this process may run another study, and would be its own neighbour.
            self._neighbourhood.withdraw()
            MeterState(state_of(self.id, os.uname().nodename)).drop()

    def _stop_metering(self) -> None:
        if not ray.is_initialized():
            if self._owns_ray:  # interrupted while it started: what it had started goes too
                ray.shutdown()
            return
        if not self._owns_ray:
            end_meters(self._meters.values())
            self._meters = {}
            return
        mine, here = CpuScope([identity_of(os.getpid())], snapshot()), os.uname().nodename
        try:
            self.check()
            # On this node the counters are at hand after Ray's end too; meters of other nodes end now, or never.
            ray.get([m.sample.remote() if host == here else m.switch.remote(None) for host, m in self._meters.items()])
        except (RayError, ray.exceptions.RayError):
            pass  # a meter that died; its ledger tells up to where it came
        finally:
            ray.shutdown()
        if self._sensors and self._meters:
            for folder in {*self._ledgers}:  # a meter that died may not have come to the last
                path = folder / f"{here}.jsonl"
                records = read_folder(folder).get(path.stem)
                if records and self._is_open(records[-1]):
                    append_stop(path, self._sensors, mine.update(snapshot()), records[-1], self._neighbourhood)

    def _is_open(self, last: Record) -> bool:
        """Whether a ledger that ends so is one that this session's meter had not done with."""
        if self._since is None or last.kind == "stop":
            return False
        now, since = last.counters, self._since.counters
        return now.boot_id == since.boot_id and now.t_ns >= since.t_ns
