"""Arithmetic of estimates: time and energy of a study before it runs, from timings or from an earlier ledger.

The model is the one that :mod:`kdtune.energy.attribution` applies afterwards: static power (of the memory, and of an
idle machine as shown by its counters) multiplied by time, plus the energy of the work itself. An unknown value is None,
and so is each sum that contains one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware

#: Kinds of work in a study: a student's step with a teacher and without one, an evaluation of the student, computing
#: the teacher's logits for the logit store, steps and evaluations of the teacher's own training, making images from the
#: teacher, once for all trainings or in each of them against its own student, steps of a student that is being
#: quantised, with training and without, and its conversion, which is counted as one image.
WorkKind = Literal[
    "distilling",
    "labels",
    "evaluation",
    "teacher_logits",
    "teacher",
    "teacher_evaluation",
    "synthesis",
    "trial_images",
    "quantising",
    "calibrating",
    "conversion",
]

#: Kinds of work in training a teacher.
TEACHER_WORK: tuple[WorkKind, ...] = ("teacher", "teacher_evaluation")


@dataclass(frozen=True)
class WorkUsage:
    """Time and energy of a piece of work on one worker.

    Attributes:
        wall_s: Elapsed seconds.
        cpu_s: CPU seconds of the process.
        active_uj: Energy that an idle machine would not have used, in microjoules; None if unknown.
    """

    wall_s: float
    cpu_s: float
    active_uj: float | None

    def __mul__(self, times: float) -> "WorkUsage":
        energy = None if self.active_uj is None else self.active_uj * times
        return WorkUsage(self.wall_s * times, self.cpu_s * times, energy)

    def __add__(self, other: "WorkUsage") -> "WorkUsage":
        return WorkUsage(
            self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, sum_or_none(self.active_uj, other.active_uj)
        )


def sum_or_none(*parts: float | None) -> float | None:
    """Return the sum of some values, or None if one of them is None."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def modelled_cpu_uj(hardware: Hardware, cpu_s: float) -> float:
    """Return the energy of CPU time in microjoules, modelled as design power times the fraction of busy cores."""
    return cpu_s * hardware.tdp_uw / hardware.cores


@dataclass(frozen=True)
class Timings:
    """Results of timing a few steps of the real networks on this machine.

    Attributes:
        per_image: Usage of each kind of work for one image.
        batches: Images in a timed step of each kind; fewer than in the study if a whole batch would take too long.
        idle_uw: Power of the CPUs and GPUs that have counters while they are idle, in microwatts, without the memory;
            0 if the CPU is modelled and there is no GPU, None if it could not be measured.
        setup: Usage of setting up a worker (imports and data); None if this process was set up already.
        spare_gpu_uw: Mean idle power of one GPU that the work does not use, in microwatts, a part of ``idle_uw``; 0 if
            it uses all.
    """

    per_image: Mapping[WorkKind, WorkUsage]
    batches: Mapping[WorkKind, int]
    idle_uw: float | None
    setup: WorkUsage | None
    spare_gpu_uw: float = 0.0

    def idle_for(self, trials: int, conditions: "Conditions") -> float | None:
        """Static power that is charged while some trials run, in microwatts, memory not included; None where unknown.

        That of GPUs which the study does not use is not charged to it.
        """
        return sum_or_none(self.idle_uw, -self.spare_gpu_uw * conditions.unused_gpus(trials))

    def student_epoch(self, workload: Workload, *, with_teacher: bool, kind: WorkKind | None = None) -> WorkUsage:
        """Return the usage of one epoch of a student, with its evaluation; ``kind`` is that of unusual steps."""
        step = self.per_image[kind or ("distilling" if with_teacher else "labels")]
        return step * workload.train_images + self.per_image["evaluation"] * workload.val_images

    def teacher_training(self, workload: Workload, epochs: int) -> WorkUsage:
        """Return the usage of the teacher's training, with one evaluation on the test images at the end."""
        step, evaluation = self.per_image["teacher"], self.per_image["teacher_evaluation"]
        epoch = step * workload.train_images + evaluation * workload.val_images
        return epoch * epochs + evaluation * workload.test_images

    def teacher_measuring(self, workload: Workload) -> WorkUsage:
        """Return the usage of measuring a given teacher's accuracy on the validation and the test images."""
        return self.per_image["teacher_evaluation"] * (workload.val_images + workload.test_images)


@dataclass(frozen=True)
class TimeAndEnergy:
    """Time and charged energy of work other than trainings.

    Attributes:
        wall_s: Elapsed seconds.
        charged_uj: Energy that is charged to a study on a dedicated node, in microjoules; None if unknown.
        idle_uj: The part of it that is idle energy, which ``attribution = "shared"`` does not charge; None if unknown.
    """

    wall_s: float
    charged_uj: float | None
    idle_uj: float | None

    def __add__(self, other: "TimeAndEnergy") -> "TimeAndEnergy":
        charged_uj, idle_uj = sum_or_none(self.charged_uj, other.charged_uj), sum_or_none(self.idle_uj, other.idle_uj)
        return TimeAndEnergy(self.wall_s + other.wall_s, charged_uj, idle_uj)

    def energy_uj(self, *, dedicated: bool) -> float | None:
        """Return the charged energy in microjoules, with idle energy only if the node is dedicated."""
        if dedicated:
            return self.charged_uj
        return sum_or_none(self.charged_uj, None if self.idle_uj is None else -self.idle_uj)


@dataclass(frozen=True)
class StrategyOverhead:
    """Time and energy of a strategy outside its trainings.

    Attributes:
        fixed: Charge before the first trial and after the last one: starting workers, the final evaluation.
        gap_s: Seconds between two consecutive trials of a worker.
        gap_uj: Energy per trial that is used outside the trials while the strategy trains, in microjoules, without the
            memory.
    """

    fixed: TimeAndEnergy
    gap_s: float = 0.0
    gap_uj: float = 0.0


def setup_overhead(setup: WorkUsage, workers: int, idle_uw: float | None, ram_uw: int) -> StrategyOverhead:
    """Return the overhead that is known without an earlier ledger: setting up the workers, at the same time.

    Args:
        setup: Usage of setting up one worker.
        workers: Number of workers.
        idle_uw: Power of the idle node without its memory, in microwatts; None if unknown.
        ram_uw: Power of the memory, in microwatts.
    """
    power_uw = None if idle_uw is None else idle_uw + ram_uw
    idle_uj = None if power_uw is None else power_uw * setup.wall_s
    return StrategyOverhead(TimeAndEnergy(setup.wall_s, sum_or_none((setup * workers).active_uj, idle_uj), idle_uj))


@dataclass(frozen=True)
class Conditions:
    """Conditions under which trials will run.

    Attributes:
        slots: Number of trials that run at the same time.
        cpus: Cores that each trial holds.
        cores: Cores of the node.
        ram_uw: Power of the node's memory, in microwatts.
        dedicated: Whether idle energy is charged; if not, the memory is charged only for the cores that trials hold.
        gpus: GPUs of the node.
        trials_per_gpu: How many trials share a GPU; 0 if they use none.
    """

    slots: int
    cpus: float
    cores: int
    ram_uw: int
    dedicated: bool = True
    gpus: int = 0
    trials_per_gpu: int = 0

    def unused_gpus(self, trials: int) -> int:
        """Return how many of the node's GPUs some trials leave unused. Ray fills one GPU before it takes the next."""
        if not self.trials_per_gpu:
            return 0
        return max(0, self.gpus - math.ceil(min(trials, self.slots) / self.trials_per_gpu))

    def memory_uj(self, wall_s: float, trials_s: float) -> float:
        """Return the charged energy of the memory in microjoules.

        Args:
            wall_s: Elapsed seconds.
            trials_s: Sum of the durations of all trials, in seconds.
        """
        return self.ram_uw * (wall_s if self.dedicated else trials_s * self.cpus / self.cores)


def strategy_charge(
    trials: int, trial: WorkUsage, idle_uw: float | None, overhead: StrategyOverhead, conditions: Conditions
) -> tuple[float, float | None]:
    """Return the expected time and energy of a strategy, without what it shares with other strategies.

    Args:
        trials: Number of trials over all repeats.
        trial: Usage of one training.
        idle_uw: Static power that ``trial`` does not include, in microwatts, without the memory; None if unknown.
        overhead: Time and energy outside the trainings.
        conditions: Conditions under which the trials run.

    Returns:
        Seconds, and charged microjoules (None if unknown).
    """
    waves = math.ceil(trials / conditions.slots)
    training_s = waves * (trial.wall_s + overhead.gap_s)
    energy = sum_or_none(
        (trial * trials).active_uj,
        None if idle_uw is None else idle_uw * training_s,
        trials * overhead.gap_uj,
        conditions.memory_uj(training_s, trials * trial.wall_s),
        overhead.fixed.energy_uj(dedicated=conditions.dedicated),
    )
    return overhead.fixed.wall_s + training_s, energy


@dataclass(frozen=True)
class TeacherEstimate:
    """Expected cost of a study's teacher.

    Attributes:
        model: Name of the teacher's network.
        cached: Whether the teacher is in the cache, so that nothing needs to be trained.
        gflops_millions: FLOPs of its training, counted like those of the students, in units of 1e15.
        wall_s: Seconds.
        charged_uj: Energy in microjoules; None if unknown.
        given: Whether the user provides the weights, so that the teacher is only evaluated.
        missing: Number of teachers that are due, one after the other; several if repeats have teachers of their own.
    """

    model: str
    cached: bool
    gflops_millions: float
    wall_s: float
    charged_uj: int | None
    given: bool = False
    missing: int = 1


@dataclass(frozen=True)
class SynthesisEstimate:
    """Expected cost of making images from the teacher once for all trainings.

    Attributes:
        images: Number of images.
        synthesis_flops: FLOPs of making all of them, which no other figure contains.
        wall_s: Seconds, for the images that are not in the cache yet; None if unknown.
        charged_uj: Energy that each strategy is charged, in microjoules; None if unknown.
        due_uj: The part of it that must still be spent, in microjoules; None if unknown.
    """

    images: int
    synthesis_flops: int
    wall_s: float | None
    charged_uj: int | None
    due_uj: int | None


@dataclass(frozen=True)
class LogitsEstimate:
    """Expected cost of computing the teacher's logits once for all trainings.

    Attributes:
        bytes: Size on disk over all repeats.
        passes: Forward passes of the teacher, one image each, over all repeats.
        wall_s: Seconds, for the logits that are not in the cache yet.
        charged_uj: Energy that each strategy which replays logits is charged, in microjoules; None if unknown.
        due_uj: The part of it that must still be spent, in microjoules; None if unknown.
    """

    bytes: int
    passes: int
    wall_s: float
    charged_uj: int | None
    due_uj: int | None
