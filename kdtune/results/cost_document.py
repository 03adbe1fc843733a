"""The dataclasses of the ``cost`` in ``result.json``: what a strategy used and is charged, and on which machines."""

from dataclasses import dataclass
from typing import Literal

from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.node import Hardware, Quality
from kdtune.storage.records import strict

#: Energy in microjoules by bucket.
ByBucket = dict[str, int]

#: Energy in microjoules by what used it and how that is known, such as ``cpu_counter``.
BySource = dict[str, int]

#: What a strategy is charged of what it shares, in microjoules: by kind, and by the id of each.
Inputs = dict[str, dict[str, int]]


@strict
@dataclass(frozen=True)
class Gpu:
    """A GPU of a node.

    Attributes:
        uuid: As the driver gives it.
        name: Of the model.
        quality: How its energy is known.
    """

    uuid: str
    name: str
    quality: Quality


@strict
@dataclass(frozen=True)
class Node:
    """A metered machine.

    Attributes:
        node: The host's name.
        cpu_model: As the CPU calls itself.
        cores: Logical cores.
        cpu_quality: How the CPU's energy is known.
        tdp_w: Power that a modelled CPU draws when busy, in watts.
        tdp_known: Whether that is the design power of this CPU.
        ram_w: Power of the memory, in watts.
        gpus: The GPUs in Ray's pool.
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
        """The node that a ledger's hardware record describes."""
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
        """In words; several machines that are alike are described alike."""
        return ", ".join([f"{self.cores} cores of {self.cpu_model}", *sorted(gpu.name for gpu in self.gpus)])


@strict
@dataclass(frozen=True)
class TrialCounts:
    """How many trials ended in which way."""

    completed: int
    pruned: int
    failed: int
    interrupted: int


@strict
@dataclass(frozen=True)
class SharedEnergy:
    """What a strategy is charged of what it shares with others, in microjoules; None where it is not known."""

    session: int | None
    teacher_logits: int | None
    compilation: int | None

    @property
    def known_uj(self) -> int:
        """The sum of what is known."""
        return sum(uj or 0 for uj in (self.session, self.teacher_logits, self.compilation))


@strict
@dataclass(frozen=True)
class AbandonedParts:
    """What runs that ``--fresh`` put aside took, in microjoules: ``own``, and by kind and id what they shared."""

    own: int
    session: dict[str, int]
    teacher_logits: dict[str, int]
    compilation: dict[str, int]

    @property
    def inputs(self) -> Inputs:
        """What they shared, by kind and id."""
        return {"session": self.session, "teacher_logits": self.teacher_logits, "compilation": self.compilation}

    @property
    def sum_uj(self) -> int:
        """All of it."""
        return self.own + sum(sum(by_id.values()) for by_id in self.inputs.values())


@strict
@dataclass(frozen=True)
class Cost:
    """What a strategy cost; energy is None where nothing was metered.

    Attributes:
        models: Repeats that came to a model.
        trials: By how they ended.
        gflops_millions: The paper's column: forward passes, in 1e15 FLOPs.
        training_flops: Executed FLOPs of all trainings, without epochs that were repeated after a kill.
        energy_uj: The strategy's own energy by bucket, and their sum as ``node_total``.
        sources_uj: The same by bucket and source.
        uncertainty_uj: By bucket, and of all that is charged.
        shared_uj: Charges for what it shares with others.
        shared_parts_uj: The same by kind and id.
        gap_uj: What nodes used while no meter ran.
        abandoned_uj: What runs took that ``--fresh`` put aside.
        abandoned_parts_uj: The same in parts.
        charged_kwh: The charge of all repeats, PUE included, as in all figures in kWh and g.
        per_repeat_kwh: The charge of one model.
        training_kwh: Trials, evaluation and the passes of the teacher that replayed logits took.
        charged_co2_g: Of the charge.
        teacher_kwh: The teacher's training; 0 for a strategy without a teacher.
        with_teacher_kwh: The charge and the teacher's training.
        with_teacher_co2_g: Of the same.
        car_km: Kilometres that a new car of 2018 drives for ``charged_co2_g``.
        wall_s: Seconds that were metered.
        gpu_hours: GPU time that Ray gave to trials.
        attribution: Whether idle power is charged.
        quality: The least trustworthy source of CPU and GPU energy.
        flags: How often something could not be known; see :data:`kdtune.energy.attribution.FLAGS`.
        carbon: How energy became CO2.
        hardware: Of each node.
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

    def of_one_model(self, total: float | None) -> float | None:
        """What of a total one model answers for; None where there is no model, or no total.

        A repeat that came to no model makes the others dearer.
        """
        return None if total is None or not self.models else total / self.models
