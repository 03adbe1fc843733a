"""Training of trials in a process, with checkpoints and an energy window; all executors use it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtune.catalog.builtin import DATASETS
from kdtune.data.sources import describe_own_data
from kdtune.errors import Fault, SpecError, StudyInterrupted
from kdtune.execution.gpu_preparation_window import open_preparation_window
from kdtune.execution.meter_handle import MeterHandle, meter_of
from kdtune.planning.resources import Resources, gpu_indices, gpu_shares
from kdtune.results.trial import phase_window
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.study import Setting
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.training.resolution import resolved_trial

if TYPE_CHECKING:
    from kdtune.training.distiller import Distiller

#: Seconds between two readings of a running trial's energy; a shorter epoch has no reading.
READING_INTERVAL_S = 1.0

#: Seconds between two reports of a trial if not every epoch is judged. Tune takes about 15 ms for a report, which is
#: more than an epoch of a very small network takes.
SLICE_S = 0.5

#: Seeds are smaller than this.
MAX_SEED = 2**31

_NOT_POINT = {"study", "seed", "run"}

# The functions import torch, since the driver imports this module as well and does not need torch.


class TrialTraining:
    """One attempt of a trial, trained epoch by epoch and metered in its own window."""

    def __init__(
        self,
        distiller: "Distiller",
        run: dict[str, Any],
        resources: Resources,
        shares: dict[str, float],
        meter: MeterHandle,
    ) -> None:
        """Prepare the attempt from the trial's last checkpoint, if any. The window opens with the first step.

        Args:
            distiller: Trains the student.
            run: ``run`` of the config: window, checkpoint folder, training time between reports, and the number of
                epochs after which the attempt stops.
            resources: Resources of the trial.
            shares: Share of each GPU by UUID.
            meter: Meter of this machine.
        """
        from kdtune.training.checkpoints import CheckpointFolder, CheckpointWriter

        self.distiller = distiller
        self._resources = resources
        self._shares = shares
        folder = CheckpointFolder(Path(run["checkpoints"])) if "checkpoints" in run else None
        self._checkpoints = CheckpointWriter(folder) if folder else None
        if folder and (state := folder.load_latest()):
            distiller.load_state_dict(state)
        self._meter = meter
        self._window: str | None = run.get("window")
        self._slice_s = float(run.get("slice_s", 0.0))
        self._until: int = run.get("until") or distiller.recipe.training.epochs
        self._is_open = False
        self._attached = False
        self._earlier_uj: int | None = None
        self._read_uj = self._phases_uj = 0
        self._read_at_s = 0.0

    def attach_meter(self, meter: MeterHandle, window: str, earlier_uj: int | None) -> None:
        """Read the energy of a window that an :class:`~kdtune.EnergyLedger` opens and closes.

        Args:
            meter: Meter of this machine.
            window: Window of this attempt.
            earlier_uj: Energy of the trial's earlier attempts in microjoules; None if unknown.
        """
        self._meter = meter
        self._window = window
        self._attached = True
        self._earlier_uj = earlier_uj

    def step(self) -> dict[str, Any]:
        """Train one epoch, or several short ones within ``slice_s``, and return the report.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        self._open()
        self._save_reported()
        until_s = time.monotonic() + self._slice_s
        # A training that resumes after its last epoch, whose report was lost, only repeats this report.
        reports = [self._report(self.distiller.last_metrics()) if self._epochs_left < 1 else self._epoch()]
        # The last epoch has a report of its own, which is the only one that is repeated if it is lost.
        while self._epochs_left > 1 and time.monotonic() < until_s:
            reports.append(self._epoch())
        last = {**reports[-1], "done": self.distiller.done}
        if self._slice_s:
            return {**last, "epochs": reports}
        return {**last, "energy_j": self._energy_j()}

    def close(self, reason: str) -> int | None:
        """Close the window if it is open and return its energy in microjoules, or None without a meter."""
        if self._checkpoints:
            self._checkpoints.close()  # before the window closes, since writing checkpoints is part of the trial
        if not (self._window and self._is_open):
            return None
        self._is_open = False
        return self._meter.close(self._window, reason)

    def _open(self) -> None:
        # The window opens with the first step, since Tune may move the trial of a starting worker to another worker.
        if self._window and not self._is_open and not self._attached:
            self._is_open = True
            self._read_at_s = time.monotonic()
            self._open_window(self._window)

    def _open_window(self, name: str) -> None:
        from kdtune.energy.ledger import Window

        self._meter.open(Window(name, "trials", os.getpid(), self._resources.cpus, self._shares))

    def _energy_j(self) -> float | None:
        """Return the energy of all attempts of the trial so far in joules, or None if unknown."""
        if not self._attached or self._window is None or self._earlier_uj is None:
            return None
        energy_uj = self._meter.window_uj(self._window)
        return None if energy_uj is None else (self._earlier_uj + energy_uj) / 1e6

    @property
    def _epochs_left(self) -> int:
        return self._until - self.distiller.epoch

    def _save_reported(self) -> None:
        """Write a checkpoint if one is due, of epochs whose reports were processed, so that a kill loses no report."""
        if self._checkpoints and self.distiller.epoch > 0 and self._epochs_left > 0:
            with self._closing_on_error():
                self._checkpoints.epoch_done(self.distiller)

    def _epoch(self) -> dict[str, Any]:
        with self._closing_on_error():
            if (images := self.distiller.changing_images) is not None:
                with self._phase(images.phase):
                    images.prepare(self.distiller.epoch, self.distiller.model)
            metrics = self.distiller.train_epoch()
            if self._checkpoints and self._epochs_left < 1:
                self._checkpoints.epoch_done(self.distiller, is_last=True)
        return self._report(metrics)

    @contextmanager
    def _phase(self, phase: str) -> Iterator[None]:
        """Charge a phase of the training to a window of its own; the trial's window is closed meanwhile."""
        if not (self._window and self._is_open):
            yield
            return
        own = phase_window(self._window, phase)
        self._open_window(own)  # which closes the trial's, since a process works for one window at a time
        try:
            yield
        finally:
            self._phases_uj += self._meter.close(own, "done") or 0
            self._open_window(self._window)

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.close("interrupted" if isinstance(error, StudyInterrupted) else "failed")
            raise

    def _report(self, metrics: Any) -> dict[str, Any]:
        report: dict[str, Any] = metrics.as_report()
        if self._window and not self._attached:  # studies of kdtune record the energy of epochs
            report["energy_uj"] = self._energy_since_last_reading()
        return report

    def _energy_since_last_reading(self) -> int | None:
        if not (self._window and self._is_open):
            return None
        if self.distiller.done:
            total = self.close("done")
        elif time.monotonic() - self._read_at_s >= READING_INTERVAL_S:
            total = self._meter.window_uj(self._window)
        else:
            return None
        if total is None:
            return None
        total += self._phases_uj
        since, self._read_uj = total - self._read_uj, total
        self._read_at_s = time.monotonic()
        return since


class TrialWorker:
    """Trains one trial after the other; the data and the teacher stay in the process."""

    def __init__(self, resources: Resources) -> None:
        """Prepare without loading anything.

        Args:
            resources: Resources of each trial.
        """
        from kdtune.artifacts.device_choice import pick_device

        self._resources = resources
        self._shares = gpu_shares(resources.gpus)
        self._device = pick_device(resources.gpus, gpu_indices(resources.gpus))
        self._setting: Setting | None = None
        self._context: Any = None

    def take_on(self, config: dict[str, Any]) -> TrialTraining:
        """Prepare an attempt of a trial. Of the previous trial, only the data and the teacher are kept.

        Args:
            config: See :class:`kdtune.DistillTrainable`.
        """
        run = config.get("run", {})
        meter = meter_of(run.get("session"))
        spec = _spec_of(config)
        if spec.setting != self._setting:
            from kdtune.artifacts.training_context import TrainingContext

            self._setting = None  # stays None if one of the next steps fails
            if "spec" not in config:  # a study of kdtune checks its networks before it starts
                _check_networks(spec.setting)
            open_preparation_window(meter, self._shares)
            self._context = TrainingContext(spec.setting, self._device, self._resources.threads, run.get("data"))
            self._warm_up(spec)
            self._setting = spec.setting
        start = Path(run["start"]) if run.get("start") else None
        distiller = self._context.distiller(spec.recipe, spec.seed, start)
        return TrialTraining(distiller, run, self._resources, self._shares, meter)

    def _warm_up(self, spec: TrialSpec) -> None:
        """Do one-time work of a study before a trial's window opens, so that no trial is charged for it."""
        self._context.find_code(spec.recipe)
        # The seed is the trial's own, since logits of the teacher for another seed may not exist.
        self._context.distiller(spec.recipe, spec.seed).warm_up()


def _check_networks(setting: Setting) -> None:
    """Raise a SpecError if a network that is not built in cannot be trained on the data set."""
    from kdtune.planning.step_checks import network_faults

    own = setting.teacher.digest or setting.student.digest
    if own and (faults := network_faults(setting, "study")):
        raise SpecError(faults)


@cache
def _described_once(dataset: str) -> DataInfo:
    """Describe a data set, given as JSON, once per worker: that reads all of its files."""
    return describe_own_data(Component.model_validate_json(dataset))


def _spec_of(config: dict[str, Any]) -> TrialSpec:
    """Return the trial of a config, which is resolved here unless a plan of kdtune has resolved it."""
    if "spec" in config:
        spec: TrialSpec = config["spec"]
        return spec
    seed = config.get("seed", 0)
    problems = {} if "study" in config else {"study": "is missing; give the name, the file or the table of a study"}
    if not (isinstance(seed, Real) and 0 <= float(seed) < MAX_SEED):
        problems["seed"] = f"has to be an integer from 0 to {MAX_SEED - 1}, got {seed!r}"
    if problems:
        raise SpecError([Fault("param_space", key, problem) for key, problem in problems.items()])
    study = load_study(config["study"])
    if study.dataset.name not in DATASETS and study.dataset_info is None:
        study = study.with_data_info(_described_once(study.dataset.model_dump_json()))
    point = {key: value for key, value in config.items() if key not in _NOT_POINT}
    return resolved_trial(study, Suggestion.from_point(point), int(config.get("seed", study.seed)))
