"""Runs a study's strategies one after the other: checks, the executor, the work, the outcomes."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from kdtune.data.sources import available_images
from kdtune.data.split_sizes import check_split
from kdtune.energy.carbon import Carbon
from kdtune.errors import BudgetReached, MachineError, StudyInterrupted
from kdtune.execution import metering_guard
from kdtune.execution.executor import Executor
from kdtune.execution.executor_choice import ExecutorChoice
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.study_state import StudyState
from kdtune.execution.study_work import StudyWork
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.run_toml import note_run
from kdtune.results.energy_spent import spent_uj
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import record_session_strategies, unstarted_sessions
from kdtune.results.study_result import StudyResult
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import ContainedWatcher, Watcher
from kdtune.specs.study import Study
from kdtune.storage.files import cannot_be_written
from kdtune.storage.paths import DataDir
from kdtune.strategies.base import Strategy
from kdtune.training.batch_norm_checks import check_batches


class StudyRunner:
    """One command's work on a study's folder."""

    def __init__(
        self,
        study: Study,
        strategies: dict[str, list[Strategy]],
        folder: StudyFolder,
        carbon: Carbon,
        watcher: Watcher,
        data: DataDir,
        *,
        max_concurrent: int | None,
        fresh: bool,
        budget: Budget,
        download: bool,
        teacher_file: Path | None = None,
        accept_teacher: bool = False,
        resumed: bool = False,
        cancel: threading.Event | None = None,
    ) -> None:
        self._state = StudyState(study, strategies, folder, carbon, fresh)
        self._watcher = ContainedWatcher(watcher)
        self._data = data
        self._download = download
        self._teacher_file = teacher_file
        given, accepted = study.teacher_weights, folder.noted_paths().accepted_teacher
        self._accepted_teacher = given if accept_teacher or accepted == given else None
        self._max_concurrent = max_concurrent
        self._limits = budget
        dedicated = study.is_dedicated
        before_uj = spent_uj(folder, dedicated=dedicated) if resumed else 0
        self._budget = BudgetWatch(budget, carbon, dedicated=dedicated, before_uj=before_uj, cancel=cancel)

    def execute(self, choice: ExecutorChoice) -> StudyResult:
        """Run what is left to run, and account for it.

        Args:
            choice: What carries it out, and what each trial gets.

        Raises:
            BudgetReached: Earlier commands have used up what may be used.
            DataError: The data set is missing, incomplete or damaged.
            UsageError: The weights that were given for the teacher are gone.
            MachineError: A disk, the cache or Ray gave way, and there is no outcome to show.
        """
        state, interrupted, interrupts = self._state, False, Interrupts()
        # A finished study that is resumed has nothing to run, so nothing is spent on starting an executor.
        to_do = state.fresh or not state.all_settled
        planned = {name: sum(one.expected_trials() for one in made) for name, made in state.strategies.items()}
        if to_do:
            self._check_inputs()
        try:
            self._watcher.carbon_settings(state.carbon)
            self._watcher.started(state.study, planned)
            if to_do:
                with interrupts.watched():
                    self._budget.check_cancelled()
                    self._run(choice, interrupts)
        except (KeyboardInterrupt, StudyInterrupted):
            interrupted = True
        except BudgetReached:
            self._note_budget()
        except OSError as error:
            raise self._to_resume(cannot_be_written(error, state.folder.path)) from None
        except MachineError as error:
            if not interrupts.asked:  # else the signal may have ended Ray's processes as well
                raise self._to_resume(error) from None
            interrupted = True
        finally:
            with suppress(StudyInterrupted):  # nothing is left to stop
                self._watcher.ended()
        return self._outcome(interrupted=interrupted)

    def _check_inputs(self) -> None:
        """Refuse what cannot be run before an executor starts."""
        state = self._state
        metering_guard.refuse_another()  # before anything of the process is changed
        self._budget.check({})
        if state.study.teacher_weights and state.needs_teacher:
            from kdtune.artifacts.given_teacher import provide

            provide(state.study, self._teacher_file)
        images = available_images(
            state.study,
            self._data,
            download=self._download,
            tell=self._watcher.message,
            show_bar=self._watcher.draws_bars,
        )
        check_split(str(state.study.dataset), images, state.study.validation, state.study.data.train_limit)
        check_batches(state.study, images, trains_teacher=state.trains_teacher)

    def _run(self, choice: ExecutorChoice, interrupts: Interrupts) -> None:
        state = self._state
        waiting = {name: unstarted_sessions(state.folder, name) for name in state.strategies}
        with choice.opened(state.folder, interrupts, self._watcher.message) as executor:
            record_session_strategies(executor.folder, state.strategies)
            interrupts.check()
            StudyWork(
                state,
                executor,
                interrupts,
                self._watcher,
                self._budget,
                self._data,
                max_concurrent=self._max_concurrent,
                unstarted_sessions=waiting,
                accepts_teacher=self._accepted_teacher is not None,
                note_run=lambda: self._note_run(choice, executor),
                expect=self._warn_of_a_small_budget,
            ).run()

    def _outcome(self, *, interrupted: bool) -> StudyResult:
        state = self._state
        results = [state.account(name) for name in filter(state.is_begun, list(state.strategies))]
        settled = not interrupted and not self._budget.reached and state.all_settled
        return StudyResult(
            state.study,
            state.folder.path,
            results,
            interrupted,
            settled,
            over_budget=self._budget.reached,
            errors=tuple(state.errors),
            can_resume=state.can_resume,
        )

    def _to_resume(self, error: MachineError) -> MachineError:
        """The error with what to type once its cause is gone."""
        return MachineError(f"{error}\n{self._state.folder.remedy}") if self._state.can_resume else error

    def _warn_of_a_small_budget(self, estimates: Mapping[str, StrategyEstimate]) -> None:
        """Warn before it is spent, though only what begins now is estimated, and each with what all share."""
        dearest = max((one.charged_uj or 0 for one in estimates.values()), default=0)
        watch = BudgetWatch(self._limits, self._state.carbon, dedicated=self._state.study.is_dedicated)
        if watch.look({"trials": dearest}):
            self._watcher.message(f"expected to be stopped before its end: {watch.reached}")

    def _note_budget(self) -> None:
        """What earlier commands began and this one did not come to waits for a larger budget."""
        state = self._state
        for name in filter(state.is_begun, state.strategies):
            log: TrialLog = state.log(name)
            if not log.is_settled(state.study.repeats) and log.status not in ("budget", "incomplete"):
                log.stopped("budget")

    def _note_run(self, choice: ExecutorChoice, executor: Executor) -> None:
        """From now on a resume goes on with this study."""
        state = self._state
        note_run(
            state.folder,
            state.study,
            state.strategies,
            executor.resources,
            self._data,
            state.carbon,
            self._limits,
            self._teacher_file,
            self._accepted_teacher,
            inline=choice.inline,
        )
