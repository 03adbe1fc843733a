"""Brings together what is known beforehand: timings, earlier ledgers and the number of trials."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kdtune.artifacts.compiled_code import CompiledCode
from kdtune.artifacts.logit_store import LogitStore
from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware
from kdtune.forecast.earlier_strategies import CompletedStrategy
from kdtune.forecast.strategy_estimate import (
    Conditions,
    LogitsEstimate,
    StrategyOverhead,
    TeacherEstimate,
    TimeAndEnergy,
    Timings,
    WorkKind,
    WorkUsage,
    setup_overhead,
    strategy_charge,
    sum_or_none,
)
from kdtune.planning.resources import Resources
from kdtune.planning.trial_plan import epochs_of, uses_teacher
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.results.shared_inputs import ledger_summary
from kdtune.specs.study import Study

#: What an epoch costs depends on these fields of a study, and on these of its training.
_COST_FIELDS = {"dataset", "data", "teacher", "student", "loss", "validation", "numerics", "teacher_logits"}
_COST_OF_TRAINING = {"batch_size", "optimizer", "augment"}


@dataclass(frozen=True)
class Session:
    """What all strategies of a command share, as far as it is known.

    Attributes:
        charge: Starting and ending the session, and looking at the data.
        basis: In words, where that comes from.
        complete: Whether it is all there is to it.
    """

    charge: TimeAndEnergy
    basis: str
    complete: bool


def session_of(earlier: list[CompletedStrategy]) -> Session:
    """The newest command's session; nothing where there is none."""
    for one in earlier:
        if one.session:
            return Session(one.session, f"The session's start and end as in {one.label}.", complete=True)
    return Session(TimeAndEnergy(0.0, 0.0, 0.0), "The session's own start and end are not included.", complete=False)


def student_work(study: Study, strategies: Iterable[str]) -> list[WorkKind]:
    """The kinds of work that the students of some strategies do."""
    steps: dict[bool, WorkKind] = {True: "distilling", False: "labels"}
    kinds = {uses_teacher(study, name) for name in strategies}
    asked: list[WorkKind] = ["teacher_logits"] if True in kinds and study.teacher_logits != "live" else []
    return [*(steps[with_teacher] for with_teacher in kinds), *asked, "evaluation"]


class Estimator:
    """Estimates the strategies of one study on one machine."""

    def __init__(
        self,
        study: Study,
        workload: Workload,
        timings: Timings,
        hardware: Hardware,
        resources: Resources,
        slots: int,
        earlier: list[CompletedStrategy],
        session: Session,
        stores: Sequence[LogitStore] = (),
        compilations: Mapping[bool, str] | None = None,
    ) -> None:
        """Take in what is known.

        Args:
            study: What is to run.
            workload: Sizes of its networks and data.
            timings: Of a few steps.
            hardware: Of the machine.
            resources: What each trial gets.
            slots: How many trials run side by side.
            earlier: What ran on this machine before, the newest first.
            session: What the strategies share.
            stores: Where the teacher's logits are or will be kept; none where it is asked in every step.
            compilations: Where the code of trainings is or will be kept, with whether their teacher is asked in every
                step; none where networks are not compiled.
        """
        self._study = study
        self._stores = stores
        self._compilations = compilations or {}
        self._workload = workload
        self._timings = timings
        self._hardware = hardware
        self._resources = resources
        self._earlier = earlier
        self._session = session
        self._conditions = Conditions(
            slots,
            resources.cpus,
            hardware.cores,
            hardware.ram_uw,
            study.is_dedicated,
            len(hardware.gpus),
            resources.trials_per_gpu,
        )

    def strategy(self, name: str, trials: int) -> StrategyEstimate:
        """The estimate of a strategy.

        Args:
            name: The strategy's label.
            trials: That it is expected to run, over all repeats.
        """
        with_teacher, epochs = uses_teacher(self._study, name), epochs_of(self._study, name)
        epoch, idle_uw, of_trainings = self._epoch(name, trials, with_teacher=with_teacher)
        overhead, complete, of_start = self._overhead(name, trials)
        wall_s, own_uj = strategy_charge(trials, epoch * epochs, idle_uw, overhead, self._conditions)
        replays = with_teacher and bool(self._stores)
        compiled_uj = self.compiled_uj(name)
        charged_uj = sum_or_none(
            own_uj,
            self._session.charge.energy_uj(dedicated=self._conditions.dedicated),
            self.logits.charged_uj if replays else 0,
            compiled_uj or 0,
        )
        basis = [of_trainings, of_start, self._session.basis]
        if compiled_uj is None:
            basis.append("Compiling the networks is not included.")
        return StrategyEstimate(
            strategy=name,
            trials=trials,
            gflops_millions=trials * self._workload.nominal_flops(epochs, with_teacher=with_teacher) / 1e15,
            training_flops=trials * self._workload.executed_flops(epochs, teacher_forward=with_teacher and not replays)
            + (self._workload.teacher_passes_flops(self.logits.passes) if replays else 0),
            wall_s=wall_s,
            charged_uj=None if charged_uj is None else round(charged_uj),
            complete=complete and self._session.complete and compiled_uj is not None,
            basis=tuple(basis),
        )

    def compiled_uj(self, name: str) -> int | None:
        """What compiling took once that a strategy will be charged, in microjoules; None where it is still to be done.

        Args:
            name: The strategy's label.
        """
        asks_teacher = uses_teacher(self._study, name) and not self._stores
        if asks_teacher not in self._compilations:
            return 0
        one = CompiledCode(Path(self._compilations[asks_teacher]))
        spent = ledger_summary(one.ledger, dedicated=self._study.is_dedicated) if one.is_made() else None
        return spent.charged_uj if spent else None

    @cached_property
    def logits(self) -> LogitsEstimate:
        """The estimate of asking the teacher once for all trainings."""
        fills = [self._fill(store) for store in self._stores]
        charged_uj, due_uj = (sum_or_none(*(fill[place] for fill in fills)) for place in (1, 2))
        return LogitsEstimate(
            bytes=sum(store.bytes for store in self._stores),
            passes=sum(store.shape.epochs * store.shape.images for store in self._stores),
            wall_s=sum(fill[0] for fill in fills),
            charged_uj=None if charged_uj is None else round(charged_uj),
            due_uj=None if due_uj is None else round(due_uj),
        )

    def _fill(self, store: LogitStore) -> tuple[float, float | None, float | None]:
        """Of one store: seconds that are due, its energy altogether, and what is due of it."""
        spent = ledger_summary(store.ledger, dedicated=self._study.is_dedicated)
        missing = len(store.missing_epochs())
        if not missing:
            return 0.0, spent.charged_uj if spent else None, 0.0
        parts = min(missing, self._conditions.slots)
        part = self._timings.per_image["teacher_logits"] * (missing * store.shape.images / parts)
        nothing = StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))
        wall_s, due_uj = strategy_charge(parts, part, self._idle_uw(parts), nothing, self._conditions)
        return wall_s, sum_or_none(spent.charged_uj if spent else 0, due_uj), due_uj

    def teacher(self, *, cached: bool) -> TeacherEstimate:
        """The estimate of the teacher's own training, without a worker's start; of measuring one that was given."""
        model, epochs = str(self._study.teacher), self._study.teacher_training.epochs
        given = self._study.teacher_weights is not None
        if cached:
            return TeacherEstimate(model, cached, gflops_millions=0.0, wall_s=0.0, charged_uj=0, given=given)
        if given:
            work, flops = self._timings.teacher_measuring(self._workload), 0.0
        else:
            work = self._timings.teacher_training(self._workload, epochs)
            flops = self._workload.teacher_flops(epochs) / 1e15
        nothing = StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))
        wall_s, energy_uj = strategy_charge(1, work, self._idle_uw(1), nothing, self._conditions)
        charged_uj = None if energy_uj is None else round(energy_uj)
        return TeacherEstimate(model, cached, flops, wall_s, charged_uj, given)

    def _idle_uw(self, trials: int) -> float | None:
        return self._timings.idle_for(trials, self._conditions)

    def _epoch(self, name: str, trials: int, *, with_teacher: bool) -> tuple[WorkUsage, float | None, str]:
        """What an epoch takes, the static power that is not in it, and whence."""
        alike = [one for one in self._earlier if self._trains_alike(one, with_teacher=with_teacher)]
        for one in self._nearest(alike, name, trials):
            if one.phases:
                return one.phases.epoch, 0.0, f"Trainings as in {one.label}."
        timed = self._timings.batches["distilling" if with_teacher else "labels"]
        batch = min(self._study.training.batch_size, self._workload.train_images)
        fewer = "" if timed >= batch else f", {timed} of a batch's {batch} images at a time"
        epoch = self._timings.student_epoch(self._workload, with_teacher=with_teacher)
        return epoch, self._idle_uw(trials), f"Trainings from timed steps of the real networks on this machine{fewer}."

    def _overhead(self, name: str, trials: int) -> tuple[StrategyOverhead, bool, str]:
        """What comes on top of the trainings, whether that is all of it, and whence."""
        for one in self._nearest(self._earlier, name, trials):
            if one.phases:
                return one.phases.overhead, True, f"Starting workers and the final evaluation as in {one.label}."
        setup = self._timings.setup
        if setup is None:
            return (
                StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0)),
                False,
                "Starting up the processes that train is not included.",
            )
        workers = min(self._conditions.slots, trials)
        overhead = setup_overhead(setup, workers, self._idle_uw(workers), self._hardware.ram_uw)
        return overhead, False, f"Starting a worker as it took here ({setup.wall_s:.1f} s), without Ray's part in it."

    def _trains_alike(self, one: CompletedStrategy, *, with_teacher: bool) -> bool:
        ours, theirs = (
            (study.model_dump(include=_COST_FIELDS), study.training.model_dump(include=_COST_OF_TRAINING))
            for study in (self._study, one.study)
        )
        return (
            ours == theirs
            and uses_teacher(one.study, one.strategy) == with_teacher
            and (one.cpus, one.gpus) == (self._resources.cpus, self._resources.gpus)
        )

    def _nearest(self, those: Iterable[CompletedStrategy], name: str, trials: int) -> list[CompletedStrategy]:
        """The same strategy first, then by the number of trials, then the newest."""
        return sorted(those, key=lambda one: (one.strategy != name, abs(math.log(one.trials / trials))))
