"""Dataclasses of ``shared.json``: the inputs that a strategy shares with others and is charged for, with their energy.

An input is a session, a teacher, a store of the teacher's logits, compiled code, or the students of another strategy.
"""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from kdtune.artifacts.teacher_record import TeacherRecord
from kdtune.energy.sensors.node import Quality
from kdtune.results.cost_document import Inputs
from kdtune.results.documents import Bucket, BucketOrTotal, Flag, Source
from kdtune.storage.field_types import Amount, Count
from kdtune.storage.records import LEFT_OUT_IF_NONE, strict

_ByBucket = Annotated[dict[BucketOrTotal, Count], Field(min_length=6)]

#: Kinds of shared inputs that a strategy is charged for. The teacher is not among them: it is reported separately.
KINDS = ("session", "teacher_logits", "compilation")

#: A further kind, of strategies that begin with the students of another one. Runs that are put aside do not count it,
#: since that strategy's own results do.
STUDENTS = "students"


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
    """

    epochs: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    val_loss: float | None = None  # type: ignore[assignment]
    key: str
    gflops_millions: Amount | None
    energy: LedgerSummary | TeacherEnergy | None

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
class StudentsInput:
    """The students of another strategy, with which a strategy begins, by the cost of its whole search.

    What that strategy shares with others (sessions, logits, code) is listed with the inputs of the own strategy.

    Attributes:
        energy: Energy of its own ledgers; None if it was not metered.
        trials: Number of its trials in each repeat.
        gflops_millions: Its FLOPs as in the paper's column, in 1e15.
        training_flops: FLOPs that it executed.
    """

    energy: LedgerSummary | None
    trials: tuple[Count, ...]
    gflops_millions: Amount
    training_flops: Count


@strict
@dataclass(frozen=True)
class SharedInputs:
    """The inputs that a strategy shares with others, by their ids."""

    sessions: dict[str, LedgerSummary] = field(default_factory=dict)
    teacher: Teacher | None = None
    teacher_logits: dict[str, TeacherLogitsInput] = field(default_factory=dict)
    compilations: dict[str, CompilationInput] = field(default_factory=dict)
    students: dict[str, StudentsInput] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def by_kind(self) -> dict[str, dict[str, LedgerSummary]]:
        """Energy summaries of the metered inputs, by kind and id."""
        by_id_of_kind = (self.teacher_logits, self.compilations)
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
