"""Work of a command while its executor runs: inspection, shared artifacts, then each strategy."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any, TypeVar

from kdtune.artifacts.artifact import Artifact
from kdtune.artifacts.shared_code import SharedCode
from kdtune.artifacts.shared_logits import SharedLogits
from kdtune.artifacts.shared_teacher import SharedTeacher
from kdtune.artifacts.teacher_chance import refuse_at_chance
from kdtune.energy.flops import Workload
from kdtune.errors import BudgetReached, KdtuneError, MachineError, StudyInterrupted
from kdtune.execution.artifact_store import ArtifactStore
from kdtune.execution.cached_inspection import StudyFacts, inspected
from kdtune.execution.run_context import RunContext
from kdtune.execution.run_estimates import RunEstimator
from kdtune.execution.run_options import RunOptions
from kdtune.execution.strategy_runner import StrategyRunner
from kdtune.execution.study_state import StudyState
from kdtune.planning.budget import BudgetWatch
from kdtune.planning.consistency_checks import (
    FOLDED,
    other_numerics,
    refuse_another_teacher,
    refuse_captured_steps,
    refuse_other_batches,
    refuse_other_data,
)
from kdtune.planning.inspection import Inspection
from kdtune.planning.predecessors import predecessor, settings_of_quantised
from kdtune.planning.resume_checks import strategy_digest
from kdtune.planning.run_toml import note_run
from kdtune.planning.study_remarks import study_remarks
from kdtune.planning.trial_plan import frozen_cost, remade, settled_strategies, uses_teacher
from kdtune.results.estimate_document import StrategyEstimate, save_estimate
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import CompilationInput, SynthesisInput, Teacher, TeacherLogitsInput
from kdtune.results.source_commit import commit
from kdtune.specs.split_sizes import folds_last_image
from kdtune.storage.records import as_record, parsed

T = TypeVar("T")


class StudyWork:
    """Runs the unfinished strategies of a study on an executor that has started."""

    def __init__(
        self,
        state: StudyState,
        context: RunContext,
        options: RunOptions,
        *,
        accepted_teacher: str | None,
        unstarted_sessions: Mapping[str, list[str]],
    ) -> None:
        """Prepare the work.

        Args:
            state: The study; findings are added to it.
            context: The session.
            options: Options of the command.
            accepted_teacher: Identity of a given teacher that is used even if its accuracy is at chance.
            unstarted_sessions: By strategy, earlier sessions that were to run it and ended before they began it.
        """
        self._state = state
        self._context = context
        self._options = options
        self._accepted_teacher = accepted_teacher
        self._unstarted_sessions = unstarted_sessions
        self._artifacts: ArtifactStore | None = None

    def run(self) -> None:
        """Run everything that is left to run.

        Raises:
            StudyInterrupted: The user stopped the study.
            BudgetReached: The budget is used up.
            KdtuneError: The study cannot run.
        """
        try:
            self._run()
        finally:
            if self._artifacts:
                self._artifacts.close()

    def _run(self) -> None:
        state = self._state
        original = state.study
        self._apply_earlier_settings()
        known, estimates = self._inspect()
        inspection = known.inspection
        self._refuse_incomparable(inspection)
        remarks = (*inspection.remarks, *study_remarks(state.study, state.strategies))
        for remark in (*remarks, *other_numerics(state.kept, inspection.versions)):
            self._context.watcher.message(remark)
        state.study = inspection.settle(state.study)
        state.strategies = remade(original, state.study, state.strategies)
        self._make_artifacts(inspection)
        # Earlier results are moved only now, when it is certain that the study can train.
        if state.holds_earlier:
            self._context.check()
            state.folder.put_aside(list(state.strategies))
            state.holds_earlier = False
            self._note_run()
        self._run_strategies(self._resolved(inspection), estimates)

    def _apply_earlier_settings(self) -> None:
        """Resolve open settings as strategies of earlier commands have resolved them."""
        state = self._state
        kept = state.kept
        if kept:
            state.study = state.study.settled_as(kept[0].read_study())
        refuse_captured_steps(kept, state.study)
        self._cost = frozen_cost(kept)
        state.study = settled_strategies(state.study, self._cost)

    def _inspect(self) -> tuple[StudyFacts, dict[str, StrategyEstimate]]:
        """Return the facts of the study, and an estimate for each strategy that begins."""
        expected = RunEstimator(self._state.study, self._state.to_begin, self._context)
        known = inspected(self._state.study, self._context, expected.work)
        estimates = expected.estimates(known)
        self._warn_of_a_small_budget(estimates)
        self._context.interrupts.check()
        return known, estimates

    def _warn_of_a_small_budget(self, estimates: Mapping[str, StrategyEstimate]) -> None:
        """Warn if the most expensive of the strategies that begin now is expected to exceed the budget."""
        expected_uj = max((one.charged_uj or 0 for one in estimates.values()), default=0)
        watch = BudgetWatch(self._options.budget, self._state.carbon, dedicated=self._state.study.is_dedicated)
        if excess := watch.excess({"trials": expected_uj}):
            self._context.watcher.message("{} will probably stop this run: one strategy needs about {}".format(*excess))

    def _note_run(self) -> None:
        """Write ``run.toml``; from then on, a resume continues this study."""
        state, options, executor = self._state, self._options, self._context.executor
        note_run(
            state.folder,
            state.study,
            state.strategies,
            executor.resources,
            options.data,
            state.carbon,
            options.budget,
            options.teacher_file,
            self._accepted_teacher,
            inline=options.executor.inline,
        )

    def _refuse_incomparable(self, inspection: Inspection) -> None:
        """Refuse to add strategies to earlier ones that used other data, another teacher or other batches."""
        state = self._state
        refuse_other_data(state.kept, inspection.fingerprint, self._context.data)
        if state.trains_teacher:
            refuse_another_teacher(state.kept, Path(inspection.teacher_folder).name)
        if self._folds(inspection):
            refuse_other_batches(state.kept)

    def _folds(self, inspection: Inspection) -> bool:
        return folds_last_image(inspection.workload["train_images"], self._state.study.training.batch_size)

    def _make_artifacts(self, inspection: Inspection) -> None:
        """Provide the teacher, its logits and compiled code."""
        state, workload = self._state, inspection.of_teacher
        self._artifacts = ArtifactStore(state.study, self._context)
        if state.needs_teacher and state.study.teacher_weights:
            self._provide_teachers(inspection, workload)
            if self._accepted_teacher is None:
                refuse_at_chance(inspection.chance_problem(state.study))
        if not state.holds_earlier:
            self._note_run()
        if state.needs_teacher:
            self._provide_teachers(inspection, workload)
            if inspection.synthesis:
                images = self._provide(inspection.synthesis, SynthesisInput)
                state.synthesis = {inspection.synthesis.folder.name: images}
                copyfile(inspection.synthesis.images.sheet, state.folder.synthetic_sheet)
            stores = zip(inspection.logit_stores, state.study.seeds(), strict=False)
            state.logits = {
                store.folder.name: self._provide(SharedLogits(store, seed), TeacherLogitsInput, seed=seed)
                for store, seed in stores
            }
        for name in state.strategies:
            self._provide_code(name, inspection)

    def _provide(
        self,
        artifact: Artifact,
        kind: type[T],
        progress: Callable[[], object] = lambda: None,
        seed: int | None = None,
    ) -> T:
        """Provide an artifact: of the repeat with the given seed, or of the whole study."""
        assert self._artifacts is not None
        study = self._state.study if seed is None else self._state.study.of_repeat(seed)
        return parsed(as_record(self._artifacts.provide(artifact, progress, study)), kind)

    def _provide_teachers(self, inspection: Inspection, workload: Workload) -> None:
        """Provide the teacher of each repeat, unless that has been done; repeats share one unless the study varies."""
        if self._state.teachers:
            return
        study, teachers = self._state.study, dict[str, Teacher]()
        for seed in study.seeds():
            folder = Path(inspection.teacher_of(seed))
            if folder.name not in teachers:
                teacher = SharedTeacher(folder, study.of_repeat(seed), workload, seed if study.vary else None)
                show = partial(self._show_teacher, teacher)
                teachers[folder.name] = self._provide(teacher, Teacher, show, seed)
        self._state.teachers = teachers  # only now, so that a list that is not complete replaces none

    def _show_teacher(self, teacher: SharedTeacher) -> None:
        if metrics := teacher.last_epoch():
            self._context.watcher.teacher_epoch(self._state.study.teacher_training.epochs, metrics)

    def _provide_code(self, name: str, inspection: Inspection) -> None:
        """Provide the compiled code of a strategy, unless it has no training left and keeps its earlier charge."""
        state, study = self._state, self._state.study
        with_teacher = uses_teacher(study, name) and inspection.teacher_logits == "live"
        is_trained = state.is_begun(name) and state.log(name).is_trained(study.repeats)
        if with_teacher not in inspection.compilations or is_trained or predecessor(study, name):
            return
        folder = Path(inspection.compilations[with_teacher])
        networks = f"{study.teacher} and {study.student}" if with_teacher else str(study.student)
        code = SharedCode(folder, with_teacher, networks)
        state.compilations[name] = {folder.name: self._provide(code, CompilationInput)}

    def _resolved(self, inspection: Inspection) -> dict[str, Any]:
        """Return the resolved settings that ``study.toml`` of each strategy records."""
        resources = self._context.executor.resources
        resolved = {
            "executor": self._context.executor.kind,
            "cpus_per_trial": resources.cpus,
            "gpus_per_trial": resources.gpus,
            **inspection.numerics.model_dump(),
            "teacher_logits": inspection.teacher_logits,
            "teacher": Path(inspection.teacher_folder).name,
            "workload": inspection.workload,
            # The commit is read now, since a cached inspection may be older.
            "versions": {**inspection.versions, **({"commit": ours} if (ours := commit()) else {})},
        }
        resolved |= FOLDED if self._folds(inspection) else {}
        if inspection.fingerprint:
            resolved["data"] = inspection.fingerprint
        if inspection.repeat_teachers:
            resolved["teachers"] = {str(seed): Path(folder).name for seed, folder in inspection.repeat_teachers.items()}
        if inspection.epoch_synthesis_flops:
            resolved["epoch_synthesis_flops"] = inspection.epoch_synthesis_flops
        if multiple := self._cost.energy or inspection.energy_multiple:
            resolved["energy_multiple"] = multiple
        state = self._state
        return resolved | settings_of_quantised(state.study, state.strategies, state.kept, inspection.reduce_range)

    def _run_strategies(self, resolved: Mapping[str, Any], estimates: Mapping[str, StrategyEstimate]) -> None:
        """Run one strategy after the other; a failed strategy does not prevent the others from running."""
        state = self._state
        for name in state.strategies:
            # Checked before any file is written, so that a strategy that does not begin is not listed as incomplete.
            self._context.check()
            folder = self._begin(name, resolved, estimates.get(name))
            state.share(name)  # before it trains, so that its costs are complete even if the command is killed
            runner = StrategyRunner(state.study, state.strategies[name], folder, self._context)
            if not runner.log.is_settled(state.study.repeats) and not self._run_one(name, runner):
                return

    def _begin(self, name: str, resolved: Mapping[str, Any], estimate: StrategyEstimate | None) -> StrategyFolder:
        """Write the settings of a strategy and the earlier sessions whose costs it shares."""
        state = self._state
        folder = state.folder.strategy(name)
        folder.path.mkdir(parents=True, exist_ok=True)
        if not folder.study_toml.exists():
            source = strategy_digest(state.study, name)
            own = {"folder": str(folder.path), **({"strategy_digest": source} if source else {})}
            folder.write_study(state.study, {**resolved, **own})
            if estimate:
                save_estimate(folder, estimate)
        log = state.log(name)
        for earlier in self._unstarted_sessions[name] if not log.is_settled(state.study.repeats) else ():
            log.session(earlier)
        return folder

    def _run_one(self, name: str, runner: StrategyRunner) -> bool:
        """Run a strategy and return whether the next one may run."""
        state = self._state
        try:
            runner.run()
        except (StudyInterrupted, BudgetReached):
            raise
        except KdtuneError as error:
            state.errors.append(f"{name}: {error}")
            if not runner.log.is_settled(state.study.repeats):  # otherwise it had finished before the error
                runner.log.stopped("incomplete")
            # A fault of the machine would affect the other strategies as well.
            return not isinstance(error, MachineError)
        finally:
            # Written again when the session's own cost is final; until then, a crash leaves a correct result.
            state.account(name)
        return True
