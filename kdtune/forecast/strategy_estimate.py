"""What a study is going to cost, worked out before it runs: arithmetic alone, from timings or an earlier ledger.

The model is the one by which :mod:`kdtune.energy.attribution` charges afterwards: power that is there anyway
(memory, and what counters show of an idle machine) times time, and on top of it what the work itself takes. What
cannot be known is None and makes every sum that it is in None.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware

#: Kinds of work that a study is made of: a student's step with its teacher and without one, an evaluation of the
#: student, the teacher's answers where they are kept, and the teacher's own training.
Work = Literal["distilling", "labels", "evaluation", "teacher_logits", "teacher", "teacher_evaluation"]

#: The work of training a teacher.
TEACHER_WORK: tuple[Work, ...] = ("teacher", "teacher_evaluation")


@dataclass(frozen=True)
class Usage:
    """What a piece of work takes on one worker.

    Attributes:
        wall_s: Seconds that pass.
        cpu_s: CPU seconds of the process.
        active_uj: Energy that would not have been used without the work, in microjoules; None where it is unknown.
    """

    wall_s: float
    cpu_s: float
    active_uj: float | None

    def __mul__(self, times: float) -> "Usage":
        energy = None if self.active_uj is None else self.active_uj * times
        return Usage(self.wall_s * times, self.cpu_s * times, energy)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, add(self.active_uj, other.active_uj))


def add(*parts: float | None) -> float | None:
    """A sum that is unknown where a part is."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def modelled_cpu_uj(hardware: Hardware, cpu_s: float) -> float:
    """Energy of CPU time under the model of design power times busy cores, in microjoules."""
    return cpu_s * hardware.tdp_uw / hardware.cores


@dataclass(frozen=True)
class Timings:
    """A few steps of the real networks, timed on the machine.

    Attributes:
        per_image: What each kind of work takes for one image.
        batches: Images in a timed step; fewer than the study's where a whole batch would have taken too long.
        idle_uw: Power of counted CPUs and GPUs while nobody works, in microwatts, memory not included; 0 where the
            CPU is modelled and there is no GPU, None where it could not be told.
        setup: What preparing a worker took: imports, and the data; None where this process was prepared already.
        spare_gpu_uw: The part of ``idle_uw`` that one GPU draws which the work did not use, the mean of them, in
            microwatts; 0 where it used all.
    """

    per_image: Mapping[Work, Usage]
    batches: Mapping[Work, int]
    idle_uw: float | None
    setup: Usage | None
    spare_gpu_uw: float = 0.0

    def idle_for(self, trials: int, conditions: "Conditions") -> float | None:
        """Static power that is charged while some trials run, in microwatts, memory not included; None where unknown.

        That of GPUs which the study does not use is not charged to it.
        """
        return add(self.idle_uw, -self.spare_gpu_uw * conditions.unused_gpus(trials))

    def student_epoch(self, workload: Workload, *, with_teacher: bool) -> Usage:
        """One epoch of a student, its evaluation included."""
        step = self.per_image["distilling" if with_teacher else "labels"]
        return step * workload.train_images + self.per_image["evaluation"] * workload.val_images

    def teacher_training(self, workload: Workload, epochs: int) -> Usage:
        """The teacher's whole training, with its one look at the test images."""
        step, evaluation = self.per_image["teacher"], self.per_image["teacher_evaluation"]
        epoch = step * workload.train_images + evaluation * workload.val_images
        return epoch * epochs + evaluation * workload.test_images

    def teacher_measuring(self, workload: Workload) -> Usage:
        """One look at the validation and the test images, of a teacher that was given."""
        return self.per_image["teacher_evaluation"] * (workload.val_images + workload.test_images)


@dataclass(frozen=True)
class Charge:
    """Time, and energy that is charged, of something that is not training.

    Attributes:
        wall_s: Seconds.
        charged_uj: What a study on a node of its own answers for, in microjoules; None where it is unknown.
        idle_uj: The part of it that is static power, which ``attribution = "shared"`` leaves out.
    """

    wall_s: float
    charged_uj: float | None
    idle_uj: float | None

    def __add__(self, other: "Charge") -> "Charge":
        charged_uj, idle_uj = add(self.charged_uj, other.charged_uj), add(self.idle_uj, other.idle_uj)
        return Charge(self.wall_s + other.wall_s, charged_uj, idle_uj)

    def energy_uj(self, *, dedicated: bool) -> float | None:
        """What is charged, in microjoules."""
        return self.charged_uj if dedicated else add(self.charged_uj, None if self.idle_uj is None else -self.idle_uj)


@dataclass(frozen=True)
class Overhead:
    """What a strategy takes beside its trainings.

    Attributes:
        fixed: Before its first trial and after its last: starting workers, the final evaluation.
        gap_s: Seconds from a trial's end to the next one's beginning in a worker.
        gap_uj: Energy for each trial outside the trial, memory not included, in microjoules.
    """

    fixed: Charge
    gap_s: float = 0.0
    gap_uj: float = 0.0


def setup_overhead(setup: Usage, workers: int, idle_uw: float | None, ram_uw: int) -> Overhead:
    """The overhead as far as it is known without a ledger: workers that start side by side."""
    power_uw = None if idle_uw is None else idle_uw + ram_uw
    idle_uj = None if power_uw is None else power_uw * setup.wall_s
    return Overhead(Charge(setup.wall_s, add((setup * workers).active_uj, idle_uj), idle_uj))


@dataclass(frozen=True)
class Conditions:
    """How trials are going to run.

    Attributes:
        slots: How many run side by side.
        cpus: Cores that each holds.
        cores: Of the node.
        ram_uw: Power of the node's memory, in microwatts.
        dedicated: Whether the node's static power is charged whole, or as the trials hold the node.
        gpus: Of the node.
        trials_per_gpu: How many trials share a GPU; 0 where they use none.
    """

    slots: int
    cpus: float
    cores: int
    ram_uw: int
    dedicated: bool = True
    gpus: int = 0
    trials_per_gpu: int = 0

    def unused_gpus(self, trials: int) -> int:
        """How many of the node's GPUs some trials leave unused; Ray fills one GPU before it takes the next."""
        if not self.trials_per_gpu:
            return 0
        return max(0, self.gpus - math.ceil(min(trials, self.slots) / self.trials_per_gpu))

    def memory_uj(self, wall_s: float, trials_s: float) -> float:
        """Charged energy of the memory, in microjoules.

        Args:
            wall_s: Seconds that pass.
            trials_s: Seconds of all trials together.
        """
        return self.ram_uw * (wall_s if self.dedicated else trials_s * self.cpus / self.cores)


def strategy_charge(
    trials: int, trial: Usage, idle_uw: float | None, overhead: Overhead, conditions: Conditions
) -> tuple[float, float | None]:
    """What a strategy takes by itself, without what it shares with others.

    Args:
        trials: Over all repeats.
        trial: What one training takes.
        idle_uw: Static power that is not in ``trial``, memory not included.
        overhead: What comes on top.
        conditions: How they run.

    Returns:
        Seconds, and microjoules; None where they are unknown.
    """
    waves = math.ceil(trials / conditions.slots)
    training_s = waves * (trial.wall_s + overhead.gap_s)
    energy = add(
        (trial * trials).active_uj,
        None if idle_uw is None else idle_uw * training_s,
        trials * overhead.gap_uj,
        conditions.memory_uj(training_s, trials * trial.wall_s),
        overhead.fixed.energy_uj(dedicated=conditions.dedicated),
    )
    return overhead.fixed.wall_s + training_s, energy


@dataclass(frozen=True)
class StrategyEstimate:
    """What a strategy is expected to take, over all repeats.

    Attributes:
        strategy: Its name.
        trials: At most.
        gflops_millions: The paper's column; forward passes, in 1e15 FLOPs.
        training_flops: What its trainings execute.
        wall_s: Seconds, without what it shares with others; None where that is unknown.
        charged_uj: Energy that it will be charged, its session as if it ran alone, in microjoules; None where unknown.
        complete: Whether starting up is in it; else the figures are the least that it will take.
        basis: In words, where the figures come from.
    """

    strategy: str
    trials: int
    gflops_millions: float
    training_flops: int
    wall_s: float | None
    charged_uj: int | None
    complete: bool
    basis: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """As it stands in files."""
        return asdict(self)


@dataclass(frozen=True)
class TeacherEstimate:
    """What the teacher of a study is expected to take.

    Attributes:
        model: Its name.
        cached: Whether it is in the cache already, so that it takes nothing.
        gflops_millions: Of its training, counted like the students'.
        wall_s: Seconds.
        charged_uj: In microjoules; None where unknown.
        given: Whether the user brings its weights, so that it is measured alone.
    """

    model: str
    cached: bool
    gflops_millions: float
    wall_s: float
    charged_uj: int | None
    given: bool = False


@dataclass(frozen=True)
class LogitsEstimate:
    """What asking the teacher once for all trainings is expected to take.

    Attributes:
        bytes: On the disk, over all repeats.
        passes: Of the teacher, an image each, over all repeats.
        wall_s: Seconds, for what is not in the cache yet.
        charged_uj: What every strategy that replays is charged for it, in microjoules; None where unknown.
        due_uj: The part of it that is still to be spent.
    """

    bytes: int
    passes: int
    wall_s: float
    charged_uj: int | None
    due_uj: int | None
