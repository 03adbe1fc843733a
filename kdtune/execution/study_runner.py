"""Runs a study's strategies one after the other: Ray, the teacher, each strategy, the outcomes."""

import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from kdtune.artifacts.teacher_chance import refuse_at_chance
from kdtune.data.published import obtain
from kdtune.data.split_sizes import check_split, folds_last_image
from kdtune.energy.carbon import Carbon
from kdtune.energy.flops import Workload
from kdtune.errors import BudgetReached, KdtuneError, MachineError, StudyInterrupted
from kdtune.execution import single_metering
from kdtune.execution.interrupts import Interrupts
from kdtune.execution.ray.ray_environment import ray_environment
from kdtune.forecast.strategy_estimate import StrategyEstimate
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.kept_strategies import FOLDED, refuse_another_teacher, refuse_other_batches, refuse_other_data
from kdtune.planning.resources import Resources, cluster_address
from kdtune.planning.run_toml import note_run
from kdtune.planning.trial_plan import kept_cost, remade, settled_strategies, uses_teacher
from kdtune.results.energy_spent import spent_uj
from kdtune.results.estimate_document import keep_estimate
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import write_result
from kdtune.results.session_notes import note_asked, unbegun
from kdtune.results.shared_costs import kept_shared, write_shared
from kdtune.results.source_commit import commit
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.study_result import StudyResult
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import ContainedWatcher, Watcher
from kdtune.specs.study import Study
from kdtune.storage.files import cannot_be_written
from kdtune.storage.paths import DataDir
from kdtune.strategies.base import Strategy
from kdtune.training.single_image_batches import check_batches


class StudyRun:
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
        self._study = study
        self._strategies = strategies
        self._folder = folder
        self._carbon = carbon
        self._watcher = ContainedWatcher(watcher)
        self._data = data
        self._download = download
        self._teacher_file = teacher_file
        given, accepted = study.teacher_weights, folder.asked_places().accepted_teacher
        self._accepted_teacher = given if accept_teacher or accepted == given else None
        self._max_concurrent = max_concurrent
        self._fresh = fresh
        #: Whether there are earlier results that stay in place until the study is about to train.
        self._holds_earlier = fresh and any(folder.strategy(name).path.exists() for name in strategies)
        self._limits = budget
        dedicated = study.is_dedicated
        before_uj = spent_uj(folder, dedicated=dedicated) if resumed else 0
        self._budget = BudgetWatch(budget, carbon, dedicated=dedicated, before_uj=before_uj, cancel=cancel)
        self._teacher: dict[str, Any] | None = None
        self._logits: dict[str, dict[str, Any]] | None = None
        self._compilations: dict[str, dict[str, dict[str, Any]]] = {}
        self._errors: list[str] = []
        self._unbegun: dict[str, list[str]] = {}

    def execute(self, cpus: float, gpus: float | None, address: str | None) -> StudyResult:
        """Run what is left to run, and account for it.

        Args:
            cpus: Cores for each trial.
            gpus: Share of a GPU for each trial, at most 1; None gives one where the cluster has any.
            address: Of a running Ray cluster.

        Raises:
            BudgetReached: Earlier commands have used up what may be used.
            DataError: The data set is missing, incomplete or damaged.
            UsageError: The weights that were given for the teacher are gone.
            MachineError: A disk, the cache or Ray gave way, and there is no outcome to show.
        """
        # A finished study that is resumed has nothing to run, so nothing is spent on starting Ray.
        to_do = self._fresh or not all(map(self._is_settled, self._strategies))
        planned = {name: sum(one.expected_trials() for one in made) for name, made in self._strategies.items()}
        interrupted, interrupts = False, Interrupts()
        if to_do:
            single_metering.refuse_another()  # before anything of the process is changed
            self._budget.check({})
            if self._study.teacher_weights and self._needs_teacher:
                from kdtune.artifacts.given_teacher import provide

                provide(self._study, self._teacher_file)
            images = obtain(
                self._study.dataset,
                self._data,
                download=self._download,
                tell=self._watcher.message,
                show_bar=self._watcher.draws_bars,
            )
            check_split(self._study.dataset, images, self._study.validation, self._study.data.train_limit)
            trains_teacher = self._needs_teacher and not self._study.teacher_weights
            check_batches(self._study, images, trains_teacher=trains_teacher)
        try:
            self._watcher.carbon_settings(self._carbon)
            self._watcher.started(self._study, planned)
            if to_do:
                with ray_environment(address), interrupts.watched():
                    self._budget.check_cancelled()
                    self._run(interrupts, cpus, gpus, address)
        except (KeyboardInterrupt, StudyInterrupted):
            interrupted = True
        except BudgetReached:
            self._note_budget()
        except OSError as error:
            raise self._to_resume(cannot_be_written(error, self._folder.path)) from None
        except MachineError as error:
            if not interrupts.asked:  # else the signal may have ended Ray's processes as well
                raise self._to_resume(error) from None
            interrupted = True
        finally:
            with suppress(StudyInterrupted):  # nothing is left to stop
                self._watcher.ended()
        begun = [name for name in self._strategies if self._is_begun(name)]
        results = [self._account(name) for name in begun]
        settled = not interrupted and not self._budget.reached and all(map(self._is_settled, self._strategies))
        return StudyResult(
            self._study,
            self._folder.path,
            results,
            interrupted,
            settled,
            over_budget=self._budget.reached,
            errors=tuple(self._errors),
            can_resume=self._can_resume,
        )

    def _to_resume(self, error: MachineError) -> MachineError:
        """The error with what to type once its cause is gone."""
        return MachineError(f"{error}\n{self._folder.remedy}") if self._can_resume else error

    @property
    def _can_resume(self) -> bool:
        """Whether ``kdtune resume`` goes on with this command's study, not with an earlier one's."""
        return self._folder.run_toml.exists() and not self._holds_earlier

    def _is_begun(self, name: str) -> bool:
        """Whether a strategy of this study, not of an earlier one that is to be put aside, was begun."""
        return not self._holds_earlier and self._folder.strategy(name).study_toml.exists()

    def _tell_of_a_small_budget(self, estimates: Mapping[str, StrategyEstimate]) -> None:
        """Before it is spent, though only what begins now is estimated, and each with what all share."""
        dearest = max((one.charged_uj or 0 for one in estimates.values()), default=0)
        watch = BudgetWatch(self._limits, self._carbon, dedicated=self._study.is_dedicated)
        if watch.look({"trials": dearest}):
            self._watcher.message(f"expected to be stopped before its end: {watch.reached}")

    def _note_budget(self) -> None:
        """What earlier commands began and this one did not come to waits for a larger budget."""
        for name in filter(self._is_begun, self._strategies):
            log = TrialLog.read(self._folder.strategy(name).trials)
            if not log.is_settled(self._study.repeats) and log.status not in ("budget", "incomplete"):
                log.stopped("budget")

    @property
    def _needs_teacher(self) -> bool:
        return any(uses_teacher(self._study, name) for name in self._strategies)

    def _is_settled(self, name: str) -> bool:
        return TrialLog.read(self._folder.strategy(name).trials).is_settled(self._study.repeats)

    def _run(self, interrupts: Interrupts, cpus: float, gpus: float | None, address: str | None) -> None:
        self._watcher.message("starting Ray and the energy meter")
        with interrupts.held_back():
            import ray

            from kdtune.execution.ray.dispatch import plainly
            from kdtune.execution.ray.session import Session

        session = Session(self._folder, cpus, gpus, address, self._watcher.message)
        self._unbegun = {name: unbegun(self._folder, name) for name in self._strategies}
        try:
            # Ray's start cannot be broken off cleanly; joining a cluster that does not answer can.
            with interrupts.held_back() if cluster_address(address) is None else nullcontext():
                session.start()
            note_asked(session.folder, self._strategies)
            interrupts.check()
            self._work(session, interrupts)
        except ray.exceptions.RayError as error:
            raise plainly(error) from None
        finally:
            session.stop()

    def _work(self, session: Any, interrupts: Interrupts) -> None:
        with interrupts.held_back():
            from kdtune.execution.inspections import inspected
            from kdtune.execution.run_estimates import Forecast
            from kdtune.execution.shared_inputs import SharedInputs
            from kdtune.execution.strategy_runner import StrategyRun

        resources, asked = session.resources, self._study
        kept = self._kept()
        if kept:
            self._study = self._study.settled_as(kept[0].read_study())
        cost = kept_cost(kept)
        self._study = settled_strategies(self._study, cost)
        to_begin = {
            name: sum(one.expected_trials() for one in made)
            for name, made in self._strategies.items()
            if self._fresh or not self._folder.strategy(name).study_toml.exists()
        }
        expected = Forecast(self._study, to_begin, session, self._max_concurrent)
        known = inspected(
            self._study,
            session,
            self._data.path,
            expected.work,
            self._watcher.message,
            poll=lambda: self._budget.check_now(session),
        )
        inspection, estimates = known.inspection, expected.estimates(known)
        self._tell_of_a_small_budget(estimates)
        interrupts.check()
        refuse_other_data(self._kept(), inspection.fingerprint, self._data)
        if self._needs_teacher and not self._study.teacher_weights:
            refuse_another_teacher(self._kept(), Path(inspection.teacher_folder).name)
        folds = folds_last_image(inspection.workload["train_images"], self._study.training.batch_size)
        if folds:
            refuse_other_batches(self._kept())
        for remark in inspection.remarks:
            self._watcher.message(remark)
        self._study = inspection.settle(self._study)
        self._strategies = remade(asked, self._study, self._strategies)
        teacher_folder, workload = Path(inspection.teacher_folder), Workload(**inspection.workload)
        data = str(self._data.path)
        shared = SharedInputs(self._study, session, self._watcher, self._budget, data, self._max_concurrent)
        if self._needs_teacher and self._study.teacher_weights:
            self._teacher = shared.teacher(teacher_folder, workload)
            if not self._accepted_teacher:
                refuse_at_chance(self._study, self._teacher, workload)
        if not self._holds_earlier:
            self._note_run(resources)
        if self._needs_teacher:
            self._teacher = self._teacher or shared.teacher(teacher_folder, workload)
            self._logits = shared.logits(inspection.logit_stores)
        for name in self._strategies:
            asks = uses_teacher(self._study, name) and inspection.teacher_logits == "live"
            # One that has no training left keeps what it was charged: it compiles nothing any more.
            log = TrialLog.read(self._folder.strategy(name).trials)
            trained = self._is_begun(name) and log.is_trained(self._study.repeats)
            if asks in inspection.compilations and not trained:
                place = Path(inspection.compilations[asks])
                self._compilations[name] = shared.compilation(place, asks_teacher=asks)
        # Only now is it sure that the study can train: nothing is moved for one that cannot.
        if self._holds_earlier:
            interrupts.check()
            self._budget.check_now(session)
            self._folder.put_aside(list(self._strategies))
            self._holds_earlier = False
            self._note_run(resources)
        resolved = {
            "cpus_per_trial": resources.cpus,
            "gpus_per_trial": resources.gpus,
            **inspection.numerics.model_dump(),
            "teacher_logits": inspection.teacher_logits,
            "teacher": teacher_folder.name,
            "workload": inspection.workload,
            # Of the command itself: what is kept of an inspection may be older.
            "versions": {**inspection.versions, **({"commit": ours} if (ours := commit()) else {})},
        }
        if folds:
            resolved |= FOLDED
        if inspection.fingerprint:
            resolved["data"] = inspection.fingerprint
        if multiple := cost.energy or inspection.energy_multiple:
            resolved["energy_multiple"] = multiple
        for name, strategies in self._strategies.items():
            folder = self._folder.strategy(name)
            # Before anything of it is written: a strategy that was never begun is not an incomplete one.
            interrupts.check()
            self._budget.check_now(session)
            folder.path.mkdir(parents=True, exist_ok=True)
            if not folder.study_toml.exists():
                folder.write_study(self._study, resolved)
                if name in estimates:
                    keep_estimate(folder, estimates[name])
            log = TrialLog.read(folder.trials)
            for earlier in self._unbegun[name] if not log.is_settled(self._study.repeats) else ():
                log.session(earlier)
            self._share(name)  # before it begins: whatever becomes of the command, its bill is whole
            run = StrategyRun(
                self._study, strategies, folder, session, self._watcher, self._budget, data, self._max_concurrent
            )
            if run.log.is_settled(self._study.repeats):
                continue
            try:
                run.run()
            except (StudyInterrupted, BudgetReached):
                raise
            except KdtuneError as error:
                self._errors.append(f"{name}: {error}")
                if not run.log.is_settled(self._study.repeats):  # else it was through when it happened
                    run.log.stopped("incomplete")
                if isinstance(error, MachineError):  # what befell this one would befall the others, which go on else
                    return
            finally:
                # Written again when the session's own cost is final; a crash in between leaves a true outcome.
                self._account(name)

    def _note_run(self, resources: Resources) -> None:
        """From now on a resume goes on with this study."""
        asked = self._folder, self._study, self._strategies, resources, self._data, self._carbon, self._limits
        note_run(*asked, self._teacher_file, self._accepted_teacher)

    def _kept(self) -> list[StrategyFolder]:
        """Strategies that were run here before and are not going to be put aside."""
        return [
            folder for folder in self._folder.strategies() if not (self._fresh and folder.path.name in self._strategies)
        ]

    def _account(self, name: str) -> StrategyResult:
        self._share(name)
        if self._is_settled(name):
            self._folder.strategy(name).drop_checkpoints()
        return write_result(self._folder.strategy(name), self._carbon)

    def _share(self, name: str) -> None:
        folder = self._folder.strategy(name)
        # Stopped before the teacher was looked up: what an earlier command noted of it stays.
        kept, needed = kept_shared(folder), uses_teacher(self._study, name)
        teacher = (self._teacher or kept["teacher"]) if needed else None
        logits = (kept["teacher_logits"] if self._logits is None else self._logits) if needed else {}
        compilations = kept["compilations"] | self._compilations.get(name, {})
        write_shared(folder, teacher, logits, compilations)
