"""Runs a command on a study: checks the inputs, starts the executor, runs the strategies and writes the results."""

from contextlib import suppress

from kdtune.data.sources import available_images
from kdtune.errors import BudgetReached, MachineError, StudyInterrupted
from kdtune.execution import metering_guard
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.run_context import RunContext
from kdtune.execution.run_options import RunOptions
from kdtune.execution.study_state import StudyState
from kdtune.execution.study_work import StudyWork
from kdtune.planning.budget import BudgetWatch
from kdtune.planning.predecessors import check_predecessors
from kdtune.results.energy_spent import spent_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import record_session_strategies, unstarted_sessions
from kdtune.results.study_result import StudyResult
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import ContainedWatcher
from kdtune.specs.split_sizes import check_split
from kdtune.specs.study import Study
from kdtune.storage.files import cannot_be_written
from kdtune.strategies.base import Strategy
from kdtune.training.batch_norm_checks import check_batches


class StudyRunner:
    """Runs one command on the results folder of a study."""

    def __init__(
        self, study: Study, strategies: dict[str, list[Strategy]], folder: StudyFolder, options: RunOptions
    ) -> None:
        """Prepare the command.

        Args:
            study: The study.
            strategies: For each label, the strategy of every repeat.
            folder: Results folder of the study.
            options: Options of the command.
        """
        self._state = StudyState(study, strategies, folder, options.carbon, options.fresh)
        self._options = options
        self._watcher = ContainedWatcher(options.watcher)
        given, accepted = study.teacher_weights, folder.noted_paths().accepted_teacher
        self._accepted_teacher = given if options.accept_teacher or accepted == given else None
        self._budget = BudgetWatch(
            options.budget,
            options.carbon,
            dedicated=study.is_dedicated,
            before_uj=spent_uj(folder, dedicated=study.is_dedicated) if options.resumed else 0,
            cancel=options.cancel,
        )

    def execute(self) -> StudyResult:
        """Run everything that is left to run, and write the results.

        Raises:
            BudgetReached: Earlier commands have used up the budget.
            DataError: The data set is missing, incomplete or damaged.
            UsageError: The weights that were given for the teacher are gone.
            MachineError: A disk, the cache or Ray failed, and there is no outcome to show.
        """
        try:
            return self._outcome(interrupted=self._run_what_is_left())
        except OSError as error:  # of the run, or of the results that are written at its end
            raise self._to_resume(cannot_be_written(error, self._state.folder.path)) from None

    def _run_what_is_left(self) -> bool:
        """Run everything that is left to run, and return whether it was interrupted."""
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
                    self._run(interrupts)
        except (KeyboardInterrupt, StudyInterrupted):
            interrupted = True
        except BudgetReached:
            self._note_budget()
        except MachineError as error:
            if not interrupts.requested:  # otherwise the signal may have ended Ray's processes as well
                raise self._to_resume(error) from None
            interrupted = True
        finally:
            with suppress(StudyInterrupted):  # nothing is left to stop
                self._watcher.ended()
        return interrupted

    def _check_inputs(self) -> None:
        """Refuse a study that cannot run, before an executor starts."""
        state = self._state
        metering_guard.refuse_another()  # before the state of the process is changed
        self._budget.check({})
        if state.study.teacher_weights and state.needs_teacher:
            from kdtune.artifacts.given_teacher import provide

            provide(state.study, self._options.teacher_file)
        check_predecessors(state.study, state.strategies, state.folder, fresh=state.fresh)
        images = available_images(
            state.study,
            self._options.data,
            download=self._options.download,
            tell=self._watcher.message,
            show_bar=self._watcher.draws_bars,
        )
        check_split(str(state.study.dataset), images, state.study.validation, state.study.data.train_limit)
        check_batches(state.study, images, trains_teacher=state.trains_teacher)

    def _run(self, interrupts: Interrupts) -> None:
        state, options = self._state, self._options
        unstarted = {name: unstarted_sessions(state.folder, name) for name in state.strategies}
        with options.executor.opened(state.folder, interrupts, self._watcher.message) as executor:
            record_session_strategies(executor.folder, state.strategies)
            interrupts.check()
            context = RunContext(
                executor, self._watcher, self._budget, options.data, interrupts, options.max_concurrent
            )
            StudyWork(
                state,
                context,
                options,
                accepted_teacher=self._accepted_teacher,
                unstarted_sessions=unstarted,
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
        """Return the error with the command that resumes the study."""
        return MachineError(f"{error}\n{self._state.folder.remedy}") if self._state.can_resume else error

    def _note_budget(self) -> None:
        """Record that strategies which this command did not reach wait for a larger budget."""
        state = self._state
        for name in filter(state.is_begun, state.strategies):
            log: TrialLog = state.log(name)
            if not log.is_settled(state.study.repeats) and log.status not in ("budget", "incomplete"):
                log.stopped("budget")
