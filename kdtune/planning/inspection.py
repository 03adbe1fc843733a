"""Result of inspecting a study's data and networks before anything is trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kdtune.artifacts.logit_store import LogitStore
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.artifacts.teacher_chance import chance_problem
from kdtune.artifacts.teacher_record import read_record
from kdtune.energy.flops import Workload
from kdtune.forecast.strategy_estimate import Timings
from kdtune.planning.trial_plan import settled_strategies
from kdtune.specs.numerics import Numerics
from kdtune.specs.study import Study
from kdtune.strategies.equal_cost import DistillationCost


@dataclass(frozen=True)
class Inspection:
    """Facts about a study that follow from its data and networks.

    Attributes:
        workload: Sizes from which FLOPs are computed: the fields of :class:`kdtune.energy.flops.Workload`.
        teacher_folder: Folder of the teacher in the cache, whether or not it exists yet.
        fingerprint: Fingerprint of the data.
        versions: Versions of Python and of the packages that affect results, and the device.
        missing_teachers: Number of teachers that are not in the cache: neither trained, nor given and evaluated.
        numerics: Numerics of all trainings, completely resolved.
        teacher_logits: ``live`` or ``replay``.
        logit_stores: Logit store of each repeat; repeats with the same images share one. Empty if the teacher is live.
        compilations: Folders of compiled code. The keys say whether a training computes the teacher's logits in every
            step. Empty if networks are not compiled.
        remarks: Remarks for the user.
        timings: Timings of a few steps; None if they were not requested.
        synthesis: Images that are made from the teacher, whether or not they exist yet; None for real images.
        teacher_workload: As ``workload``, with the images of the teacher's own training where these are others.
        energy_multiple: Training energy of a distillation divided by that of the student alone, with four decimals;
            None if no strategy needs it.
        reduce_range: Whether activations of quantised students should use 7 of 8 bits, since this CPU lacks VNNI
            instructions.
        repeat_teachers: Folder of the teacher of each repeat, by its seed; empty if all repeats share one.
        epoch_synthesis_flops: FLOPs of the images that a training makes before each epoch against its own student.
    """

    workload: dict[str, int]
    teacher_folder: str
    fingerprint: str
    versions: dict[str, str]
    missing_teachers: int
    numerics: Numerics
    teacher_logits: Literal["live", "replay"]
    logit_stores: list[LogitStore]
    compilations: dict[bool, str]
    remarks: tuple[str, ...]
    timings: Timings | None
    energy_multiple: float | None
    reduce_range: bool
    synthesis: SharedSynthesis | None = None
    teacher_workload: dict[str, int] | None = None
    repeat_teachers: dict[int, str] = field(default_factory=dict)
    epoch_synthesis_flops: int = 0

    @property
    def of_teacher(self) -> Workload:
        """Sizes from which the FLOPs of the teacher's own training are computed."""
        return Workload(**(self.teacher_workload or self.workload))

    def teacher_of(self, seed: int) -> str:
        """Return the folder of the teacher of the repeat with a seed."""
        return self.repeat_teachers.get(seed, self.teacher_folder)

    @property
    def teacher_folders(self) -> list[str]:
        """Folders of all teachers, that of the first repeat first."""
        return list(dict.fromkeys([self.teacher_folder, *self.repeat_teachers.values()]))

    def chance_problem(self, study: Study) -> str | None:
        """Return the message about the first given teacher that is at chance; None for those that are not measured yet.

        Args:
            study: The study, whose teachers' weights the user gave.
        """
        records = filter(None, map(read_record, map(Path, self.teacher_folders)))
        return next(filter(None, (chance_problem(study, record, self.of_teacher) for record in records)), None)

    def settle(self, study: Study) -> Study:
        """Return the inspected study with all open settings resolved."""
        computed = study.model_copy(update={"numerics": self.numerics, "teacher_logits": self.teacher_logits})
        cost = DistillationCost(Workload(**self.workload).distillation_ratio, self.energy_multiple)
        return settled_strategies(computed, cost)
