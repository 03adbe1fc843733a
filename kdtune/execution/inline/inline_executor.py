"""Executor that runs a study in the calling process, without Ray and one trial at a time."""

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
from kdtune.tasks.loading import load_all_tasks
from kdtune.training.step_listener import called_at_each_step

#: Seconds between two calls of the poll function while a job runs.
POLL_S = 0.5

Result = TypeVar("Result")


class InlineExecutor(Executor):
    """Runs jobs and trials one after the other in the calling thread, and a meter in another thread.

    Ctrl-C interrupts only jobs and training steps, so the ledger and the logs stay intact.
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
        """Prepare without starting anything.

        Args:
            folder: Results folder of the study, for the session's ledger.
            cpus_per_trial: Cores for each trial, and so threads of torch.
            gpus_per_trial: Share of a GPU for each trial, at most 1; None for one GPU if there are any.
            interrupts: Remembers whether the user asked to stop.
            tell: Receives warnings.
        """
        super().__init__(folder, Resources(cpus_per_trial, gpus_per_trial or 0.0))
        self._pick_gpus = gpus_per_trial is None
        self._interrupts = interrupts
        self._tell = tell
        self._gpus: list[str] = []
        self._registry = registry_of(self.id)
        self._meter: NodeMeter | None = None
        self._cleanup = ExitStack()

    def start(self) -> None:
        """Start the meter and import the modules that trainings need.

        Raises:
            UsageError: A trial needs more resources than this machine has, or this process already meters other work.
        """
        metering_guard.begin(self.stop)
        try:
            with self._interrupts.delayed():
                drop_stale(shared_folder(), snapshot())
                self._pick_resources()
                self._registry.register()
                self._meter = NodeMeter(NodeSensors(None if self.resources.gpus else ()), self._registry)
                self._meter.begin(str(self.folder), None)
                self._cleanup.enter_context(reachable(self.id, _OwnMeter(self._meter, self._interrupts)))
                import kdtune.artifacts.training_context  # noqa: F401 - Ctrl-C would interrupt an import within a job

                load_all_tasks()

                self._cleanup.enter_context(restored_process_state(uses_torch=True))
                # As in Ray's workers, whose log is not shown.
                self._cleanup.enter_context(level_of("torch", logging.ERROR))
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
        """End the ledger and restore the state of the process that trainings changed."""
        with suppress(StudyInterrupted), self._interrupts.delayed():
            meter, self._meter = self._meter, None
            try:
                if meter is not None:
                    meter.stop_sampling()
                    meter.switch(None)
            finally:
                self._registry.deregister_now()
                metering_guard.ended(self.stop)
                self._cleanup.close()

    def check(self) -> None:
        """Do nothing, since there is no other process that could die."""

    @property
    def slots(self) -> int:
        """Number of trials that run at the same time: one."""
        return 1

    @property
    def is_on_one_machine(self) -> bool:
        """Whether all work happens on this machine: always."""
        return True

    @property
    def gpus(self) -> list[str]:
        """UUIDs of the usable GPUs of this machine."""
        return self._gpus

    def settle(self) -> None:
        """Do nothing, since requests to the meter take effect before they return."""

    def settle_for_evaluation(self) -> None:
        """Do nothing, since this process has imported the modules for evaluations."""

    def _switch_meters(self, folder: Path) -> None:
        self._ask_meter(lambda meter: meter.switch(str(folder)))

    def reading(self, *, fresh: bool = False) -> Reading:
        """Return the energy so far; ``fresh`` takes a sample first."""
        if fresh:
            self._ask_meter(lambda meter: meter.sample())
        return self._ask_meter(lambda meter: meter.reading())

    def close_window(self, window_id: str, reason: str) -> None:
        """Close the window of a trial that has not closed it."""
        self._ask_meter(lambda meter: meter.close(window_id, reason))

    def _ask_meter(self, ask: Callable[[NodeMeter], Result]) -> Result:
        assert self._meter is not None, "the executor has started"
        with self._interrupts.delayed():
            return ask(self._meter)

    def run_jobs(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> list[Any]:
        """Run jobs one after the other, in separate processes if they need environment variables."""
        results: list[Any] = []
        for args in calls:
            if results:  # between jobs; an error after the last one would lose its result
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
        # Each strategy has its own worker, so that it is charged for its loading and warm-up.
        worker = TrialWorker(self.resources)
        with self._interrupts.delayed():
            try:
                while not events.must_stop and isinstance(trial := events.next(), Trial):
                    if not self._train(events, trial, worker):
                        worker = TrialWorker(self.resources)  # the state that a failed training left is dropped
            except (KdtuneError, OSError) as error:  # a report could not be recorded, or the user cancelled
                events.give_up(error)

    def _train(self, events: TrialEvents, trial: Trial, worker: TrialWorker) -> bool:
        """Train a trial until it ends or the strategy has to stop; return False if the training failed."""
        read_energy = _Paced(events.read_energy, lambda: events.reading_interval_s)
        try:
            with self._interrupts.allowed(), called_at_each_step(read_energy):
                training = worker.take_on(events.config(trial))
        except Exception as error:
            return self._failed(events, trial, error)
        events.started(trial)
        try:
            while not events.must_stop:
                try:
                    with self._interrupts.allowed(), called_at_each_step(read_energy):
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
            # No checkpoint may be written after the trial, since checkpoints may be removed or loaded then.
            training.close("interrupted")

    def _failed(self, events: TrialEvents, trial: Trial, error: Exception) -> bool:
        """Record why an attempt failed, and return False.

        Raises:
            StudyInterrupted: The attempt did not fail; the user stopped it.
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
    """Connection to the meter of this process; Ctrl-C is delayed until a record is complete."""

    def __init__(self, meter: NodeMeter, interrupts: Interrupts) -> None:
        self._meter = meter
        self._interrupts = interrupts

    def ask(self, method: str, *args: Any) -> Any:
        with self._interrupts.delayed():
            try:
                return getattr(self._meter, method)(*args)
            except Exception as error:
                raise MeterFailed(error, is_lost=False) from None


class _Paced:
    """Calls a function at most once per interval."""

    def __init__(self, function: Callable[[], object], interval_s: Callable[[], float]) -> None:
        self._function = function
        self._interval_s = interval_s
        self._due_s = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._due_s:
            self._function()
            self._due_s = time.monotonic() + self._interval_s()
