"""Trainings of trials in a process: epochs, the window at the meter and checkpoints, whichever executor runs them."""

import os
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtune.catalog.builtin import DATASETS
from kdtune.data.sources import describe
from kdtune.errors import StudyInterrupted
from kdtune.execution.gpu_preparation_window import open_preparation_window
from kdtune.execution.meter_handle import MeterHandle, meter_of
from kdtune.planning.resources import Resources, gpu_indices, gpu_shares
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.study import Setting
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.training.resolution import resolved_trial

if TYPE_CHECKING:
    from kdtune.training.distiller import Distiller

#: Seconds between two readings of a running trial's energy: an epoch that is shorter has none of its own.
READING_INTERVAL_S = 1.0

#: Seconds for which a trial goes on by itself before it reports, where nobody has to judge every epoch: Tune
#: takes some 15 ms for a report, which is more than an epoch of a very small network.
SLICE_S = 0.5

_NOT_POINT = {"study", "seed", "run"}

# torch is imported by the functions: the driver imports this module too, and has no use for it.


class TrialTraining:
    """One attempt of a trial: trains it epoch by epoch and meters it under a window of its own."""

    def __init__(
        self,
        distiller: "Distiller",
        run: dict[str, Any],
        resources: Resources,
        shares: dict[str, float],
        meter: MeterHandle,
    ) -> None:
        """Prepare, from the trial's last checkpoint where there is one. The window opens with the first step.

        Args:
            distiller: Trains.
            run: The config's ``run``: window, folder of checkpoints, and for how long it trains between reports.
            resources: What the trial gets.
            shares: The GPUs among that: UUID to share.
            meter: Of this machine.
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
        self._is_open = False
        self._attached = False
        self._earlier_uj: int | None = None
        self._read_uj = 0
        self._read_at_s = 0.0

    def attach_meter(self, meter: MeterHandle, window: str, earlier_uj: int | None) -> None:
        """Read the energy of a window that somebody else opens and closes; see :class:`~kdtune.EnergyLedger`.

        Args:
            meter: Of this machine.
            window: That of this attempt.
            earlier_uj: Energy of the trial's earlier attempts, in microjoules; None where it is not known.
        """
        self._meter = meter
        self._window = window
        self._attached = True
        self._earlier_uj = earlier_uj

    def step(self) -> dict[str, Any]:
        """Train one epoch, or several short ones where ``slice_s`` asks for it, and return the report.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        self._open()
        until_s = time.monotonic() + self._slice_s
        # A training resumed after its last epoch, whose report was lost, has only that to report.
        reports = [self._report(self.distiller.last_metrics()) if self.distiller.done else self._epoch()]
        while not self.distiller.done and time.monotonic() < until_s:
            reports.append(self._epoch())
        last = {**reports[-1], "done": self.distiller.done}
        if self._slice_s:
            return {**last, "epochs": reports}
        return {**last, "energy_j": self._energy_j()}

    def close(self, reason: str) -> int | None:
        """Close the window if it is open; returns its energy in microjoules, None where nothing meters."""
        if self._checkpoints:
            self._checkpoints.close()  # before the window: writing a checkpoint is part of the trial
        if not (self._window and self._is_open):
            return None
        self._is_open = False
        return self._meter.close(self._window, reason)

    def _open(self) -> None:
        # Not before the first step: Tune may give the trial of a worker that is still starting to another one.
        if self._window and not self._is_open and not self._attached:
            from kdtune.energy.ledger import Window

            self._is_open = True
            self._read_at_s = time.monotonic()
            self._meter.open(Window(self._window, "trials", os.getpid(), self._resources.cpus, self._shares))

    def _energy_j(self) -> float | None:
        """Energy of the trial so far in joules, all of its attempts together; None where it is not known."""
        if not self._attached or self._window is None or self._earlier_uj is None:
            return None
        energy_uj = self._meter.window_uj(self._window)
        return None if energy_uj is None else (self._earlier_uj + energy_uj) / 1e6

    def _epoch(self) -> dict[str, Any]:
        try:
            metrics = self.distiller.train_epoch()
            if self._checkpoints:
                self._checkpoints.epoch_done(self.distiller)
        except Exception as error:
            self.close("interrupted" if isinstance(error, StudyInterrupted) else "failed")
            raise
        return self._report(metrics)

    def _report(self, metrics: Any) -> dict[str, Any]:
        report = asdict(metrics)
        if self._window and not self._attached:  # kdtune's own runs keep the energy of epochs
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
        since, self._read_uj = total - self._read_uj, total
        self._read_at_s = time.monotonic()
        return since


class TrialWorker:
    """Takes on one trial after the other; the data and the teacher stay in the process."""

    def __init__(self, resources: Resources) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            resources: What each trial gets.
        """
        from kdtune.artifacts.device_choice import pick_device

        self._resources = resources
        self._shares = gpu_shares(resources.gpus)
        self._device = pick_device(resources.gpus, gpu_indices(resources.gpus))
        self._setting: Setting | None = None
        self._context: Any = None

    def take_on(self, config: dict[str, Any]) -> TrialTraining:
        """Prepare a trial's attempt. Everything of the last trial is dropped but the data and the teacher.

        Args:
            config: See :class:`kdtune.DistillTrainable`.
        """
        run = config.get("run", {})
        meter = meter_of(run.get("session"))
        spec = _spec_of(config)
        if spec.setting != self._setting:
            from kdtune.artifacts.training_context import TrainingContext

            self._setting = None  # unless all that follows succeeds
            open_preparation_window(meter, self._shares)
            self._context = TrainingContext(spec.setting, self._device, self._resources.threads, run.get("data"))
            self._warm_up(spec)
            self._setting = spec.setting
        distiller = self._context.distiller(spec.recipe, spec.seed)
        return TrialTraining(distiller, run, self._resources, self._shares, meter)

    def _warm_up(self, spec: TrialSpec) -> None:
        """Do what is done once for a study, before a trial's window opens: no single trial answers for it."""
        self._context.find_code(spec.recipe)
        # With the trial's own seed: the teacher's logits for another one may not be there.
        self._context.distiller(spec.recipe, spec.seed).warm_up()


@cache
def _described_once(dataset: str) -> DataInfo:
    """Describe a data set, given as JSON, once per worker: that reads all of its files."""
    return describe(Component.model_validate_json(dataset))


def _spec_of(config: dict[str, Any]) -> TrialSpec:
    """The trial of a config: resolved by kdtune's own plan, or here for another pipeline."""
    if "spec" in config:
        spec: TrialSpec = config["spec"]
        return spec
    study = load_study(config["study"])
    if study.dataset.name not in DATASETS and study.dataset_info is None:
        study = study.with_data_info(_described_once(study.dataset.model_dump_json()))
    point = {key: value for key, value in config.items() if key not in _NOT_POINT}
    return resolved_trial(study, Suggestion.from_point(point), int(config.get("seed", study.seed)))
