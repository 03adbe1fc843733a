"""Executor that runs a study through Ray and meters it from before Ray's start to after its end."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock
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
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.node_meter import registry_of, state_of
from kdtune.execution.ray.calling_worker import check_room
from kdtune.execution.ray.dispatch import OUTSIDE, in_worker, ray_errors_converted, run_jobs
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.ray.ray_daemons import RayDaemons
from kdtune.execution.ray.ray_start import start_ray
from kdtune.execution.ray.tune_trials import run_trials
from kdtune.execution.shared_folders import SharedFolders
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.resources import Resources, chosen_gpu_type, cluster_address, cluster_nodes, gpus_by_default
from kdtune.results.folder import StudyFolder
from kdtune.storage.paths import cache_dir


class RayExecutor(Executor):
    """Runs jobs and trials on Ray, with a meter on every node."""

    kind = "ray"

    def __init__(
        self,
        folder: StudyFolder,
        cpus_per_trial: float,
        gpus_per_trial: float | None,
        address: str | None = None,
        tell: Callable[[str], None] = lambda text: None,
        interrupts: Interrupts | None = None,
    ) -> None:
        """Prepare without starting anything.

        Args:
            folder: Results folder of the study, for the session's ledger.
            cpus_per_trial: Cores for each trial.
            gpus_per_trial: Share of a GPU for each trial, at most 1; None for one GPU if the cluster has any.
            address: Address of a running Ray cluster; None uses ``RAY_ADDRESS`` or the Ray of this process, and starts
                Ray on this machine if there is neither.
            tell: Receives messages, such as the reason of a long wait.
            interrupts: Tells whether the user asked to stop.
        """
        super().__init__(folder, Resources(cpus_per_trial, gpus_per_trial or 0.0))
        self.tell = tell
        self._study = folder
        self._pick_gpus = gpus_per_trial is None
        self._address = address
        self._meters = NodeMeters(self.id, tell=tell)
        self._since: MeterStart | None = None
        self._preparing: Any = None
        self._owns_ray = False
        self._sensors: NodeSensors | None = None
        self._registry = registry_of(self.id)
        self._daemons = RayDaemons()
        self._interrupts = interrupts or Interrupts()
        self._cleanup = ExitStack()
        self._ending_ledgers = Lock()

    @ray_errors_converted()
    def start(self) -> None:
        """Start or find Ray, and a meter on every node.

        Raises:
            UsageError: A trial needs more resources than the cluster has, or another thread of this process runs a
                study or an experiment that is metered.
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
                self._cleanup.enter_context(level_of("ray", logging.ERROR))  # ray.init sets it for good
                start_ray(address)
                if is_local:
                    self._daemons = RayDaemons.of_this_process()
                    self._daemons.watch(self._study.remedy, self._interrupts, self._end_open_ledgers)
            if not is_local:
                self.shared = SharedFolders(self.id, str(self._study.path.absolute()), str(cache_dir()))
                self._cleanup.enter_context(self.shared.marked())
            nodes = cluster_nodes()
            if self._pick_gpus:
                gpus = gpus_by_default(nodes, self.gpus, is_own=is_local, tell=self.tell)
                self.resources = Resources(self.resources.cpus, gpus)
            if self.resources.gpus:
                self.resources = replace(self.resources, gpu_type=chosen_gpu_type(nodes))
            self.resources.check_fit(nodes)
            check_room(self.resources, nodes)
            self._meters.start(counts_gpus=self.resources.gpus > 0, shared=self.shared)
            # Not waited for: the meters start while other things do. The counters were read above.
            self._meters.begin(self.folder, self._since)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Stop here if Ray is dead; a request to its actors would wait for a minute, or Ray would end this process.

        Raises:
            RayError: A daemon of Ray has died.
        """
        self._daemons.check()

    @property
    def slots(self) -> int:
        """Number of trials that fit into the cluster at the same time."""
        return self.resources.slots(cluster_nodes())

    @property
    def is_on_one_machine(self) -> bool:
        """Whether the cluster has no other machine than this one."""
        return {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]} == {os.uname().nodename}

    @property
    def gpus(self) -> list[str]:
        """UUIDs of the GPUs that Ray may assign on this machine."""
        return self._sensors.gpus if self._sensors else []

    @ray_errors_converted()
    def settle(self) -> None:
        """Wait until earlier requests to all meters have taken effect; no window may open before."""
        self.check()
        self._meters.settle()

    def keep_up(self) -> None:
        """Meter nodes that have joined the cluster, whose workers wait for it, and copy ledgers of other machines."""
        self._meters.keep_up()

    def prepare_worker(self) -> None:
        """Let a worker import the modules for evaluations while trials run; Ray keeps the worker for that job.

        This does not help evaluations on a GPU: Ray starts a new worker for each job with a GPU, to free its memory.
        """
        if self._preparing is None and not self.resources.gpus:
            job = ray.remote(num_cpus=0, scheduling_strategy=OUTSIDE)(in_worker)
            self._preparing = job.remote(self.id, self.shared, prepare_evaluation, self.id)

    @ray_errors_converted()
    def settle_for_evaluation(self) -> None:
        """Do the same as :meth:`settle`, and wait until a worker has imported the modules for evaluations."""
        self.settle()
        self.prepare_worker()
        if self._preparing is not None:
            ray.wait([self._preparing])  # starting another worker would take longer

    @ray_errors_converted()
    def run_jobs(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> list[Any]:
        """Run jobs in workers with the resources of a trial, in parallel as far as the cluster allows."""
        return run_jobs(self, function, calls, poll, environment)

    @ray_errors_converted()
    def run_trials(self, events: TrialEvents, max_concurrent: int | None) -> None:
        """Run trials through Ray Tune."""
        run_trials(self, events, max_concurrent)

    def _switch_meters(self, folder: Path) -> None:
        self._meters.switch(folder)

    @ray_errors_converted()
    def reading(self, *, fresh: bool = False) -> Reading:
        """Return the energy of all nodes so far; ``fresh`` takes a sample first."""
        self.check()
        self.keep_up()
        if fresh:
            self._meters.ask("sample")
        return self._meters.reading()

    @ray_errors_converted()
    def close_window(self, window_id: str, reason: str) -> None:
        """Close the window of a trial that has not closed it."""
        self.check()
        self._meters.ask("close", window_id, reason)

    def stop(self) -> None:
        """Stop the meters, and Ray if this executor started it; the end of Ray is metered last."""
        try:
            self._stop_metering()
        finally:
            metering_guard.ended(self.stop)
            self._daemons.unwatch()
            # Also if no meter was started: otherwise the next study of this process would have itself as a neighbour.
            self._registry.deregister_now()
            MeterState(state_of(self.id, os.uname().nodename)).remove()
            self._cleanup.close()

    def _stop_metering(self) -> None:
        if not ray.is_initialized():
            if self._owns_ray:  # interrupted during the start of Ray, which may have started processes
                ray.shutdown()
            return
        if not self._owns_ray:
            self._meters.end()
            return
        mine = CpuScope([identity_of(os.getpid())], snapshot())
        try:
            self.check()
            self._meters.leave()
            self._daemons.unwatch()  # they end now because this process ends them
        except (RayError, ray.exceptions.RayError):
            pass  # a meter died; its ledger ends with its last record
        finally:
            ray.shutdown()
        self._end_open_ledgers(mine)

    def _end_open_ledgers(self, mine: CpuScope | None = None) -> None:
        """End the ledgers of this node that its meter has left open.

        The node's counters are still readable; other nodes are counted up to their last sample.

        Args:
            mine: Counts the CPU time of this process since shortly after the meter's last record; None for none.
        """
        if not (self._sensors and self._meters):
            return
        with self._ending_ledgers:  # the thread that watches Ray's daemons may end the process at this moment
            for folder in {*self._ledgers}:  # a meter that died may not have begun the last folder
                path = folder / f"{os.uname().nodename}.jsonl"
                records = read_folder(folder).get(path.stem)
                if records and self._is_open(records[-1]):
                    own_us = mine.update(snapshot()) if mine else 0
                    append_stop(path, self._sensors, own_us, records[-1], self._registry)

    def _is_open(self, last: Record) -> bool:
        """Return whether this session's meter had not finished the ledger with this last record."""
        if self._since is None or last.kind == "stop":
            return False
        now, since = last.counters, self._since.counters
        return now.boot_id == since.boot_id and now.t_ns >= since.t_ns
