"""``DistillTrainable``: one distillation as a Ray Tune trainable, an epoch a step."""

from pathlib import Path
from typing import Any

from ray import tune

from kdtune.execution.meter_handle import MeterHandle
from kdtune.execution.ray.meter_link import find_meter, meter_reached
from kdtune.execution.trial_training import TrialTraining, TrialWorker
from kdtune.planning.resources import Resources


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
    ``val_objective`` (the metric that decides the study, where that is not the accuracy),
    ``tau`` (the epoch's mean) and ``energy_j`` (joules of this trial so far, all of its attempts together, which is
    what a :class:`~kdtune.EnergyLedger` charges to it; None where none meters the experiment, or where the trial
    trained earlier without one); ``done`` with the last epoch. A trial that goes on from another one's checkpoint, as
    under population-based training, reports its own attempts; what the other trial took stays with that trial.

    kdtune's own runner passes ``spec``, the resolved :class:`~kdtune.specs.trial_spec.TrialSpec`, in the place of all
    these, and ``run``; it gets ``energy_uj`` (microjoules since the last reading, None for an
    epoch too short for one) and, as ``epochs``, several short epochs in one report.

    The data and the teacher stay in the process, so a reused actor starts its next trial in milliseconds.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Load what the study's trainings share, then begin this one."""
        given = self.trial_resources.required_resources if self.trial_resources else {}
        self._worker = TrialWorker(Resources(cpus=given.get("CPU", 1.0), gpus=given.get("GPU", 0.0)))
        self._training = self._take_on(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial in the same process. Everything of the last one goes but data and teacher."""
        self._training.close("reset")
        self._training = self._take_on(new_config)
        return True

    def _take_on(self, config: dict[str, Any]) -> TrialTraining:
        with meter_reached(config.get("run", {}).get("session")):
            return self._worker.take_on(config)

    def attach_meter(self, session_id: str, window: str, earlier_uj: int | None) -> None:
        """Read the energy of a window that somebody else opens and closes (:class:`~kdtune.EnergyLedger`).

        Args:
            session_id: Of the meters.
            window: That of this attempt.
            earlier_uj: Energy of the trial's earlier attempts, in microjoules; None where it is not known.
        """
        meter = MeterHandle(find_meter(session_id, wait_s=0.0), optional=True)
        self._training.attach_meter(meter, window, earlier_uj)

    def step(self) -> dict[str, Any]:
        """Train one epoch; or several short ones, where the run asks for slices of time.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        return self._training.step()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint for Ray Tune's own use (its schedulers copy trials by them)."""
        from kdtune.training.checkpoints import CheckpointFolder

        CheckpointFolder(Path(checkpoint_dir)).save(self._training.distiller.state_dict())

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
        self._training.distiller.load_state_dict(state)

    def cleanup(self) -> None:
        """Close what is open when the actor ends."""
        self._training.close("cleanup")
