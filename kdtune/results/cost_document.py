"""Dataclasses of the ``cost`` in ``result.json``."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.node import Hardware, Quality
from kdtune.storage.records import LEFT_OUT_IF_NONE, strict
from kdtune.storage.wording import counted

#: Energy in microjoules by bucket.
ByBucket = dict[str, int]

#: Energy in microjoules by device and by how it was obtained, such as ``cpu_counter``.
BySource = dict[str, int]

#: Energy of shared inputs in microjoules, by kind and id.
Inputs = dict[str, dict[str, int]]


@strict
@dataclass(frozen=True)
class Gpu:
    """A GPU of a node.

    Attributes:
        uuid: UUID from the driver.
        name: Name of the model.
        quality: How the energy of the GPU was obtained.
    """

    uuid: str
    name: str
    quality: Quality


@strict
@dataclass(frozen=True)
class Node:
    """A metered node.

    Attributes:
        node: Name of the host.
        cpu_model: Model name that the CPU reports.
        cores: Number of logical cores.
        cpu_quality: How the energy of the CPU was obtained.
        tdp_w: Power of a busy CPU in the model, in watts.
        tdp_known: Whether ``tdp_w`` is the design power of this CPU.
        ram_w: Power of the memory, in watts.
        gpus: GPUs that Ray may allocate.
    """

    node: str
    cpu_model: str
    cores: int
    cpu_quality: Quality
    tdp_w: float
    tdp_known: bool
    ram_w: float
    gpus: tuple[Gpu, ...]

    @classmethod
    def of(cls, hardware: Hardware) -> "Node":
        """Return the node that the hardware record of a ledger describes."""
        gpus = tuple(Gpu(uuid, name, hardware.gpu_quality[uuid]) for uuid, name in hardware.gpus.items())
        return cls(
            hardware.node,
            hardware.cpu_model,
            hardware.cores,
            hardware.cpu_quality,
            hardware.tdp_uw / 1e6,
            hardware.tdp_known,
            hardware.ram_uw / 1e6,
            gpus,
        )

    def __str__(self) -> str:
        """Return a description, which is the same for nodes with the same hardware."""
        return ", ".join([f"{counted(self.cores, 'core')} of {self.cpu_model}", *sorted(gpu.name for gpu in self.gpus)])


@strict
@dataclass(frozen=True)
class TrialCounts:
    """Number of trials by how they ended."""

    completed: int
    pruned: int
    failed: int
    interrupted: int


@strict
@dataclass(frozen=True)
class SharedEnergy:
    """Charges for shared inputs, in microjoules; None if a charge is unknown."""

    session: int | None
    teacher_logits: int | None
    compilation: int | None
    synthesis: int | None = 0
    students: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def known_uj(self) -> int:
        """Sum of the known charges."""
        return sum(uj or 0 for uj in asdict(self).values())


@strict
@dataclass(frozen=True)
class AbandonedParts:
    """Energy of runs that ``--fresh`` put aside, in microjoules: ``own`` energy, and shared inputs by kind and id."""

    own: int
    session: dict[str, int]
    teacher_logits: dict[str, int]
    compilation: dict[str, int]
    synthesis: dict[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> Inputs:
        """Energy of the shared inputs, by kind and id."""
        return {
            "session": self.session,
            "teacher_logits": self.teacher_logits,
            "compilation": self.compilation,
            "synthesis": self.synthesis,
        }

    @property
    def sum_uj(self) -> int:
        """Total energy."""
        return self.own + sum(sum(by_id.values()) for by_id in self.inputs.values())


@strict
@dataclass(frozen=True)
class Cost:
    """Cost of a strategy. Energy is None if nothing was metered.

    Attributes:
        models: Number of repeats that produced a model.
        trials: Number of trials by how they ended.
        gflops_millions: The paper's column: FLOPs of forward passes, in 1e15.
        training_flops: Executed FLOPs of all trials, without epochs that were repeated after a kill.
        energy_uj: The strategy's own energy by bucket, and the sum of the buckets as ``node_total``.
        sources_uj: The strategy's own energy by bucket and source.
        uncertainty_uj: Uncertainty of each bucket, and of the whole charge.
        shared_uj: Charges for shared inputs.
        shared_parts_uj: Charges for shared inputs by kind and id.
        gap_uj: Energy that the nodes used while no meter ran.
        abandoned_uj: Energy of runs that ``--fresh`` put aside.
        abandoned_parts_uj: The parts of ``abandoned_uj``.
        charged_kwh: Charge of all repeats. All figures in kWh and g include the PUE.
        per_repeat_kwh: Charge of one model.
        training_kwh: Trials, evaluation, and the teacher's passes for replayed logits.
        charged_co2_g: CO2 of the charge.
        teacher_kwh: Energy of the teacher's training; 0 for a strategy without a teacher, and the sum of all trainings
            if the repeats have teachers of their own.
        with_teacher_kwh: Sum of the charge and the teacher's training.
        with_teacher_co2_g: CO2 of ``with_teacher_kwh``.
        car_km: Kilometres that a new car of 2018 drives for ``charged_co2_g``.
        wall_s: Metered time in seconds.
        gpu_hours: GPU time that Ray allocated to trials.
        attribution: ``dedicated`` if idle energy is charged, otherwise ``shared``.
        quality: The least reliable source of CPU and GPU energy.
        flags: Number of occurrences of each flag of :data:`kdtune.energy.attribution.FLAGS`.
        carbon: Factors that convert energy to CO2.
        hardware: The metered nodes.
        synthesis_flops: FLOPs of making synthetic images, which are part of no other figure; None if there are none.
        trial_synthesis_uj: The part of ``trials`` that made images against the trials' own students, in microjoules;
            None if no trial did.
        meta_flops: Those of the executed FLOPs that meta-gradients added; None if there are none.
        teachers: Number of teachers in ``teacher_kwh`` if the repeats have teachers of their own; None otherwise.
    """

    models: int
    trials: TrialCounts
    gflops_millions: float
    training_flops: int
    energy_uj: dict[str, int | None]
    sources_uj: dict[str, BySource] | None
    uncertainty_uj: ByBucket | None
    shared_uj: SharedEnergy
    shared_parts_uj: Inputs
    gap_uj: int | None
    abandoned_uj: int
    abandoned_parts_uj: AbandonedParts
    charged_kwh: float | None
    per_repeat_kwh: float | None
    training_kwh: float | None
    charged_co2_g: float | None
    teacher_kwh: float | None
    with_teacher_kwh: float | None
    with_teacher_co2_g: float | None
    car_km: float | None
    wall_s: float | None
    gpu_hours: float | None
    attribution: Literal["dedicated", "shared"]
    quality: Quality | None
    flags: dict[str, int]
    carbon: Carbon
    hardware: tuple[Node, ...]
    meta_flops: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    synthesis_flops: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    trial_synthesis_uj: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    teachers: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    def of_one_model(self, total: float | None) -> float | None:
        """Divide a total between the models; None if there is no model or no total.

        Repeats that produced no model are included, so they increase the cost of the others.
        """
        return None if total is None or not self.models else total / self.models
