"""Dataclasses of ``shared.json``: the inputs that a strategy shares with others and is charged for, with their energy.

An input is a session, a teacher, a store of the teacher's logits, compiled code, synthetic images, or
the students of another strategy.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Annotated

from pydantic import Field

from kdtune.artifacts.teacher_record import TeacherRecord
from kdtune.energy.sensors.node import Quality
from kdtune.results.cost_document import Inputs
from kdtune.results.documents import Bucket, BucketOrTotal, Flag, Source
from kdtune.storage.field_types import Accuracy, Amount, Count
from kdtune.storage.records import LEFT_OUT_IF_NONE, strict

_ByBucket = Annotated[dict[BucketOrTotal, Count], Field(min_length=6)]

#: Kinds of shared inputs that a strategy is charged for. The teacher is not among them: it is reported separately.
KINDS = ("session", "teacher_logits", "compilation", "synthesis")

#: A further kind, of strategies that begin with the students of another one. Runs that are put aside do not count it,
#: since that strategy's own results do.
STUDENTS = "students"

#: All kinds that a charge can include.
CHARGED_KINDS = (*KINDS, STUDENTS)


@strict
@dataclass(frozen=True)
class LedgerSummary:
    """Summary of the energy ledgers of a shared input.

    Attributes:
        energy_uj: Energy by bucket, and the sum of the buckets as ``node_total``, in microjoules.
        sources_uj: Energy by bucket and source, in microjoules.
        charged_uj: Energy that is charged to a strategy, in microjoules.
        gap_uj: Energy that the nodes used while no meter ran, in microjoules.
        flags: Number of occurrences of each flag of :data:`kdtune.energy.attribution.FLAGS`.
        wall_s: Metered time in seconds.
        quality: The least reliable source of the energy.
    """

    energy_uj: _ByBucket
    sources_uj: Annotated[dict[Bucket, dict[Source, Count]], Field(min_length=5)]
    charged_uj: Count
    gap_uj: Count
    flags: dict[Flag, Count]
    wall_s: Amount
    quality: Quality


@strict
@dataclass(frozen=True)
class TeacherEnergy:
    """Energy of a teacher in folders of earlier releases, which have a part of the fields of :class:`LedgerSummary`."""

    charged_uj: Count
    energy_uj: _ByBucket | None = None
    flags: dict[Flag, Count] = field(default_factory=dict)


@strict
@dataclass(frozen=True, kw_only=True)
class Teacher(TeacherRecord):
    """A teacher and the energy of its training.

    Attributes:
        epochs: As in :class:`TeacherRecord`; None also in folders of earlier releases that did not record it.
        val_loss: As in :class:`TeacherRecord`; None in such folders.
        key: Name of the teacher's folder in the cache.
        gflops_millions: FLOPs of the training, in 1e15; None for a teacher whose weights the user gave.
        energy: Energy of the training, or of the evaluation if the user gave the weights; None if it was not metered.
        count: Number of teachers whose means this record has, for tables; None for one teacher.
    """

    epochs: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    val_loss: float | None = None  # type: ignore[assignment]
    key: str
    gflops_millions: Amount | None
    energy: LedgerSummary | TeacherEnergy | None
    count: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def training(self) -> LedgerSummary | TeacherEnergy | None:
        """Energy of the training; None if it is unknown, as for a teacher whose weights the user gave."""
        return None if self.given else self.energy


@strict
@dataclass(frozen=True)
class TeacherLogitsInput:
    """A store of teacher logits: the number of images that the teacher processed to fill it, and the energy of that."""

    passes: Count
    energy: LedgerSummary | None


@strict
@dataclass(frozen=True)
class CompilationInput:
    """Compiled code of the networks, by the energy of compiling it."""

    energy: LedgerSummary | None


@strict
@dataclass(frozen=True)
class SynthesisInput:
    """Images that were made from the teacher.

    Attributes:
        images: Their number, those that are held out included.
        flops: FLOPs of making them.
        confidence: The teacher's mean probability of the class that it gives an image.
        target_agreement: Share of the images that the teacher gives the class that they were made for.
        diversity: Root mean square difference of a pixel between two of the images, with pixels from 0 to 1.
        class_counts: How many images the teacher gives each class.
        sha256: Checksum of their file.
        energy: Energy of making them; None if it was not metered.
    """

    images: Count
    flops: Count
    confidence: Accuracy
    target_agreement: Accuracy
    diversity: Amount
    class_counts: tuple[Count, ...]
    sha256: str
    energy: LedgerSummary | None


@strict
@dataclass(frozen=True)
class StudentsInput:
    """The students of another strategy, with which a strategy begins, by the cost of its whole search.

    What that strategy shares with others (sessions, logits, code) is listed with the inputs of the own strategy.

    Attributes:
        energy: Energy of its own ledgers; None if it was not metered.
        trials: Number of its trials in each repeat.
        gflops_millions: Its FLOPs as in the paper's column, in 1e15.
        training_flops: FLOPs that it executed.
        meta_flops: Those of them that meta-gradients added; None if there are none.
    """

    energy: LedgerSummary | None
    trials: tuple[Count, ...]
    gflops_millions: Amount
    training_flops: Count
    meta_flops: Count | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@strict
@dataclass(frozen=True)
class SharedInputs:
    """The inputs that a strategy shares with others, by their ids.

    Attributes:
        sessions: Sessions that ran the strategy.
        teacher: The teacher; that of the first repeat if repeats have teachers of their own.
        teacher_logits: Stores of the teacher's logits.
        compilations: Compiled code.
        synthesis: Images that were made from the teacher.
        other_teachers: Teachers of further repeats by key; None if all repeats share one.
        students: Students of the strategy with which this one begins; None if it begins untrained.
    """

    sessions: dict[str, LedgerSummary] = field(default_factory=dict)
    teacher: Teacher | None = None
    teacher_logits: dict[str, TeacherLogitsInput] = field(default_factory=dict)
    compilations: dict[str, CompilationInput] = field(default_factory=dict)
    synthesis: dict[str, SynthesisInput] = field(default_factory=dict)
    other_teachers: dict[str, Teacher] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    students: dict[str, StudentsInput] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def teachers(self) -> dict[str, Teacher]:
        """All teachers by key, that of the first repeat first."""
        first = {self.teacher.key: self.teacher} if self.teacher else {}
        return first | (self.other_teachers or {})

    @property
    def mean_teacher(self) -> Teacher | None:
        """The teacher; for repeats with teachers of their own, one with the means of their figures."""
        return _mean_teacher([*self.teachers.values()]) if self.other_teachers else self.teacher

    def trials_before(self, repeat: int) -> int:
        """Return the trials of the strategies with whose students a repeat begins."""
        return sum(one.trials[repeat] for one in (self.students or {}).values())

    @property
    def by_kind(self) -> dict[str, dict[str, LedgerSummary]]:
        """Energy summaries of the metered inputs, by kind and id."""
        by_id_of_kind = (self.teacher_logits, self.compilations, self.synthesis)
        metered = [{name: one.energy for name, one in inputs.items() if one.energy} for inputs in by_id_of_kind]
        found = dict(zip(KINDS, [self.sessions, *metered], strict=True))
        if self.students is not None:
            found[STUDENTS] = {name: one.energy for name, one in self.students.items() if one.energy}
        return found

    @property
    def charged_inputs(self) -> list[LedgerSummary]:
        """Energy summaries of all inputs that the strategy is charged for."""
        return [summary for by_id in self.by_kind.values() for summary in by_id.values()]

    @property
    def charged_parts(self) -> Inputs:
        """Energy that the strategy is charged, in microjoules, by kind and id."""
        return {
            kind: {name: summary.charged_uj for name, summary in by_id.items()} for kind, by_id in self.by_kind.items()
        }


def _mean_teacher(teachers: Sequence[Teacher]) -> Teacher:
    """Return a record with the means over several teachers of the same network; unknown where one is unknown."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(teachers) else None

    energies = [teacher.energy for teacher in teachers if teacher.energy]
    flags = sum((Counter(energy.flags) for energy in energies), Counter[Flag]())
    charged_uj = mean(energy.charged_uj for energy in energies)
    return replace(
        teachers[0],
        key=",".join(teacher.key for teacher in teachers),
        val_accuracy=mean(teacher.val_accuracy for teacher in teachers),
        val_loss=mean(teacher.val_loss for teacher in teachers),
        chance_accuracy=mean(teacher.chance_accuracy for teacher in teachers),
        reordered_accuracy=mean(teacher.reordered_accuracy for teacher in teachers),
        val_objective=mean(teacher.val_objective for teacher in teachers),
        chance_objective=mean(teacher.chance_objective for teacher in teachers),
        # Facts about one teacher only:
        weights_sha256=None,
        mean=None,
        std=None,
        test={name: mean(teacher.test.get(name) for teacher in teachers) for name in teachers[0].test},
        gflops_millions=mean(teacher.gflops_millions for teacher in teachers),
        energy=None if charged_uj is None else TeacherEnergy(round(charged_uj), flags=dict(flags)),
        count=len(teachers),
    )
