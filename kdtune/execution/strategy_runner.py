"""Runs one strategy of a study: its trials through Ray Tune, then the choice, then the test set."""

import shutil
import sys
import tempfile
from contextlib import nullcontext, suppress
from typing import Any

import ray
from ray import tune

from kdtune.errors import BudgetReached, KdtuneError, MachineError, RayError, StudyInterrupted
from kdtune.execution.ray.dispatch import plainly
from kdtune.execution.ray.plan_searcher import PlanSearcher
from kdtune.execution.ray.ray_environment import environment
from kdtune.execution.ray.session import Session
from kdtune.execution.ray.trainable import SLICE_S, DistillTrainable
from kdtune.execution.ray.tune_callbacks import EarlyStopping, Failure, LeaveTune, Reports
from kdtune.execution.test_evaluation import evaluate
from kdtune.planning.budget import BudgetWatch
from kdtune.planning.trial_plan import Plan
from kdtune.results.epoch_log import append_epochs
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import Trial, TrialLog, best
from kdtune.results.watcher import Watcher
from kdtune.specs.study import Study
from kdtune.specs.training_settings import trial_epochs
from kdtune.strategies.base import Strategy

#: A trial whose process died is taken up again so often in one command: what kills it may not be over soon.
MAX_DEATHS = 3

#: Tune is started so often in one command: where the system runs out of memory it fails as a whole.
MAX_FITS = 4


class StrategyRun:
    """One strategy in one folder. The trial log is the truth; Tune only carries out."""

    def __init__(
        self,
        study: Study,
        strategies: list[Strategy],
        folder: StrategyFolder,
        session: Session,
        watcher: Watcher,
        budget: BudgetWatch,
        data: str,
        max_concurrent: int | None = None,
    ) -> None:
        """Prepare, reading what the folder knows already.

        Args:
            study: The study.
            strategies: The strategy, once a repeat.
            folder: The strategy's.
            session: Ray and the meters.
            watcher: Is told what happens.
            budget: What may be used.
            data: The folder with the data sets.
            max_concurrent: Trials at a time at most; None leaves it to the cores and GPUs.
        """
        self.study = study
        self.folder = folder
        self.session = session
        self.watcher = watcher
        self.log = TrialLog.read(folder.trials)
        self._strategies = strategies
        self._data = data
        self._max_concurrent = max_concurrent
        self._budget = budget
        self._deaths: dict[str, int] = {}
        #: Why the run ends before its time, though no trial is to blame.
        self.gave_up: KdtuneError | None = None
        self._judges = any(strategy.judges_epochs for strategy in strategies)

    def run(self) -> None:
        """Run what is left to run.

        Raises:
            StudyInterrupted: The user stopped it.
            BudgetReached: What may be used is used up.
            MachineError: Something that trials stand on gave way: the disk, the cache, Ray.
            KdtuneError: Ray Tune or the evaluation failed.
        """
        try:
            self._run()
        except (OSError, ray.exceptions.RayError) as error:
            raise plainly(error) from None
        finally:
            # A watcher may stop the study here, but not hide why the strategy failed.
            with suppress(StudyInterrupted) if sys.exception() else nullcontext():
                self.watcher.strategy_ended(self.folder.path.name)

    def _run(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with self.session.charging(self.folder.ledger, at_once=False):
            self.log.session(self.session.id)
            self._end_lost_attempts()
            plan = Plan(self.study, self._strategies, self.log)
            ended = sum(trial.is_final for trial in self.log.trials.values())
            try:
                self.watcher.strategy_started(self.folder.path.name, plan.expected_trials(), ended)
                if not plan.done:
                    self._fit(plan)
                self._budget.check_now(self.session)
                if not plan.done:
                    raise StudyInterrupted("interrupted")
                evaluate(self.study, self.folder, self.log, self.session, self._data, self.read_energy)
            except BudgetReached:
                self._end_lost_attempts()
                self.log.stopped("budget")
                raise
            except (KeyboardInterrupt, StudyInterrupted):
                self._end_lost_attempts()
                self.log.stopped("interrupted")
                raise StudyInterrupted("interrupted") from None
            finally:
                for strategy in self._strategies:
                    strategy.export(self.folder.path)
            complete = len(self.log.evaluations) == self.study.repeats
            self.log.stopped("completed" if complete else "incomplete")

    def _end_lost_attempts(self) -> None:
        """Attempts whose end was never noted did not go on: their command was stopped or killed."""
        for trial in self.log.trials.values():
            if trial.attempts and trial.status is None:
                self.session.close_window(trial.window(trial.attempts), "interrupted")
                self.log.end(trial, "interrupted", epochs=trial.epochs)

    def _fit(self, plan: Plan) -> None:
        if plan.expected_trials() < self.session.slots:
            self.session.prepare_worker()
        # By default Tune prepares only one trial ahead of a searcher. While a second worker starts, the first one
        # takes that trial over, the second is dropped, and so on: short trials would never run side by side.
        ahead = {"TUNE_MAX_PENDING_TRIALS_PG": str(2 * self.session.slots)}
        self.session.wait_for_room(self.read_energy)
        for fits_left in reversed(range(MAX_FITS)):
            # Tune wants a folder for its own state, which is of no use afterwards.
            storage = tempfile.mkdtemp(prefix="kdtune-tune-")
            try:
                with environment(ahead):
                    self._tuner(plan, storage).fit()
                break
            except LeaveTune:
                break
            except Exception as error:  # Tune lets Ray's own failures through, such as a worker out of memory
                if self.gave_up:
                    break
                words = f"Ray Tune failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
                if not fits_left:
                    raise MachineError(words) from None
                self.watcher.message(f"{words} ...; trials go on from their last checkpoints")
                self._end_lost_attempts()
                plan.all_again()
            finally:
                shutil.rmtree(storage, ignore_errors=True)
        if self.gave_up:
            raise self.gave_up

    def _tuner(self, plan: Plan, storage: str) -> tune.Tuner:
        resources = self.session.resources
        return tune.Tuner(
            tune.with_resources(DistillTrainable, {"CPU": resources.cpus, "GPU": resources.gpus}),
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(plan, self._config, self.give_up),
                num_samples=-1,
                reuse_actors=True,
                max_concurrent_trials=self._max_concurrent,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=storage,
                callbacks=[Reports(self, plan)],
                stop=EarlyStopping(self, plan),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )

    def _config(self, trial: Trial) -> dict[str, Any]:
        return {
            "study": str(self.folder.study_toml.absolute()),
            "seed": trial.seed,
            **trial.point,
            "run": {
                "trial_id": trial.id,
                "session": self.session.id,
                "window": trial.window(trial.attempts + 1),
                "checkpoints": str(self.folder.checkpoints(trial.id).absolute()),
                # Where every epoch is judged, or the budget kept to an epoch, each is reported by itself.
                "slice_s": 0.0 if self._judges or self._budget.limited else SLICE_S,
                "data": self._data,
            },
        }

    def trial_of(self, tune_trial: Any) -> Trial:
        """Our trial behind one of Tune's."""
        return self.log.trials[tune_trial.config["run"]["trial_id"]]

    @property
    def must_stop(self) -> bool:
        """Whether no trial is to go on."""
        return self._budget.reached is not None or self.gave_up is not None

    def give_up(self, error: BaseException) -> None:
        """Something that trials stand on gave way: Tune is to stop, and the run ends with this."""
        try:
            self.session.check()  # else it may be taken for a worker's death
        except RayError as dead:
            error = dead
        self.gave_up = self.gave_up or plainly(error)

    @property
    def reading_interval_s(self) -> float:
        """How often the meters are to be read."""
        return self._budget.wait_s

    def read_energy(self) -> None:
        """Read the meters: for the display, and for the budget.

        Raises:
            RayError: Ray has died.
            StudyInterrupted: The study was cancelled.
        """
        self._budget.check_cancelled()
        reading = self.session.reading(fresh=self._budget.limited)
        self._budget.look(reading.spent)
        self.watcher.energy(reading.windows, reading.charged_uj(dedicated=self.study.is_dedicated))

    def started(self, trial: Trial) -> None:
        """A worker took a trial on, and is about to take its first step."""
        self.session.settle()
        self.session.prepare_worker()  # at the latest: where all cores are to train, not while their workers start
        self.log.attempt(trial)
        self.watcher.trial_started(trial)

    def epoch_done(self, trial: Trial, result: dict[str, Any]) -> None:
        """A trial reported one or more epochs."""
        append_epochs(self.folder.epochs, trial, result.get("epochs") or [result])
        trial.epochs = result["epoch"]
        self.watcher.epoch_done(trial, trial_epochs(self.study, trial.point), result)

    def ended(self, plan: Plan, trial: Trial, result: dict[str, Any]) -> None:
        """A trial trained its last epoch, or was stopped early by its strategy."""
        completed = result["epoch"] >= trial_epochs(self.study, trial.point)
        if not completed:  # Tune tells a stopped trial nothing, so it has not closed its window
            self.session.close_window(trial.window(trial.attempts), "pruned")
        self.log.end(
            trial,
            "completed" if completed else "pruned",
            epochs=result["epoch"],
            val_accuracy=result["val_accuracy"],
            val_loss=result["val_loss"],
        )
        self._ended(plan, trial)

    def failed(self, plan: Plan, trial: Trial, failure: Failure) -> None:
        """A trial raised, or its process died; then it goes on from its last checkpoint in another one.

        Raises:
            MachineError: The trial is not to blame, and others would fail as well.
        """
        error, died = failure.error, failure.whose == "died"
        if trial.status is not None or not trial.attempts:  # its worker died before it could take the trial on
            self.log.attempt(trial)
        self.session.close_window(trial.window(trial.attempts), "failed")
        self._deaths[trial.id] = self._deaths.get(trial.id, 0) + died
        if died and self._deaths[trial.id] <= MAX_DEATHS:
            self.log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            plan.again(trial)
            self.watcher.message(f"trial {trial.id}: {error}; it goes on from its last checkpoint")
            return
        if failure.whose != "own":
            self.log.end(trial, "interrupted", epochs=trial.epochs, error=error)
            often = f"trial {trial.id}, {MAX_DEATHS + 1} times in a row: " if died else ""
            raise MachineError(f"{often}{error}")
        self.log.end(trial, "failed", epochs=trial.epochs, error=error)
        self._ended(plan, trial)

    def _ended(self, plan: Plan, trial: Trial) -> None:
        # Only the model that would be chosen now can be the one that is chosen in the end.
        chosen = best(self.log.of_repeat(trial.repeat))
        for other in self.log.of_repeat(trial.repeat):
            if other.is_final and other is not chosen:
                shutil.rmtree(self.folder.checkpoints(other.id), ignore_errors=True)
        self.watcher.trial_ended(trial)
        self.watcher.trials_planned(plan.expected_trials())
