"""Runs one strategy of a study: its trials, then the evaluation of the chosen models on the test set."""

import sys
from contextlib import nullcontext, suppress

from kdtune.errors import BudgetReached, StudyInterrupted
from kdtune.execution.error_conversion import as_kdtune_error
from kdtune.execution.final_evaluation import evaluate
from kdtune.execution.run_context import RunContext
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.trial_plan import Plan
from kdtune.results.chosen_student import chosen_student
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.strategies.base import Strategy


class StrategyRunner:
    """Runs one strategy in its folder. Its state is the trial log; the executor holds none."""

    def __init__(self, study: Study, strategies: list[Strategy], folder: StrategyFolder, context: RunContext) -> None:
        """Read the folder's trial log.

        Args:
            study: The study.
            strategies: The strategy, one for each repeat.
            folder: Results folder of the strategy.
            context: The session, whose executor runs the trials and the evaluation.
        """
        self.log = TrialLog.read(folder.trials)
        self._study = study
        self._strategies = strategies
        self._folder = folder
        self._context = context

    def run(self) -> None:
        """Run everything that is left to run.

        Raises:
            StudyInterrupted: The user stopped the study.
            BudgetReached: The budget is used up.
            MachineError: The disk, the cache or Ray failed.
            KdtuneError: The trials or the evaluation failed.
        """
        try:
            self._run()
        except OSError as error:
            raise as_kdtune_error(error) from None
        finally:
            # A watcher may stop the study here, but must not hide the reason of a failure.
            with suppress(StudyInterrupted) if sys.exception() else nullcontext():
                self._context.watcher.strategy_ended(self._folder.path.name)

    def _run(self) -> None:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        with self._context.executor.charging(self._folder.ledger, at_once=False):
            self.log.session(self._context.executor.id)
            narrow = bool(self._folder.reduces_range())
            plan = Plan(self._study, self._strategies, self.log, self._start_of, reduce_range=narrow)
            events = self._events(plan)
            events.end_lost_attempts()
            ended = sum(trial.is_final for trial in self.log.trials.values())
            try:
                self._context.watcher.strategy_started(self._folder.path.name, plan.expected_trials(), ended)
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

    def _start_of(self, label: str, repeat: int) -> str:
        return chosen_student(self._folder.study, self._study, label, repeat).trial_id

    def _events(self, plan: Plan) -> TrialEvents:
        judges_epochs = any(strategy.judges_epochs for strategy in self._strategies)
        return TrialEvents(self._study, self._folder, plan, self.log, self._context, judges_epochs=judges_epochs)

    def _train_and_evaluate(self, plan: Plan, events: TrialEvents) -> None:
        if not plan.done:
            self._context.executor.run_trials(events, self._context.max_concurrent)
            if events.gave_up:
                raise events.gave_up
        self._context.check_budget()
        if not plan.done:
            raise StudyInterrupted("interrupted")
        evaluate(self._study, self._folder, self.log, self._context, events.read_energy)
