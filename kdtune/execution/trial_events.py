"""Hands trials to an executor and takes down what becomes of them: the log, retries, budget and watcher."""

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kdtune.errors import KdtuneError, MachineError
from kdtune.execution.error_conversion import as_kdtune_error
from kdtune.execution.trial_training import SLICE_S
from kdtune.planning.trial_plan import Next, Plan
from kdtune.results.epoch_log import append_epochs
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial, best
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study

if TYPE_CHECKING:
    from kdtune.execution.run_context import RunContext

#: How often a trial whose process died is continued in one command: the cause may not go away soon.
MAX_DEATHS = 3


@dataclass(frozen=True)
class Failure:
    """Why a trial's attempt failed.

    Attributes:
        error: In one line.
        whose: ``own``: the training raised. ``died``: its process ended. ``machine``: a disk or a cache gave way.
    """

    error: str
    whose: Literal["own", "died", "machine"]


class TrialEvents:
    """The trials of one strategy: what is next, and what an executor reports of each.

    The trial log is the truth; an executor only carries out. Methods that take a report raise
    :class:`~kdtune.errors.KdtuneError` or ``OSError`` where it cannot be taken down; the executor passes that to
    :meth:`give_up` and ends.
    """

    def __init__(
        self,
        study: Study,
        folder: StrategyFolder,
        plan: Plan,
        log: TrialLog,
        context: "RunContext",
        *,
        judges_epochs: bool,
    ) -> None:
        """Prepare.

        Args:
            study: The study.
            folder: The strategy's.
            plan: Decides which trial is next.
            log: The strategy's trial log.
            context: The session, whose executor runs the trials.
            judges_epochs: Whether the strategy may stop a trial early.
        """
        self._study = study
        self._folder = folder
        self._plan = plan
        self._log = log
        self._context = context
        self._executor = context.executor
        self._watcher = context.watcher
        self._budget = context.budget
        # Where every epoch is judged, or the budget kept to an epoch, each is reported by itself.
        self._slice_s = 0.0 if judges_epochs or context.budget.limited else SLICE_S
        self._deaths: dict[str, int] = {}
        #: Why trials end before their time, though none of them is to blame.
        self.gave_up: KdtuneError | None = None

    def next(self) -> Trial | Next:
        """The next trial to run, or why there is none now."""
        try:
            return self._plan.next()  # which takes suggestions down
        except OSError as error:
            self.give_up(error)
            return Next.DONE

    def expected_trials(self) -> int:
        """How many trials there will be, those that have ended included."""
        return self._plan.expected_trials()

    def config(self, trial: Trial) -> dict[str, Any]:
        """The config of a trial's next attempt; see :class:`kdtune.DistillTrainable`."""
        return {
            "spec": trial.spec,
            "run": {
                "trial_id": trial.id,
                "session": self._executor.id,
                "window": trial.window(trial.attempts + 1),
                "checkpoints": str(self._folder.checkpoints(trial.id).absolute()),
                "slice_s": self._slice_s,
                "data": self._context.data_path,
            },
        }

    def trial_of(self, config: dict[str, Any]) -> Trial:
        """The trial that a config was made for."""
        return self._log.trials[config["run"]["trial_id"]]

    @property
    def must_stop(self) -> bool:
        """Whether no trial is to go on."""
        return self._budget.reached is not None or self.gave_up is not None

    def give_up(self, error: BaseException) -> None:
        """Note that something trials depend on gave way: the executor stops, and the strategy ends with this error."""
        try:
            self._executor.check()  # else it may be taken for a worker's death
        except MachineError as dead:
            error = dead
        self.gave_up = self.gave_up or as_kdtune_error(error)

    @property
    def reading_interval_s(self) -> float:
        """Seconds between two readings of the meters."""
        return self._budget.wait_s

    def read_energy(self) -> None:
        """Read the meters: for the display, and for the budget.

        Raises:
            MachineError: The executor's processes have died.
            StudyInterrupted: The study was cancelled.
        """
        self._budget.check_cancelled()
        reading = self._executor.reading(fresh=self._budget.limited)
        self._budget.look(reading.spent)
        self._watcher.energy(reading.windows, reading.charged_uj(dedicated=self._study.is_dedicated))

    def started(self, trial: Trial) -> None:
        """A trial is about to take its first step."""
        self._log.attempt(trial)
        self._watcher.trial_started(trial)

    def keep_going(self, trial: Trial, report: dict[str, Any]) -> bool:
        """Whether the strategy wants a trial to go on after a report."""
        return self._plan.keep_going(trial, report["epoch"], report["val_accuracy"])

    def epoch_done(self, trial: Trial, report: dict[str, Any]) -> None:
        """A trial reported one or more epochs."""
        append_epochs(self._folder.epochs, trial, report.get("epochs") or [report])
        trial.epochs = report["epoch"]
        self._watcher.epoch_done(trial, trial.planned_epochs, report)

    def ended(self, trial: Trial, report: dict[str, Any]) -> None:
        """A trial trained its last epoch, or was stopped early by its strategy."""
        completed = report["epoch"] >= trial.planned_epochs
        if not completed:  # a trial that is stopped is not told, so it has not closed its window
            self._executor.close_window(trial.window(trial.attempts), "pruned")
        self._log.end(
            trial,
            "completed" if completed else "pruned",
            epochs=report["epoch"],
            val_accuracy=report["val_accuracy"],
            val_loss=report["val_loss"],
        )
        self._ended(trial)

    def failed(self, trial: Trial, failure: Failure) -> None:
        """A trial raised, or its process died; after a death it goes on from its last checkpoint.

        Raises:
            MachineError: The trial is not to blame, and others would fail as well.
        """
        error, died = failure.error, failure.whose == "died"
        if trial.status is not None or not trial.attempts:  # it failed before it could take its first step
            self._log.attempt(trial)
        self._executor.close_window(trial.window(trial.attempts), "failed")
        self._deaths[trial.id] = self._deaths.get(trial.id, 0) + died
        if died and self._deaths[trial.id] <= MAX_DEATHS:
            self._log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            self._plan.again(trial)
            self._watcher.message(f"trial {trial.id}: {error}; it goes on from its last checkpoint")
            return
        if failure.whose != "own":
            self._log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            often = f"trial {trial.id}, {MAX_DEATHS + 1} times in a row: " if died else ""
            raise MachineError(f"{often}{error}")
        self._log.end(trial, "failed", epochs=trial.epochs, error=error)
        self._ended(trial)

    def begin_again(self, why: str) -> None:
        """All attempts under way are lost; their trials are handed out again."""
        self._watcher.message(f"{why} ...; trials go on from their last checkpoints")
        self.end_lost_attempts()
        self._plan.all_again()

    def end_lost_attempts(self) -> None:
        """Note the end of attempts that nobody noted: their command was stopped or killed."""
        for trial in self._log.trials.values():
            if trial.attempts and trial.status is None:
                self._executor.close_window(trial.window(trial.attempts), "interrupted")
                self._log.end(trial, "interrupted", epochs=trial.epochs)

    def _ended(self, trial: Trial) -> None:
        # Only the model that would be chosen now can be the one that is chosen in the end.
        chosen = best(self._log.of_repeat(trial.repeat))
        for other in self._log.of_repeat(trial.repeat):
            if other.is_final and other is not chosen:
                shutil.rmtree(self._folder.checkpoints(other.id), ignore_errors=True)
        self._watcher.trial_ended(trial)
        self._watcher.trials_planned(self._plan.expected_trials())
