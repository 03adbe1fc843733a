"""Estimates of time and energy before a run, from timed steps, ledgers of earlier runs and numbers of trials."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kdtune.artifacts.logit_store import LogitStore
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware
from kdtune.forecast.earlier_strategies import CompletedStrategy
from kdtune.forecast.strategy_estimate import (
    Conditions,
    StrategyOverhead,
    TeacherEstimate,
    TimeAndEnergy,
    Timings,
    WorkUsage,
    setup_overhead,
    strategy_charge,
    sum_or_none,
)
from kdtune.planning.predecessors import predecessor
from kdtune.planning.resources import Resources
from kdtune.planning.session_estimate import SessionEstimate
from kdtune.planning.shared_estimates import SharedEstimates
from kdtune.planning.step_kinds import has_same_epochs, step_kind, trained_share
from kdtune.planning.trial_plan import epochs_of, first_recipe, make_strategies, uses_teacher
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.specs.study import Study
from kdtune.specs.synthetic_data import trial_images


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
        session: SessionEstimate,
        stores: Sequence[LogitStore] = (),
        compilations: Mapping[bool, str] | None = None,
        synthesis: SharedSynthesis | None = None,
        of_teacher: Workload | None = None,
    ) -> None:
        """Prepare the estimates of a study.

        Args:
            study: The study.
            workload: Sizes of its networks and data.
            timings: Timings of a few steps.
            hardware: Hardware of the machine.
            resources: Resources of each trial.
            slots: Number of trials that run at the same time.
            earlier: Strategies that ran on this machine before, newest first.
            session: Estimate of what the strategies share.
            stores: Logit stores, filled or not; empty if the teacher's logits are computed in every step.
            compilations: Folders of compiled code, filled or not. The keys say whether a training computes the
                teacher's logits in every step. Empty if networks are not compiled.
            synthesis: Images that are made from the teacher; None for a study on real images.
            of_teacher: Sizes of the teacher's own training; None for ``workload``.
        """
        self._of_teacher = of_teacher or workload
        self._study = study
        self._stores = stores
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
        #: Estimates of what is made once for all strategies.
        self.shared = SharedEstimates(timings, self._conditions, stores, compilations, synthesis)

    def strategy(self, name: str, trials: int) -> StrategyEstimate:
        """Return the estimate of a strategy.

        Args:
            name: The strategy's label.
            trials: Expected number of its trials, over all repeats.
        """
        with_teacher, (epochs, teacher_epochs) = uses_teacher(self._study, name), epochs_of(self._study, name)
        replays = with_teacher and bool(self._stores)
        workload, meta_flops = self._of_trainings(name, epochs)
        flops = workload.executed_flops(epochs, teacher_epochs=0 if replays else teacher_epochs)
        # A look-ahead is not timed; its operations are taken to be as fast.
        look_aheads = meta_flops / flops
        epoch, idle_uw, of_trainings = self._epoch(name, trials, workload, look_aheads, with_teacher=with_teacher)
        training = epoch * epochs
        if 0 < teacher_epochs < epochs:  # the teacher is needed in some phases only
            alone, _, _ = self._epoch(name, trials, workload, look_aheads, with_teacher=False)
            training = epoch * teacher_epochs + alone * (epochs - teacher_epochs)
        share = trained_share(self._study, name, epochs)
        training = training * float(share)
        overhead, complete, of_start = self._overhead(name, trials)
        wall_s, own_uj = strategy_charge(trials, training, idle_uw, overhead, self._conditions)
        compiled_uj, images, before = self.compiled_uj(name), self.shared.images, self.before(name)
        images_uj = images.charged_uj if images else 0
        charged_uj = sum_or_none(
            own_uj,
            before.charged_uj if before else 0,
            self._session.charge.energy_uj(dedicated=self._conditions.dedicated),
            self.shared.logits.charged_uj if replays else 0,
            compiled_uj or 0,
            images_uj or 0,
        )
        basis = [of_trainings, of_start, self._session.basis]
        if share < 1:
            basis.append(f"Trials stop early: their epochs are those of at most {float(trials * share):.1f} trainings.")
        if compiled_uj is None:
            basis.append("Compiling the networks is not included.")
        if images_uj is None:
            basis.append("Making the images is not included.")
        return StrategyEstimate(
            strategy=name,
            trials=trials,
            gflops_millions=trials * share * workload.nominal_flops(epochs, teacher_epochs=teacher_epochs) / 1e15
            + (before.gflops_millions if before else 0),
            training_flops=round(trials * share * (flops + meta_flops))
            + (before.training_flops if before else 0)
            + (workload.teacher_passes_flops(self.shared.logits.passes) if replays else 0),
            wall_s=wall_s,
            charged_uj=None if charged_uj is None else round(charged_uj),
            complete=complete and self._session.complete and None not in (compiled_uj, images_uj),
            basis=tuple(basis),
        )

    def before(self, name: str) -> StrategyEstimate | None:
        """Return the estimate of the strategy with whose students another one begins, without the session's cost.

        It is None if the strategy begins untrained.
        """
        label = predecessor(self._study, name)
        if label is None:
            return None
        found = self.strategy(label, sum(one.expected_trials() for one in make_strategies(self._study, label)))
        session_uj = self._session.charge.energy_uj(dedicated=self._conditions.dedicated)
        own_uj = sum_or_none(found.charged_uj, None if session_uj is None else -session_uj)
        return replace(found, charged_uj=None if own_uj is None else round(own_uj))

    def _of_trainings(self, name: str, epochs: int) -> tuple[Workload, int]:
        """Return the workload of a strategy's trainings, and the FLOPs that meta-gradients add to one of them."""
        whole, recipe = self._workload, first_recipe(self._study, name)
        if recipe is None:
            return whole, 0
        images = whole.train_images
        meta_flops = whole.student_passes_flops(recipe.meta_passes(images) * epochs)
        return whole.trained_on(recipe.trained_images(images)), meta_flops

    def compiled_uj(self, name: str) -> int | None:
        """Return the energy of earlier compilation that a strategy will be charged, in microjoules.

        Args:
            name: The strategy's label.

        Returns:
            0 if nothing is compiled for the strategy; None if the code has not been compiled yet.
        """
        if predecessor(self._study, name):
            return 0
        return self.shared.compiled_uj(live_teacher=uses_teacher(self._study, name) and not self._stores)

    def teacher(self, *, missing: int) -> TeacherEstimate:
        """Return the estimate of the training of the teacher, or of the evaluation of a given one, without start-up.

        Args:
            missing: Number of teachers that are not in the cache yet.
        """
        model, epochs = str(self._study.teacher), self._study.teacher_training.epochs
        given = self._study.teacher_weights is not None
        if not missing:
            return TeacherEstimate(model, True, gflops_millions=0.0, wall_s=0.0, charged_uj=0, given=given, missing=0)
        if given:
            work, flops = self._timings.teacher_measuring(self._of_teacher), 0.0
        else:
            work = self._timings.teacher_training(self._of_teacher, epochs)
            flops = self._of_teacher.teacher_flops(epochs) / 1e15
        nothing = StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))
        wall_s, energy_uj = strategy_charge(1, work, self._idle_uw(1), nothing, self._conditions)
        charged_uj = None if energy_uj is None else round(missing * energy_uj)
        return TeacherEstimate(model, False, missing * flops, missing * wall_s, charged_uj, given, missing)

    def _idle_uw(self, trials: int) -> float | None:
        """Return the idle power that is charged while ``trials`` trials run, in microwatts."""
        return self._timings.idle_for(trials, self._conditions)

    def _epoch(
        self, name: str, trials: int, workload: Workload, look_aheads: float, *, with_teacher: bool
    ) -> tuple[WorkUsage, float | None, str]:
        """Return the usage of one epoch, the idle power outside of it (microwatts), and the source in words.

        Args:
            name: The strategy's label.
            trials: Expected number of its trials.
            workload: Sizes of its trainings.
            look_aheads: What meta-gradients add to timed steps, as a fraction; earlier epochs include them already.
            with_teacher: Whether the epoch needs the teacher.
        """
        comparable = [
            one
            for one in self._earlier
            if has_same_epochs(one, self._study, name, self._resources, with_teacher=with_teacher)
        ]
        for one in self._nearest(comparable, name, trials):
            if one.phases:
                return one.phases.epoch, 0.0, f"Trainings as in {one.label}."
        kind = step_kind(self._study, name, with_teacher=with_teacher)
        timed = self._timings.batches[kind]
        batch = min(self._study.training.batch_size, self._workload.train_images)
        fewer = "" if timed >= batch else f", timed with {timed} of the {batch} images of a batch"
        epoch = self._timings.student_epoch(workload, with_teacher=with_teacher, kind=kind) * (1 + look_aheads)
        if own := trial_images(self._study):
            epoch = epoch + self._timings.per_image["trial_images"] * own
        if predecessor(self._study, name):  # spread over the epochs, as those of earlier ledgers have it
            epoch = epoch + self._timings.per_image["conversion"] * (1 / epochs_of(self._study, name)[0])
        return epoch, self._idle_uw(trials), f"Trainings from timed steps of the real networks on this machine{fewer}."

    def _overhead(self, name: str, trials: int) -> tuple[StrategyOverhead, bool, str]:
        """Return the cost besides the trainings, whether it is complete, and its source in words."""
        for one in self._nearest(self._earlier, name, trials):
            if one.phases:
                return one.phases.overhead, True, f"Starting workers and the final evaluation as in {one.label}."
        setup = self._timings.setup
        if setup is None:
            return (
                StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0)),
                False,
                "The start of the training processes is not included.",
            )
        workers = min(self._conditions.slots, trials)
        overhead = setup_overhead(setup, workers, self._idle_uw(workers), self._hardware.ram_uw)
        return (
            overhead,
            False,
            f"Start of a worker as timed here ({setup.wall_s:.1f} s), without Ray's share.",
        )

    def _nearest(self, earlier: Iterable[CompletedStrategy], name: str, trials: int) -> list[CompletedStrategy]:
        """Sort earlier strategies: the same strategy first, then by similar number of trials, then the newest."""
        return sorted(earlier, key=lambda one: (one.strategy != name, abs(math.log(one.trials / trials))))
