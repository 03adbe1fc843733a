"""The executor that runs a study through Ray: started quietly, metered from before its start to after its end."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.logger_levels import level_of
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.meter_state import MeterState, drop_stale
from kdtune.energy.neighbours import shared_folder
from kdtune.energy.processes import CpuScope, identity_of, snapshot
from kdtune.energy.reading import Reading
from kdtune.energy.sensors.node import NodeSensors
from kdtune.energy.shared_counters import append_stop
from kdtune.errors import RayError
from kdtune.execution import metering_guard
from kdtune.execution.evaluation_job import prepare_evaluation
from kdtune.execution.executor import Executor
from kdtune.execution.node_meter import registry_of, state_of
from kdtune.execution.ray.dispatch import in_worker, ray_errors_converted, run_jobs
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.ray.ray_daemons import RayDaemons
from kdtune.execution.ray.ray_start import start_ray
from kdtune.execution.ray.tune_trials import run_trials
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.resources import Resources, cluster_address, cluster_nodes, gpus_by_default
from kdtune.results.folder import StudyFolder

#: Seconds within which work that has just ended frees its cores; nothing is noted of so short a wait.
MOMENT_S = 2.0

#: Seconds of waiting for free cores after which the user is told.
SAY_AFTER_S = 5.0


class RayExecutor(Executor):
    """Ray, a meter on every node, and the ledger that the energy goes to at the moment."""

    kind = "ray"

    def __init__(
        self,
        folder: StudyFolder,
        cpus_per_trial: float,
        gpus_per_trial: float | None,
        address: str | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: The study's, in which the session's ledger is kept.
            cpus_per_trial: Cores for each trial.
            gpus_per_trial: Share of a GPU for each trial, at most 1; None gives one where the cluster has any.
            address: Of a running Ray cluster; None takes ``RAY_ADDRESS``, and starts Ray here
                where that is not set and none runs in this process.
            tell: Called with what is waited for, if that takes long.
        """
        super().__init__(folder, Resources(cpus_per_trial, gpus_per_trial or 0.0))
        self._tell = tell
        self._study = folder
        self._pick_gpus = gpus_per_trial is None
        self._address = address
        self._meters = NodeMeters(self.id)
        self._since: MeterStart | None = None
        self._preparing: Any = None
        self._owns_ray = False
        self._sensors: NodeSensors | None = None
        self._registry = registry_of(self.id)
        self._daemons = RayDaemons()
        self._put_back = ExitStack()

    @ray_errors_converted()
    def start(self) -> None:
        """Start or find Ray, and a meter on every node.

        Raises:
            UsageError: A trial asks for more than the cluster has, or another thread of this process runs a study or
                an experiment that is metered.
            RayError: Ray does not start or the address does not answer.
        """
        metering_guard.begin(self.stop)
        drop_stale(shared_folder(), snapshot())
        try:
            self._sensors = NodeSensors()
            self._registry.register()
            with self._registry.locked(0):
                counters = self._sensors.read()
                self._since = MeterStart.of(counters, [identity_of(os.getpid())])
                self._registry.announce(counters.t_ns, 0, {})
            self._owns_ray, is_local = not ray.is_initialized(), False
            if self._owns_ray:
                address = cluster_address(self._address)
                is_local = address is None
                self._put_back.enter_context(level_of("ray", logging.ERROR))  # ray.init sets it for good
                start_ray(address)
                if is_local:
                    self._daemons = RayDaemons.of_this_process()
                    self._daemons.watch(self._study.remedy)
            nodes = cluster_nodes()
            if self._pick_gpus:
                gpus = gpus_by_default(nodes, self.gpus, is_own=is_local, tell=self._tell)
                self.resources = Resources(self.resources.cpus, gpus)
            self.resources.check_fit(nodes)
            self._meters.start(counts_gpus=self.resources.gpus > 0)
            # Not waited for: the meters start while other things do. The counters were read above.
            self._meters.begin(self.folder, self._since)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Stop here if Ray is dead: whoever asks its actors then waits for a minute, or is ended by Ray itself.

        Raises:
            RayError: One of the processes that it was started with has died.
        """
        self._daemons.check()

    @property
    def slots(self) -> int:
        """How many trials fit into the cluster side by side."""
        return self.resources.slots(cluster_nodes())

    @property
    def is_on_one_machine(self) -> bool:
        """Whether there is no other machine in the cluster than this one."""
        return {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} == {os.uname().nodename}

    @property
    def gpus(self) -> list[str]:
        """The GPUs that Ray may hand out on this machine, by UUID."""
        return self._sensors.gpus if self._sensors else []

    @ray_errors_converted()
    def settle(self) -> None:
        """Wait until every meter counts as it was told to: no window may open before."""
        self.check()
        self._meters.settle()

    def meter_new_nodes(self) -> None:
        """Start a meter on nodes that have joined the cluster: their workers wait for it."""
        self._meters.meter_new_nodes()

    @ray_errors_converted()
    def wait_for_room(self, poll: Callable[[], object]) -> None:
        """Wait until a trial fits beside what others run in the cluster; say so if that takes long.

        No strategy is charged for it.

        Args:
            poll: Called about twice a second meanwhile.

        Raises:
            UsageError: The cluster has lost what a trial needs.
        """
        asked, free = self.resources, ray.available_resources()
        if free.get("CPU", 0) >= asked.cpus and free.get("GPU", 0) >= asked.gpus:
            return
        probe = ray.remote(num_cpus=asked.cpus, num_gpus=asked.gpus, max_retries=0)(_occupy_for_a_moment).remote()
        say_at_s: float | None = time.monotonic() + SAY_AFTER_S
        try:
            if ray.wait([probe], timeout=MOMENT_S)[0]:
                return
            with self.charging(self.waiting):
                while not ray.wait([probe], timeout=0.5)[0]:
                    self.check()
                    poll()
                    if say_at_s is not None and time.monotonic() >= say_at_s:
                        asked.check_fit(cluster_nodes())
                        self._tell(f"waiting for {asked}: other work uses what the cluster has")
                        say_at_s = None
        except BaseException:
            ray.cancel(probe, force=True)
            raise

    def prepare_worker(self) -> None:
        """Let a worker import what evaluations need while trials run; Ray keeps it for that job.

        Not for evaluations on a GPU: Ray starts a new worker for each job with one, to give its memory back.
        """
        if self._preparing is None and not self.resources.gpus:
            self._preparing = ray.remote(num_cpus=0)(in_worker).remote(self.id, prepare_evaluation, self.id)

    @ray_errors_converted()
    def settle_for_evaluation(self) -> None:
        """As :meth:`settle`, and wait until a worker has imported what evaluations need."""
        self.settle()
        self.prepare_worker()
        if self._preparing is not None:
            ray.wait([self._preparing])  # another worker would take longer

    @ray_errors_converted()
    def run_jobs(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> list[Any]:
        """Run jobs in workers with a trial's resources, side by side as far as the cluster allows."""
        return run_jobs(self, function, calls, poll, environment)

    @ray_errors_converted()
    def run_trials(self, events: TrialEvents, max_concurrent: int | None) -> None:
        """Run trials through Ray Tune."""
        run_trials(self, events, max_concurrent)

    def _switch_meters(self, folder: Path) -> None:
        self._meters.switch(folder)

    @ray_errors_converted()
    def reading(self, *, fresh: bool = False) -> Reading:
        """Energy so far, of all nodes together; ``fresh`` takes a sample first."""
        self.check()
        self.meter_new_nodes()
        if fresh:
            self._meters.ask("sample")
        return self._meters.reading()

    @ray_errors_converted()
    def close_window(self, window_id: str, reason: str) -> None:
        """Close a window that its trial did not close itself."""
        self.check()
        self._meters.ask("close", window_id, reason)

    def stop(self) -> None:
        """Stop the meters, and Ray if it was started here; its end is the last thing that is counted."""
        try:
            self._stop_metering()
        finally:
            metering_guard.ended(self.stop)
            self._daemons.unwatch()
            # Also where no meter ever ran: this process may run another study, and would be its own neighbour.
            self._registry.deregister_now()
            MeterState(state_of(self.id, os.uname().nodename)).remove()
            self._put_back.close()

    def _stop_metering(self) -> None:
        if not ray.is_initialized():
            if self._owns_ray:  # interrupted while it started: what it had started goes too
                ray.shutdown()
            return
        if not self._owns_ray:
            self._meters.end()
            return
        mine = CpuScope([identity_of(os.getpid())], snapshot())
        try:
            self.check()
            self._meters.leave()
        except (RayError, ray.exceptions.RayError):
            pass  # a meter that died; its ledger tells up to where it came
        finally:
            ray.shutdown()
        if self._sensors and self._meters:
            # On this node the counters are still at hand; what other nodes did after the last sample is theirs.
            for folder in {*self._ledgers}:  # a meter that died may not have come to the last
                path = folder / f"{os.uname().nodename}.jsonl"
                records = read_folder(folder).get(path.stem)
                if records and self._is_open(records[-1]):
                    append_stop(path, self._sensors, mine.update(snapshot()), records[-1], self._registry)

    def _is_open(self, last: Record) -> bool:
        """Whether a ledger that ends so is one that this session's meter had not done with."""
        if self._since is None or last.kind == "stop":
            return False
        now, since = last.counters, self._since.counters
        return now.boot_id == since.boot_id and now.t_ns >= since.t_ns


def _occupy_for_a_moment() -> None:
    """Runs in a worker as soon as the cluster has room for a trial."""
