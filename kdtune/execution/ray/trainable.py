"""``DistillTrainable``: one distillation as a Ray Tune trainable with one epoch per step."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ray import tune

from kdtune.execution.meter_handle import MeterHandle
from kdtune.execution.ray.meter_link import find_meter, meter_reached
from kdtune.execution.trial_training import TrialTraining, TrialWorker
from kdtune.planning.resources import Resources


class DistillTrainable(tune.Trainable):
    """Trains a student by distillation at one point of a search space.

    ``config``:

    ``study``  Name of a study, path of its file, or a table of the same form.
    ``seed``   Seed of this training; by default the first seed of the study.
    others     The point: ``tau``, ``alpha``, ``learning_rate``, ``weight_decay``; instead of a tau, ``temperature``
               with the name of a temperature and its options, such as ``"stochastic"`` with ``draw`` (``batch``,
               ``epoch`` or ``sample``) and ``scale`` (``uniform`` or ``log``); or ``loss="ce"`` for training without
               a teacher, with ``longer``, a factor of the epochs; ``restart``, the number of a repetition with other
               initial weights, order and draws. ``loss`` may also name a method, such as ``standardized``, with its
               options. Other keys are refused.

    Data sets are read from ``$KDTUNE_DATA_DIR`` of the worker, by default ``~/.cache/kdtune/data``.

    Reports after each epoch: ``epoch``, ``val_accuracy`` (a fraction), ``val_loss`` and ``train_loss``,
    ``val_objective`` (the metric that decides the study, unless that is the accuracy),
    ``tau`` (mean of the epoch; where it varies also ``tau_p05``, ``tau_median``, ``tau_p95`` and ``tau_by_class``) and
    ``energy_j`` (joules that a :class:`~kdtune.EnergyLedger` charges to all attempts of
    this trial so far; None without a ledger, or if the trial trained earlier without one); ``done`` with the last
    epoch. A trial that continues from the checkpoint of another one, as in population-based training, reports only its
    own attempts; the energy of the other trial remains charged to that trial.

    Studies of kdtune pass ``run`` and ``spec``, the resolved :class:`~kdtune.specs.trial_spec.TrialSpec`, instead of
    these keys. Their reports have ``energy_uj`` (microjoules since the last reading; None for an epoch that is too
    short for a reading) and, as ``epochs``, several short epochs.

    The data and the teacher stay in the process, so that a reused actor starts its next trial in milliseconds.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Load the shared inputs of the study's trainings, and prepare this one."""
        given = self.trial_resources.required_resources if self.trial_resources else {}
        self._worker = TrialWorker(Resources(cpus=given.get("CPU", 1.0), gpus=given.get("GPU", 0.0)))
        self._training = self._take_on(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepare another trial in the same process. Of the previous trial, only the data and the teacher are kept."""
        self._training.close("reset")
        self._training = self._take_on(new_config)
        return True

    def _take_on(self, config: dict[str, Any]) -> TrialTraining:
        run = config.get("run", {})
        shared = run.get("shared")
        with shared.used() if shared else nullcontext(), meter_reached(run.get("session")):
            return self._worker.take_on(config)

    def attach_meter(self, session_id: str, window: str, earlier_uj: int | None) -> None:
        """Read the energy of a window that an :class:`~kdtune.EnergyLedger` opens and closes.

        Args:
            session_id: Identifier of the metered session.
            window: Window of this attempt.
            earlier_uj: Energy of the trial's earlier attempts in microjoules; None if unknown.
        """
        meter = MeterHandle(find_meter(session_id, wait_s=0.0), optional=True)
        self._training.attach_meter(meter, window, earlier_uj)

    def step(self) -> dict[str, Any]:
        """Train one epoch, or several short ones in a study of kdtune.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        return self._training.step()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint for Ray Tune, whose schedulers copy trials by checkpoints."""
        from kdtune.training.checkpoints import CheckpointFolder, on_the_host

        CheckpointFolder(Path(checkpoint_dir)).save(on_the_host(self._training.distiller.state_dict()))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Continue from a checkpoint of :meth:`save_checkpoint`.

        Raises:
            KdtuneError: There is no readable checkpoint.
        """
        from kdtune.errors import KdtuneError
        from kdtune.training.checkpoints import CheckpointFolder

        state = CheckpointFolder(Path(checkpoint_dir)).load_latest()
        if state is None:
            raise KdtuneError(f"{checkpoint_dir}: contains no readable checkpoint")
        self._training.distiller.load_state_dict(state)

    def cleanup(self) -> None:
        """Close the training when the actor ends."""
        self._training.close("cleanup")
