"""The executor that runs a study in the very process that asked for it: no Ray, one trial at a time."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

from kdtune.energy.logger_levels import level_of
from kdtune.energy.meter import Reading
from kdtune.energy.meter_state import drop_stale
from kdtune.energy.neighbours import shared_folder
from kdtune.energy.processes import snapshot
from kdtune.energy.sensors.node import NodeSensors
from kdtune.errors import KdtuneError, MachineError, StudyInterrupted
from kdtune.execution import metering_guard
from kdtune.execution.error_conversion import as_kdtune_error
from kdtune.execution.executor import Executor
from kdtune.execution.gpu_preparation_window import open_preparation_window
from kdtune.execution.inline.separate_process import run_separately
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.meter_handle import MeterFailed, meter_of, reachable
from kdtune.execution.node_meter import NodeMeter, registry_of
from kdtune.execution.trial_events import Failure, TrialEvents
from kdtune.execution.trial_training import TrialWorker
from kdtune.planning.process_state import restored_process_state
from kdtune.planning.resources import Resources, gpu_shares, gpus_by_default
from kdtune.planning.usable_cores import usable_cores
from kdtune.results.folder import StudyFolder
from kdtune.results.trial import Trial
from kdtune.training.step_listener import called_at_each_step

#: Seconds between two calls of what is polled while a job runs.
POLL_S = 0.5

Result = TypeVar("Result")


class InlineExecutor(Executor):
    """Runs jobs and trials one after the other in the calling thread, and a meter in a thread beside it.

    Ctrl-C breaks off jobs and the steps of trainings, and nothing else: the ledger and the logs stay whole.
    """

    kind = "inline"

    def __init__(
        self,
        folder: StudyFolder,
        cpus_per_trial: float,
        gpus_per_trial: float | None,
        interrupts: Interrupts,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: The study's, in which the session's ledger is kept.
            cpus_per_trial: Cores for each trial, and so torch's threads.
            gpus_per_trial: Share of a GPU for each trial, at most 1; None gives one where there is any.
            interrupts: Whether the user asked to stop.
            tell: Called with warnings.
        """
        super().__init__(folder, Resources(cpus_per_trial, gpus_per_trial or 0.0))
        self._pick_gpus = gpus_per_trial is None
        self._interrupts = interrupts
        self._tell = tell
        self._gpus: list[str] = []
        self._registry = registry_of(self.id)
        self._meter: NodeMeter | None = None
        self._put_back = ExitStack()

    def start(self) -> None:
        """Start the meter, and import what trainings need.

        Raises:
            UsageError: A trial asks for more than this machine has, or this process already runs something metered.
        """
        metering_guard.begin(self.stop)
        try:
            with self._interrupts.held_back():
                drop_stale(shared_folder(), snapshot())
                self._pick_resources()
                self._registry.register()
                self._meter = NodeMeter(NodeSensors(None if self.resources.gpus else ()), self._registry)
                self._meter.begin(str(self.folder), None)
                self._put_back.enter_context(reachable(self.id, _OwnMeter(self._meter, self._interrupts)))
                import kdtune.artifacts.training_context
                import kdtune.training.evaluation  # noqa: F401 - not within a job, where Ctrl-C would break it off

                self._put_back.enter_context(restored_process_state())  # torch too, which is imported only now
                self._put_back.enter_context(level_of("torch", logging.ERROR))  # as of a worker, whose log nobody reads
        except BaseException:
            self.stop()
            raise

    def _pick_resources(self) -> None:
        self._gpus = NodeSensors().gpus
        here = [{"CPU": float(usable_cores()), "GPU": float(len(self._gpus))}]
        if self._pick_gpus:
            gpus = gpus_by_default(here, self._gpus, is_own=True, tell=self._tell, finder="its driver")
            self.resources = Resources(self.resources.cpus, gpus)
        self.resources.check_fit(here, "this machine")

    def stop(self) -> None:
        """End the ledger and put back what trainings changed of this process."""
        with suppress(StudyInterrupted), self._interrupts.held_back():
            meter, self._meter = self._meter, None
            try:
                if meter is not None:
                    meter.stop_sampling()
                    meter.switch(None)
            finally:
                self._registry.deregister_now()
                metering_guard.ended(self.stop)
                self._put_back.close()

    def check(self) -> None:
        """Nothing: what would have died is this process."""

    @property
    def slots(self) -> int:
        """One: trials run in this process."""
        return 1

    @property
    def is_on_one_machine(self) -> bool:
        """Whether all work happens on this machine; it does."""
        return True

    @property
    def gpus(self) -> list[str]:
        """The GPUs of this machine that may be used, by UUID."""
        return self._gpus

    def settle(self) -> None:
        """Nothing: the meter counts as it was told to by the time that the call returns."""

    def settle_for_evaluation(self) -> None:
        """Nothing: this process has imported what evaluations need."""

    def _switch_meters(self, folder: Path) -> None:
        self._ask_meter(lambda meter: meter.switch(str(folder)))

    def reading(self, *, fresh: bool = False) -> Reading:
        """Energy so far; ``fresh`` takes a sample first."""
        if fresh:
            self._ask_meter(lambda meter: meter.sample())
        return self._ask_meter(lambda meter: meter.reading())

    def close_window(self, window_id: str, reason: str) -> None:
        """Close a window that its trial did not close itself."""
        self._ask_meter(lambda meter: meter.close(window_id, reason))

    def _ask_meter(self, ask: Callable[[NodeMeter], Result]) -> Result:
        assert self._meter is not None, "the executor has started"
        with self._interrupts.held_back():
            return ask(self._meter)

    def run_jobs(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> list[Any]:
        """Run jobs one after the other, here or in a process of their own where they need other variables."""
        results: list[Any] = []
        for args in calls:
            if results:  # not after the last: its result would be lost
                poll()
            try:
                if environment is None:
                    with called_at_each_step(_Paced(poll, lambda: POLL_S)):
                        results.append(function(*args))
                else:
                    open_preparation_window(meter_of(self.id), gpu_shares(self.resources.gpus))
                    results.append(run_separately(function, args, environment, poll))
            except KdtuneError:
                raise
            except Exception as error:
                raise as_kdtune_error(error) from None
        return results

    def run_trials(self, events: TrialEvents, max_concurrent: int | None) -> None:
        """Train one trial after the other."""
        # A worker of its own for each strategy: each is charged for the loading and warming up that it needs.
        worker = TrialWorker(self.resources)
        with self._interrupts.held_back():
            try:
                while not events.must_stop and isinstance(trial := events.next(), Trial):
                    if not self._train(events, trial, worker):
                        worker = TrialWorker(self.resources)  # whatever the failed one has left behind
            except (KdtuneError, OSError) as error:  # a report could not be taken down, or the user cancelled
                events.give_up(error)

    def _train(self, events: TrialEvents, trial: Trial, worker: TrialWorker) -> bool:
        """Train a trial until it ends or the strategy has to stop; returns whether its training did not fail."""
        read_energy = _Paced(events.read_energy, lambda: events.reading_interval_s)
        try:
            with self._interrupts.let_through(), called_at_each_step(read_energy):
                training = worker.take_on(events.config(trial))
        except Exception as error:
            return self._failed(events, trial, error)
        events.started(trial)
        try:
            while not events.must_stop:
                try:
                    with self._interrupts.let_through(), called_at_each_step(read_energy):
                        report = training.step()
                except Exception as error:
                    return self._failed(events, trial, error)
                read_energy()
                goes_on = events.keep_going(trial, report)
                events.epoch_done(trial, report)
                if report["done"] or not goes_on:
                    training.close("done" if report["done"] else "pruned")
                    events.ended(trial, report)
                    break
            return True
        finally:
            # Nothing may still be writing checkpoints when the trial is over: they may be removed, or resumed from.
            training.close("interrupted")

    def _failed(self, events: TrialEvents, trial: Trial, error: Exception) -> bool:
        """Take down why an attempt failed; returns False.

        Raises:
            StudyInterrupted: It did not fail, the user stopped it.
        """
        if isinstance(error, StudyInterrupted):
            raise error
        first_line = (str(error).splitlines() or [""])[0]
        if isinstance(error, (MachineError, OSError, MemoryError)):
            events.failed(trial, Failure(str(as_kdtune_error(error)), "machine"))
        else:
            events.failed(trial, Failure(f"{type(error).__name__}: {first_line}", "own"))
        return False


class _OwnMeter:
    """The meter of this process as trainings and jobs reach it; Ctrl-C waits until a record is whole."""

    def __init__(self, meter: NodeMeter, interrupts: Interrupts) -> None:
        self._meter = meter
        self._interrupts = interrupts

    def ask(self, method: str, *args: Any) -> Any:
        with self._interrupts.held_back():
            try:
                return getattr(self._meter, method)(*args)
            except Exception as error:
                raise MeterFailed(error, is_lost=False) from None


class _Paced:
    """Calls a function, but not before some time has passed since it was called last."""

    def __init__(self, function: Callable[[], object], interval_s: Callable[[], float]) -> None:
        self._function = function
        self._interval_s = interval_s
        self._due_s = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._due_s:
            self._function()
            self._due_s = time.monotonic() + self._interval_s()
