"""Runs one strategy of a study: its trials, then the choice, then the test set."""

import sys
from contextlib import nullcontext, suppress

from kdtune.errors import BudgetReached, StudyInterrupted
from kdtune.execution.error_conversion import as_kdtune_error
from kdtune.execution.executor import Executor
from kdtune.execution.final_evaluation import evaluate
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.budget import BudgetWatch
from kdtune.planning.trial_plan import Plan
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from kdtune.specs.study import Study
from kdtune.strategies.base import Strategy


class StrategyRunner:
    """Runs one strategy in one folder. The trial log is the truth; the executor only carries out."""

    def __init__(
        self,
        study: Study,
        strategies: list[Strategy],
        folder: StrategyFolder,
        executor: Executor,
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
            executor: Carries out trials and the evaluation.
            watcher: Is told what happens.
            budget: What may be used.
            data: The folder with the data sets.
            max_concurrent: Trials at a time at most; None leaves it to the cores and GPUs.
        """
        self.log = TrialLog.read(folder.trials)
        self._study = study
        self._strategies = strategies
        self._folder = folder
        self._executor = executor
        self._watcher = watcher
        self._budget = budget
        self._data = data
        self._max_concurrent = max_concurrent

    def run(self) -> None:
        """Run what is left to run.

        Raises:
            StudyInterrupted: The user stopped it.
            BudgetReached: What may be used is used up.
            MachineError: Something that trials depend on gave way: the disk, the cache, Ray.
            KdtuneError: The trials or the evaluation failed.
        """
        try:
            self._run()
        except OSError as error:
            raise as_kdtune_error(error) from None
        finally:
            # A watcher may stop the study here, but not hide why the strategy failed.
            with suppress(StudyInterrupted) if sys.exception() else nullcontext():
                self._watcher.strategy_ended(self._folder.path.name)

    def _run(self) -> None:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        with self._executor.charging(self._folder.ledger, at_once=False):
            self.log.session(self._executor.id)
            plan = Plan(self._study, self._strategies, self.log)
            events = self._events(plan)
            events.end_lost_attempts()
            ended = sum(trial.is_final for trial in self.log.trials.values())
            try:
                self._watcher.strategy_started(self._folder.path.name, plan.expected_trials(), ended)
                self._train_and_evaluate(plan, events)
            except BudgetReached:
                events.end_lost_attempts()
                self.log.stopped("budget")
                raise
            except (KeyboardInterrupt, StudyInterrupted):
                events.end_lost_attempts()
                self.log.stopped("interrupted")
                raise StudyInterrupted("interrupted") from None
            finally:
                for strategy in self._strategies:
                    strategy.export(self._folder.path)
            complete = len(self.log.evaluations) == self._study.repeats
            self.log.stopped("completed" if complete else "incomplete")

    def _events(self, plan: Plan) -> TrialEvents:
        return TrialEvents(
            self._study,
            self._folder,
            plan,
            self.log,
            self._executor,
            self._watcher,
            self._budget,
            self._data,
            judges_epochs=any(strategy.judges_epochs for strategy in self._strategies),
        )

    def _train_and_evaluate(self, plan: Plan, events: TrialEvents) -> None:
        if not plan.done:
            self._executor.run_trials(events, self._max_concurrent)
            if events.gave_up:
                raise events.gave_up
        self._budget.check_now(self._executor)
        if not plan.done:
            raise StudyInterrupted("interrupted")
        evaluate(self._study, self._folder, self.log, self._executor, self._data, events.read_energy)
