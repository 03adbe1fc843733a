"""``DistillTrainable``: one distillation as a Ray Tune trainable, an epoch a step."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune

from kdtune.specs import load_study
from kdtune.specs.study import Setting
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.training.resolution import resolved_trial

#: Seconds between two readings of a running trial's energy: an epoch that is shorter has none of its own.
READING_INTERVAL_S = 1.0

#: Seconds for which a trial goes on by itself before it reports, where nobody has to judge every epoch: Tune
#: takes some 15 ms for a report, which is more than an epoch of a very small network.
SLICE_S = 0.5

_NOT_POINT = {"study", "seed", "run"}


class DistillTrainable(tune.Trainable):
    """Distils a student at one point of a search space.

    ``config``:

    ``study``  A study's name, the path of its file, or a table of the same form.
    ``seed``   Of this training; the study's first one unless given.
    others     The point: ``tau``, ``alpha``, ``learning_rate``, ``weight_decay``; ``temperature`` instead of a tau,
               the name of one, with its options, such as ``"stochastic"`` with ``draw`` (``batch``, ``epoch`` or
               ``sample``) and ``scale`` (``uniform`` or ``log``); or ``loss="ce"`` for no teacher, with ``longer``, a
               factor of the epochs; ``restart``, the number of a repetition with other initial weights, order and
               draws. Anything else is refused.

    Data sets are looked for in the worker's ``$KDTUNE_DATA_DIR``, by default ``~/.cache/kdtune/data``.

    Reports after each epoch: ``epoch``, ``val_accuracy`` (a fraction), ``val_loss`` and ``train_loss``,
    ``tau`` (the epoch's mean) and ``energy_j`` (joules of this trial so far, all of its attempts together, which is
    what a :class:`~kdtune.EnergyLedger` charges to it; None where none meters the experiment, or where the trial
    trained earlier without one); ``done`` with the last epoch. A trial that goes on from another one's checkpoint, as
    under population-based training, reports its own attempts; what the other trial took stays with that trial.

    kdtune's own runner passes ``spec``, the resolved :class:`~kdtune.specs.trial_spec.TrialSpec`, in the place of all
    these, and ``run``; it gets ``energy_uj`` (microjoules since the last reading, None for an
    epoch too short for one) and, as ``epochs``, several short epochs in one report.

    The data and the teacher stay in the process, so a reused actor starts its next trial in milliseconds.
    """

    # torch is imported by the methods: the driver imports this class too, and has no use for it.

    def setup(self, config: dict[str, Any]) -> None:
        """Load what the study's trainings share, then begin this one."""
        from kdtune.artifacts.workbench import Workbench, pick_device
        from kdtune.planning.resources import Resources, gpu_indices, gpu_shares

        given = self.trial_resources.required_resources if self.trial_resources else {}
        self._resources = Resources(cpus=given.get("CPU", 1.0), gpus=given.get("GPU", 0.0))
        self._gpu_shares = gpu_shares(self._resources.gpus)
        spec = _spec_of(config)
        device = pick_device(self._resources.gpus, gpu_indices(self._resources.gpus))
        self._hold_gpu(config)
        self._bench: Workbench[Setting] = Workbench(spec.setting, device, self._resources.threads, _data_of(config))
        self._warm_up(spec)
        self._begin(spec, config.get("run", {}))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial in the same process. Everything of the last one goes but data and teacher."""
        self._close("reset")
        spec = _spec_of(new_config)
        if spec.setting != self._bench.study:
            from kdtune.artifacts.workbench import Workbench

            self._hold_gpu(new_config)
            self._bench = Workbench(spec.setting, self._bench.device, self._resources.threads, _data_of(new_config))
            self._warm_up(spec)
        self._begin(spec, new_config.get("run", {}))
        return True

    def _hold_gpu(self, config: dict[str, Any]) -> None:
        from kdtune.execution.ray.gpu_hold import hold_gpu

        hold_gpu(config.get("run", {}).get("session"), self._gpu_shares)

    def _warm_up(self, spec: TrialSpec) -> None:
        """Do what a worker does once for a study, before a trial's window opens: no single trial answers for it."""
        self._bench.find_code(spec.recipe)
        # With the trial's own seed: the teacher's logits for another one may not be there.
        self._bench.distiller(spec.recipe, spec.seed).warm_up()

    def _begin(self, spec: TrialSpec, run: dict[str, Any]) -> None:
        from kdtune.execution.ray.meter_actor import MeterHandle
        from kdtune.training.checkpoints import CheckpointFolder

        self._distiller = self._bench.distiller(spec.recipe, spec.seed)
        self._checkpoints = CheckpointFolder(Path(run["checkpoints"])) if "checkpoints" in run else None
        if self._checkpoints and (state := self._checkpoints.load_latest()):
            self._distiller.load_state_dict(state)
        self._meter = MeterHandle(run.get("session"))
        self._window = run.get("window")
        self._slice_s = float(run.get("slice_s", 0.0))
        self._is_open = False
        self._attached = False
        self._earlier_uj: int | None = None
        self._read_uj = 0

    def attach_meter(self, session_id: str, window: str, earlier_uj: int | None) -> None:
        """Read the energy of a window that somebody else opens and closes (:class:`~kdtune.EnergyLedger`).

        Args:
            session_id: Of the meters.
            window: That of this attempt.
            earlier_uj: Energy of the trial's earlier attempts, in microjoules; None where it is not known.
        """
        from kdtune.execution.ray.meter_actor import MeterHandle

        self._meter = MeterHandle(session_id, optional=True)
        self._window = window
        self._attached = True
        self._earlier_uj = earlier_uj

    def _open(self) -> None:
        # Not before the first step: Tune may give the trial of a worker that is still starting to another one.
        if self._window and not self._is_open and not self._attached:
            from kdtune.energy.ledger import Window

            self._is_open = True
            self._read_at_s = time.monotonic()
            self._meter.open(Window(self._window, "trials", os.getpid(), self._resources.cpus, self._gpu_shares))

    def step(self) -> dict[str, Any]:
        """Train one epoch; or several short ones, where the run asks for slices of time.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        self._open()
        until_s = time.monotonic() + self._slice_s
        # A training resumed after its last epoch, whose report was lost, has only that to tell.
        reports = [self._report(self._distiller.last_metrics()) if self._distiller.done else self._epoch()]
        while not self._distiller.done and time.monotonic() < until_s:
            reports.append(self._epoch())
        last = {**reports[-1], "done": self._distiller.done}
        if self._slice_s:
            return {**last, "epochs": reports}
        return {**last, "energy_j": self._energy_j()}

    def _energy_j(self) -> float | None:
        """Energy of the trial so far in joules, all of its attempts together; None where it is not known."""
        if not self._attached or self._window is None or self._earlier_uj is None:
            return None
        energy_uj = self._meter.window_uj(self._window)
        return None if energy_uj is None else (self._earlier_uj + energy_uj) / 1e6

    def _epoch(self) -> dict[str, Any]:
        try:
            metrics = self._distiller.train_epoch()
        except Exception:
            self._close("failed")
            raise
        if self._checkpoints:
            self._checkpoints.save(self._distiller.state_dict())
        return self._report(metrics)

    def _report(self, metrics: Any) -> dict[str, Any]:
        report = asdict(metrics)
        if self._window and not self._attached:  # kdtune's own runner keeps the energy of epochs
            report["energy_uj"] = self._energy_since_last_reading()
        return report

    def _energy_since_last_reading(self) -> int | None:
        if not (self._window and self._is_open):
            return None
        if self._distiller.done:
            total = self._close("done")
        elif time.monotonic() - self._read_at_s >= READING_INTERVAL_S:
            total = self._meter.window_uj(self._window)
        else:
            return None
        if total is None:
            return None
        since, self._read_uj = total - self._read_uj, total
        self._read_at_s = time.monotonic()
        return since

    def _close(self, reason: str) -> int | None:
        if not (self._window and self._is_open):
            return None
        self._is_open = False
        return self._meter.close(self._window, reason)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint for Ray Tune's own use (its schedulers copy trials by them)."""
        from kdtune.training.checkpoints import CheckpointFolder

        CheckpointFolder(Path(checkpoint_dir)).save(self._distiller.state_dict())

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Go on from what :meth:`save_checkpoint` wrote.

        Raises:
            KdtuneError: There is no readable checkpoint.
        """
        from kdtune.errors import KdtuneError
        from kdtune.training.checkpoints import CheckpointFolder

        state = CheckpointFolder(Path(checkpoint_dir)).load_latest()
        if state is None:
            raise KdtuneError(f"{checkpoint_dir}: holds no readable checkpoint")
        self._distiller.load_state_dict(state)

    def cleanup(self) -> None:
        """Close what is open when the actor ends."""
        self._close("cleanup")


def _spec_of(config: dict[str, Any]) -> TrialSpec:
    """What a config asks for: resolved by kdtune's own plan, or here for another pipeline."""
    if "spec" in config:
        spec: TrialSpec = config["spec"]
        return spec
    study = load_study(config["study"])
    point = {key: value for key, value in config.items() if key not in _NOT_POINT}
    return resolved_trial(study, Suggestion.from_point(point), int(config.get("seed", study.seed)))


def _data_of(config: dict[str, Any]) -> str | None:
    """The folder with the data sets; None where it is left to the worker's environment."""
    data: str | None = config.get("run", {}).get("data")
    return data
