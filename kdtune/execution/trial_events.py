"""Provides trials to an executor and processes its reports: log, retries, budget and watcher."""

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kdtune.catalog.metric import deciding_value
from kdtune.errors import KdtuneError, MachineError
from kdtune.execution.error_conversion import as_kdtune_error
from kdtune.execution.trial_training import SLICE_S
from kdtune.planning.trial_plan import Next, Plan
from kdtune.results.chosen_student import chosen_student
from kdtune.results.epoch_log import append_epochs
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study

if TYPE_CHECKING:
    from kdtune.execution.run_context import RunContext

#: Number of times a command continues a trial whose process died; the cause may persist.
MAX_DEATHS = 3


@dataclass(frozen=True)
class Failure:
    """Why a trial's attempt failed.

    Attributes:
        error: Description in one line.
        whose: ``own``: the training raised an exception. ``died``: its process ended. ``machine``: a disk or a cache
            failed.
    """

    error: str
    whose: Literal["own", "died", "machine"]


class TrialEvents:
    """Source of the trials of one strategy, and receiver of their reports.

    The state of the strategy is its trial log; an executor holds none. Methods that process a report raise
    :class:`~kdtune.errors.KdtuneError` or ``OSError`` if it cannot be recorded; the executor passes the error to
    :meth:`give_up` and stops.
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
        """Prepare the events of one strategy.

        Args:
            study: The study.
            folder: Results folder of the strategy.
            plan: Decides which trial is next.
            log: Trial log of the strategy.
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
        # If every epoch is judged or checked against a budget, each is reported separately.
        self._slice_s = 0.0 if judges_epochs or context.budget.limited else SLICE_S
        self._deaths: dict[str, int] = {}
        #: Trials without checkpoints, so that the file system is not asked about all earlier trials after each one.
        self._removed: set[str] = set()
        #: Error outside the trials that stops them, if any.
        self.gave_up: KdtuneError | None = None

    def next(self) -> Trial | Next:
        """Return the next trial, or the reason why there is none now."""
        try:
            return self._plan.next()  # asks the strategy, and writes suggestions to the log
        except (OSError, KdtuneError) as error:
            self.give_up(error)
            return Next.DONE

    def expected_trials(self) -> int:
        """Return the expected number of trials, including those that have ended."""
        return self._plan.expected_trials()

    def config(self, trial: Trial) -> dict[str, Any]:
        """Return the config of a trial's next attempt; see :class:`kdtune.DistillTrainable`."""
        begins_with = {}
        if trial.spec and trial.spec.recipe.quantisation:
            before = trial.spec.recipe.quantisation.after
            start = chosen_student(self._folder.study, self._study, before, trial.repeat).weights
            begins_with = {"start": str(start.absolute())}
        return {
            "spec": trial.spec,
            "run": {
                **begins_with,
                "trial_id": trial.id,
                "session": self._executor.id,
                "shared": self._executor.shared,
                "window": trial.window(trial.attempts + 1),
                "checkpoints": str(self._folder.checkpoints(trial.id).absolute()),
                "slice_s": self._slice_s,
                "until": self._plan.target_epochs(trial),
                "data": self._context.data_path,
            },
        }

    def trial_of(self, config: dict[str, Any]) -> Trial:
        """Return the trial of a config."""
        return self._log.trials[config["run"]["trial_id"]]

    @property
    def must_stop(self) -> bool:
        """Whether all trials have to stop."""
        return self._budget.reached is not None or self.gave_up is not None

    def give_up(self, error: BaseException) -> None:
        """Stop all trials because of an error outside them; the strategy ends with this error."""
        try:
            self._executor.check()  # if Ray is dead, the error is that of Ray and not of a worker
        except MachineError as dead:
            error = dead
        self.gave_up = self.gave_up or as_kdtune_error(error)

    @property
    def reading_interval_s(self) -> float:
        """Seconds between two readings of the meters."""
        return self._budget.wait_s

    def read_energy(self) -> None:
        """Read the meters for the display and the budget.

        Raises:
            MachineError: The executor's processes have died.
            StudyInterrupted: The study was cancelled.
        """
        self._budget.check_cancelled()
        reading = self._executor.reading(fresh=self._budget.limited)
        self._budget.look(reading.spent)
        self._watcher.energy(reading.windows, reading.charged_uj(dedicated=self._study.is_dedicated))

    def started(self, trial: Trial) -> None:
        """Record that a trial is about to take its first step."""
        self._log.attempt(trial)
        self._removed.discard(trial.id)
        self._watcher.trial_started(trial)

    def keep_going(self, trial: Trial, report: dict[str, Any]) -> bool:
        """Return whether the strategy continues a trial after a report."""
        value = deciding_value(report)
        assert value is not None, "every task has an objective"
        return self._plan.keep_going(trial, report["epoch"], value)

    def epoch_done(self, trial: Trial, report: dict[str, Any]) -> None:
        """Record one or more epochs that a trial reported."""
        append_epochs(self._folder.epochs, trial, report.get("epochs") or [report])
        trial.epochs = report["epoch"]
        self._watcher.epoch_done(trial, trial.planned_epochs, report)

    def ended(self, trial: Trial, report: dict[str, Any]) -> None:
        """Record that a trial trained its last epoch, or that its strategy stopped it early."""
        completed = report["epoch"] >= trial.planned_epochs
        if not completed:  # a trial does not notice that it is stopped, so its window is still open
            self._executor.close_window(trial.window(trial.attempts), "pruned")
        self._log.end(
            trial,
            "completed" if completed else "pruned",
            epochs=report["epoch"],
            val_accuracy=report["val_accuracy"],
            val_loss=report["val_loss"],
            val_objective=report.get("val_objective"),
        )
        self._ended(trial)

    def failed(self, trial: Trial, failure: Failure) -> None:
        """Record that a trial raised an exception or that its process died; then it continues from its last checkpoint.

        Raises:
            MachineError: The cause lies outside the trial, and other trials would fail as well.
        """
        error, died = failure.error, failure.whose == "died"
        if trial.status is not None or not trial.attempts:  # it failed before its first step
            self._log.attempt(trial)
        self._executor.close_window(trial.window(trial.attempts), "failed")
        self._deaths[trial.id] = self._deaths.get(trial.id, 0) + died
        if died and self._deaths[trial.id] <= MAX_DEATHS:
            self._log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            self._plan.again(trial)
            self._watcher.message(f"trial {trial.id}: {error}; it continues from its last checkpoint")
            return
        if failure.whose != "own":
            self._log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            often = f"trial {trial.id}, {MAX_DEATHS + 1} times in a row: " if died else ""
            raise MachineError(f"{often}{error}")
        self._log.end(trial, "failed", epochs=trial.epochs, error=error)
        self._ended(trial)

    def begin_again(self, why: str) -> None:
        """End all running attempts, which are lost, and provide their trials again."""
        self._watcher.message(f"{why} ...; trials continue from their last checkpoints")
        self.end_lost_attempts()
        self._plan.all_again()

    def end_lost_attempts(self) -> None:
        """Record the end of attempts whose command was stopped or killed."""
        for trial in self._log.trials.values():
            if trial.attempts and trial.status is None:
                self._executor.close_window(trial.window(trial.attempts), "interrupted")
                self._log.end(trial, "interrupted", epochs=trial.epochs)

    def _ended(self, trial: Trial) -> None:
        # Unless the strategy chooses, a model that is not the best so far cannot be chosen in the end.
        chosen = self._log.chosen(trial.repeat)
        for other in self._log.of_repeat(trial.repeat):
            if other.id in self._removed or other is chosen:
                continue
            if other.is_final and not self._plan.is_needed(other):
                shutil.rmtree(self._folder.checkpoints(other.id), ignore_errors=True)
                self._removed.add(other.id)
        self._watcher.trial_ended(trial)
        self._watcher.trials_planned(self._plan.expected_trials())
